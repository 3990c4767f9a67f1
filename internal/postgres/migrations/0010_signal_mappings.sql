-- +goose Up
-- What the names mean that machines of a model, or one machine, send: which signal
-- of the model, in which unit. A row holds for the records of an intake log after
-- from_lsn, up to to_lsn where that is given: what a record means never changes.
CREATE TABLE signal_mapping (
  id uuid PRIMARY KEY, machine_id uuid REFERENCES machine, model_id uuid REFERENCES model, CHECK (num_nonnulls(machine_id, model_id) = 1),
  raw text NOT NULL CHECK (length(raw) BETWEEN 1 AND 200), ignored boolean NOT NULL,
  signal text NOT NULL, unit text NOT NULL, canonical text NOT NULL, CHECK (ignored = (signal = '')),
  from_log uuid NOT NULL, from_lsn bigint NOT NULL, to_log uuid, to_lsn bigint, CHECK ((to_log IS NULL) = (to_lsn IS NULL)),
  created_at timestamptz NOT NULL, created_by text NOT NULL
);
CREATE UNIQUE INDEX signal_mapping_now ON signal_mapping (machine_id, model_id, raw) NULLS NOT DISTINCT WHERE to_log IS NULL;
ALTER TABLE signal_mapping ENABLE ROW LEVEL SECURITY;
ALTER TABLE signal_mapping FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON signal_mapping USING (app_staff()) WITH CHECK (app_staff());

-- Names that messages use are looked up before they count as unknown.
CREATE INDEX machine_by_serial ON machine (serial);
