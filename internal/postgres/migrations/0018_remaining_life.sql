-- +goose Up
-- How far each machine (or a component of it) is followed by a model of remaining life, and
-- what the model said last. One row of constant size; it can be made anew from the history.
CREATE TABLE remaining_life (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, component text NOT NULL DEFAULT '', customer_id uuid,
  model text NOT NULL, model_hash text NOT NULL, since timestamptz NOT NULL,
  place timestamptz NOT NULL, looked_at timestamptz NOT NULL, behind boolean NOT NULL, state bytea NOT NULL, meter jsonb, meter_offset float8,
  rows bigint NOT NULL, last_row timestamptz, gaps float8 NOT NULL DEFAULT 0, from_new boolean NOT NULL, age float8,
  remaining float8, low float8, high float8, beyond boolean NOT NULL DEFAULT false, unit text NOT NULL, said_at timestamptz, reason text NOT NULL DEFAULT '',
  UNIQUE (machine_id, component),
  CHECK ((remaining IS NULL) = (reason <> '') AND (remaining IS NULL) = (said_at IS NULL))
);
CREATE INDEX remaining_life_shortest ON remaining_life (remaining, machine_id) WHERE remaining IS NOT NULL;

ALTER TABLE remaining_life ENABLE ROW LEVEL SECURITY;
ALTER TABLE remaining_life FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON remaining_life USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
