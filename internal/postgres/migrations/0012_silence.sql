-- +goose Up
-- Times in which machines said nothing, and why: switched off, out of coverage, or
-- nobody knows. Written by detection, which decides from the intake log alone; what
-- comes later can correct what was thought at first.
ALTER TABLE machine ADD connectivity_since timestamptz, ADD connectivity_why text[] NOT NULL DEFAULT '{}';

CREATE TABLE silence (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  since timestamptz NOT NULL, noticed_at timestamptz NOT NULL, until timestamptz,
  cause text NOT NULL CHECK (cause IN ('off','no_coverage','silent')), first_cause text NOT NULL CHECK (first_cause IN ('off','no_coverage','silent')),
  why text[] NOT NULL,
  UNIQUE (machine_id, since), CHECK (noticed_at >= since), CHECK (until > since)
);
CREATE UNIQUE INDEX silence_goes_on ON silence (machine_id) WHERE until IS NULL;
CREATE INDEX silence_since ON silence (since, id);

ALTER TABLE silence ENABLE ROW LEVEL SECURITY;
ALTER TABLE silence FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON silence USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
