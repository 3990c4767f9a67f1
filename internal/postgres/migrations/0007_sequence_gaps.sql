-- +goose Up
-- Which sequence numbers of which machine were expected and have not come. Written
-- by the intake, in the transaction that moves its place in the log.
CREATE TABLE sequence_account (
  machine_id uuid PRIMARY KEY REFERENCES machine,
  begins smallint NOT NULL DEFAULT 0 CHECK (begins BETWEEN 0 AND 3), -- how its device begins the count of a boot: unknown, 0, 1, where the last one ended
  runs jsonb NOT NULL,                                               -- the boots heard last: [{boot, low, high, heard}]
  missed bigint NOT NULL, filled bigint NOT NULL, unlisted bigint NOT NULL, -- numbers, of all time
  CHECK (filled + unlisted <= missed)
);
CREATE INDEX sequence_account_missed ON sequence_account (machine_id) WHERE missed > 0;
CREATE TABLE sequence_gap (
  machine_id uuid NOT NULL REFERENCES machine, boot text NOT NULL, first bigint NOT NULL, last bigint NOT NULL CHECK (last >= first),
  found_at timestamptz NOT NULL, filled_at timestamptz, PRIMARY KEY (machine_id, boot, first)
);
CREATE INDEX sequence_gap_open ON sequence_gap (found_at, machine_id) WHERE filled_at IS NULL;
ALTER TABLE sequence_account ENABLE ROW LEVEL SECURITY;
ALTER TABLE sequence_account FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sequence_account USING (app_staff()) WITH CHECK (app_staff());
-- As with samples: an owner sees the gaps of the time in which the machine is his.
ALTER TABLE sequence_gap ENABLE ROW LEVEL SECURITY;
ALTER TABLE sequence_gap FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sequence_gap USING (app_staff()) WITH CHECK (app_staff());
CREATE POLICY tenant ON sequence_gap FOR SELECT USING (current_setting('app.scope', true) = 'customer' AND EXISTS (
  SELECT 1 FROM machine_ownership o
  WHERE o.machine_id = sequence_gap.machine_id AND o.customer_id = nullif(current_setting('app.customer', true), '')::uuid
    AND sequence_gap.found_at >= o.valid_from AND (o.valid_to IS NULL OR sequence_gap.found_at < o.valid_to)));
