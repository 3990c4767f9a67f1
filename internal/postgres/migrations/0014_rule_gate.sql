-- +goose Up
-- Packs of rules as people write them, by the hash of their text, and what each would
-- have done on the stored history. Both are the service organisation's.
DROP TABLE rule_version; -- which nothing has written
CREATE TABLE rule_version (
  hash text PRIMARY KEY, model text NOT NULL, text text NOT NULL, note text NOT NULL DEFAULT '',
  author text NOT NULL, author_id text NOT NULL, created_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft','published','retired')),
  published_at timestamptz, approver text NOT NULL DEFAULT '', approver_id text NOT NULL DEFAULT '', approval text NOT NULL DEFAULT '',
  report_id uuid, retired_at timestamptz,
  CONSTRAINT two_people CHECK (state = 'draft' OR approver_id NOT IN ('', author_id) AND report_id IS NOT NULL)
);
CREATE UNIQUE INDEX rule_version_in_force ON rule_version (model) WHERE state = 'published';
CREATE INDEX rule_version_made ON rule_version (created_at, hash);

CREATE TABLE rule_report (
  id uuid PRIMARY KEY, hash text NOT NULL, against text NOT NULL DEFAULT '', model text NOT NULL, rule text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('queued','running','done','failed')), reason text NOT NULL DEFAULT '',
  asked_by text NOT NULL, asked_at timestamptz NOT NULL, started_at timestamptz, done_at timestamptz,
  machines text[] NOT NULL, terms jsonb NOT NULL, counts boolean NOT NULL, result jsonb, against_result jsonb
);
CREATE INDEX rule_report_hash ON rule_report (hash, asked_at);
CREATE INDEX rule_report_asked ON rule_report (asked_at, id);
CREATE INDEX rule_report_waits ON rule_report (asked_at) WHERE state IN ('queued','running');
-- +goose StatementBegin
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['rule_version','rule_report'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY staff ON %I USING (app_staff()) WITH CHECK (app_staff())', t);
  END LOOP;
END $$;
-- +goose StatementEnd
