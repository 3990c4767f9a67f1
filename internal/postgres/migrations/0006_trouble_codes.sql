-- +goose Up
-- Diagnostic trouble codes with a life of their own, and meters that were changed.

CREATE TABLE trouble_code (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  protocol text NOT NULL CHECK (protocol IN ('j1939','oem')), code text NOT NULL, spn int, fmi int, source_address int,
  description text NOT NULL DEFAULT '', description_en text NOT NULL DEFAULT '',
  severity text NOT NULL CHECK (severity IN ('critical','warning','advice')),
  mil boolean NOT NULL, red_stop boolean NOT NULL, amber_warning boolean NOT NULL, protect boolean NOT NULL,
  occurrences int NOT NULL CHECK (occurrences > 0), unit_count int, previous boolean NOT NULL DEFAULT false,
  first_seen_at timestamptz NOT NULL, last_seen_at timestamptz NOT NULL, cleared_at timestamptz,
  CHECK (first_seen_at <= last_seen_at), CHECK (cleared_at IS NULL OR cleared_at >= last_seen_at)
);
CREATE UNIQUE INDEX trouble_code_active ON trouble_code (machine_id, protocol, source_address, code) NULLS NOT DISTINCT WHERE cleared_at IS NULL;
CREATE INDEX trouble_code_machine ON trouble_code (machine_id, last_seen_at);
CREATE INDEX trouble_code_seen ON trouble_code (last_seen_at, id);

-- When a control unit was heard last: what it says late neither opens nor clears.
CREATE TABLE trouble_source (
  machine_id uuid NOT NULL REFERENCES machine, protocol text NOT NULL, source_address int, heard_at timestamptz NOT NULL, whole_at timestamptz,
  spacing_ms bigint NOT NULL DEFAULT 0, period_ms bigint NOT NULL DEFAULT 0, UNIQUE NULLS NOT DISTINCT (machine_id, protocol, source_address)
);

-- A meter that went back: base is what was counted before, to be added to what it says.
CREATE TABLE machine_meter (
  machine_id uuid NOT NULL REFERENCES machine, signal text NOT NULL, base float8 NOT NULL DEFAULT 0,
  last float8 NOT NULL, last_at timestamptz NOT NULL, low float8, low_at timestamptz, PRIMARY KEY (machine_id, signal)
);

ALTER TABLE trouble_code ENABLE ROW LEVEL SECURITY;
ALTER TABLE trouble_code FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trouble_code USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
ALTER TABLE trouble_source ENABLE ROW LEVEL SECURITY;
ALTER TABLE trouble_source FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON trouble_source USING (app_staff()) WITH CHECK (app_staff());
ALTER TABLE machine_meter ENABLE ROW LEVEL SECURITY;
ALTER TABLE machine_meter FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON machine_meter USING (app_staff()) WITH CHECK (app_staff());
