-- +goose Up
-- How loud a rule may be, by what it finds (the hash of the rule, which knows its
-- model). Rules without a row are those that no gate holds: as loud as dispatch.
CREATE TABLE rule_stage (
  rule text NOT NULL, rule_hash text NOT NULL, model text NOT NULL, stage text NOT NULL CHECK (stage IN ('shadow','advise','dispatch')),
  since timestamptz NOT NULL, set_by text NOT NULL, reason text NOT NULL DEFAULT '',
  PRIMARY KEY (rule, rule_hash)
);
-- What rules in the shadow have found: kept and counted, and told to nobody.
CREATE TABLE shadow_finding (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, component text, rule text NOT NULL, rule_hash text NOT NULL,
  failure_mode text NOT NULL, title text NOT NULL, title_en text NOT NULL, severity text NOT NULL CHECK (severity IN ('info','advice','warning','alarm')),
  opened_at timestamptz NOT NULL, detected_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, closed_at timestamptz, close_reason text NOT NULL DEFAULT '',
  evidence jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX shadow_finding_episode ON shadow_finding (machine_id, component, rule, opened_at) NULLS NOT DISTINCT;
CREATE INDEX shadow_finding_rule ON shadow_finding (rule, rule_hash, detected_at);
CREATE INDEX shadow_finding_newest ON shadow_finding (detected_at, id);
CREATE INDEX finding_rule ON finding (rule, rule_hash, detected_at) WHERE source = 'rule';
-- +goose StatementBegin
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['rule_stage','shadow_finding'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY staff ON %I USING (app_staff()) WITH CHECK (app_staff())', t);
  END LOOP;
END $$;
-- +goose StatementEnd
-- A rule on trial has found it: somebody decides before the customer is told and a
-- visit is planned.
ALTER TABLE service_case ADD advised boolean NOT NULL DEFAULT false;
