-- +goose Up
-- Machines that share what a confirmed fault may come from, and how far each has moved its way.
ALTER TABLE component ADD batch text NOT NULL DEFAULT '', ADD firmware text NOT NULL DEFAULT '';
ALTER TABLE machine ADD duty text NOT NULL DEFAULT '';
ALTER TABLE service_case DROP CONSTRAINT service_case_origin_check,
  ADD CONSTRAINT service_case_origin_check CHECK (origin IN ('finding','request','inspection','callback','meeting','plan','daily_check','sweep'));

CREATE TABLE sweep (
  id uuid PRIMARY KEY, case_id uuid NOT NULL UNIQUE REFERENCES service_case, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  swept_at timestamptz NOT NULL, scored_at timestamptz NOT NULL, failure_mode text NOT NULL, title text NOT NULL, title_en text NOT NULL DEFAULT '', severity text NOT NULL,
  model_id uuid NOT NULL REFERENCES model, component text NOT NULL DEFAULT '', batch text NOT NULL DEFAULT '', firmware text NOT NULL DEFAULT '', duty text NOT NULL DEFAULT '',
  signals text[] NOT NULL DEFAULT '{}', level float8 NOT NULL CHECK (level > 0 AND level < 1), basis text NOT NULL CHECK (basis IN ('others','cohort','itself')),
  alike int NOT NULL, others int NOT NULL, unscored int NOT NULL
);
CREATE INDEX sweep_at ON sweep (swept_at DESC, id DESC);
CREATE TABLE sweep_machine (
  id uuid PRIMARY KEY, sweep_id uuid NOT NULL REFERENCES sweep, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  shares text[] NOT NULL DEFAULT '{}', score float8, p float8 NOT NULL CHECK (p BETWEEN 0 AND 1), q float8 NOT NULL CHECK (q BETWEEN 0 AND 1), listed boolean NOT NULL,
  looked text NOT NULL DEFAULT '' CHECK (looked IN ('','found','clean')), looked_at timestamptz, looked_by text NOT NULL DEFAULT '', note text NOT NULL DEFAULT '',
  UNIQUE (sweep_id, machine_id)
);
CREATE INDEX sweep_machine_machine ON sweep_machine (machine_id);

ALTER TABLE sweep ENABLE ROW LEVEL SECURITY;
ALTER TABLE sweep FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sweep USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
ALTER TABLE sweep_machine ENABLE ROW LEVEL SECURITY;
ALTER TABLE sweep_machine FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sweep_machine USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
