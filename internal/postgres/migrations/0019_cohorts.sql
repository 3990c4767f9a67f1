-- +goose Up
-- How the machines of a kind stood to one another, as they were told it: findings that
-- rest on it are found again when the log has gone on.
CREATE TABLE cohort (
  kind text NOT NULL, at timestamptz NOT NULL, told_at timestamptz NOT NULL, record bytea NOT NULL,
  PRIMARY KEY (kind, at)
);
CREATE INDEX cohort_told ON cohort (kind, told_at);
CREATE INDEX cohort_at ON cohort (at);
ALTER TABLE cohort ENABLE ROW LEVEL SECURITY;
ALTER TABLE cohort FORCE ROW LEVEL SECURITY;
CREATE POLICY everybody ON cohort FOR SELECT USING (true); -- it names no machine
CREATE POLICY staff ON cohort USING (app_staff()) WITH CHECK (app_staff());
