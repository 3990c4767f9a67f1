-- +goose Up
-- Every business timestamp is an argument: no clock of the server's is read here.
-- A row that a customer owns carries customer_id; row-level security shows it to
-- staff (scope 'all') and to that customer (scope 'customer') and to nobody else.

-- +goose StatementBegin
CREATE FUNCTION app_sees(customer uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT current_setting('app.scope', true) = 'all'
      OR (current_setting('app.scope', true) = 'customer'
          AND customer = nullif(current_setting('app.customer', true), '')::uuid)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION app_staff() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT current_setting('app.scope', true) = 'all'
$$;
-- +goose StatementEnd

CREATE TABLE program_clock (
  id smallint PRIMARY KEY CHECK (id = 1),
  program_at timestamptz NOT NULL, wall_at timestamptz NOT NULL, speed float8 NOT NULL
);
CREATE TABLE setting (name text PRIMARY KEY, value jsonb NOT NULL);

-- ---- who and where -------------------------------------------------------
CREATE TABLE org_unit (
  id uuid PRIMARY KEY, parent_id uuid REFERENCES org_unit,
  kind text NOT NULL CHECK (kind IN ('organisation','branch','dealer','station')),
  name text NOT NULL, name_en text NOT NULL DEFAULT '',
  latitude float8, longitude float8
);
CREATE TABLE customer (
  id uuid PRIMARY KEY, name text NOT NULL, name_en text NOT NULL DEFAULT '',
  tier text NOT NULL DEFAULT 'B' CHECK (tier IN ('A','B','C')),
  language text NOT NULL DEFAULT 'zh' CHECK (language IN ('zh','en')),
  created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX customer_name ON customer (name);
CREATE TABLE site (
  id uuid PRIMARY KEY, customer_id uuid NOT NULL REFERENCES customer,
  name text NOT NULL, name_en text NOT NULL DEFAULT '',
  latitude float8, longitude float8, time_zone text NOT NULL DEFAULT 'Asia/Shanghai',
  shut_until timestamptz, shut_reason text NOT NULL DEFAULT '', shut_reason_en text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX site_name ON site (customer_id, name);
CREATE TABLE contact (
  id uuid PRIMARY KEY, customer_id uuid NOT NULL REFERENCES customer,
  name text NOT NULL, name_en text NOT NULL DEFAULT '', salutation text NOT NULL DEFAULT '', salutation_en text NOT NULL DEFAULT '',
  capacity text NOT NULL CHECK (capacity IN ('owner','operator','manager','legal','representative','finance')),
  phone text NOT NULL DEFAULT '', language text NOT NULL DEFAULT 'zh', last_confirmed_at timestamptz
);
CREATE INDEX contact_phone ON contact (phone);
CREATE TABLE technician (
  id uuid PRIMARY KEY, name text NOT NULL, name_en text NOT NULL DEFAULT '', phone text NOT NULL DEFAULT '',
  station_id uuid REFERENCES org_unit, latitude float8 NOT NULL DEFAULT 0, longitude float8 NOT NULL DEFAULT 0,
  active boolean NOT NULL DEFAULT true
);
CREATE TABLE technician_skill (
  technician_id uuid NOT NULL REFERENCES technician, skill text NOT NULL, level smallint NOT NULL DEFAULT 1,
  valid_until date, PRIMARY KEY (technician_id, skill)
);
CREATE TABLE app_user (
  id uuid PRIMARY KEY, login text NOT NULL UNIQUE, name text NOT NULL, name_en text NOT NULL DEFAULT '',
  role text NOT NULL, customer_id uuid REFERENCES customer, technician_id uuid REFERENCES technician,
  contact_id uuid REFERENCES contact, password_hash text NOT NULL DEFAULT '',
  language text NOT NULL DEFAULT 'zh', theme text NOT NULL DEFAULT 'auto', one_click boolean NOT NULL DEFAULT false,
  disabled_at timestamptz, created_at timestamptz NOT NULL,
  CONSTRAINT user_scope CHECK ((role IN ('owner-admin','owner-viewer','customer-representative')) = (customer_id IS NOT NULL))
);
CREATE TABLE sessions (token text PRIMARY KEY, data bytea NOT NULL, expiry timestamptz NOT NULL);
CREATE INDEX sessions_expiry ON sessions (expiry);
CREATE TABLE api_token (
  id uuid PRIMARY KEY, name text NOT NULL, hash bytea NOT NULL UNIQUE, role text NOT NULL,
  customer_id uuid REFERENCES customer, technician_id uuid REFERENCES technician,
  created_at timestamptz NOT NULL, expires_at timestamptz, revoked_at timestamptz,
  CONSTRAINT token_scope CHECK ((role IN ('owner-admin','owner-viewer','customer-representative')) = (customer_id IS NOT NULL))
);

-- ---- the machine file ----------------------------------------------------
CREATE TABLE model (
  id uuid PRIMARY KEY, manufacturer text NOT NULL, name text NOT NULL,
  kind text NOT NULL, label text NOT NULL DEFAULT '', label_en text NOT NULL DEFAULT '',
  pack text NOT NULL DEFAULT '', UNIQUE (manufacturer, name)
);
CREATE TABLE machine (
  id uuid PRIMARY KEY, no integer GENERATED ALWAYS AS IDENTITY UNIQUE,
  key text NOT NULL CONSTRAINT machine_key UNIQUE CHECK (key ~ '^[A-Za-z0-9_-]{1,64}$'),
  manufacturer text NOT NULL, serial text NOT NULL, name text NOT NULL DEFAULT '', name_en text NOT NULL DEFAULT '',
  plate text NOT NULL DEFAULT '', model_id uuid REFERENCES model,
  customer_id uuid REFERENCES customer, site_id uuid REFERENCES site, responsible_id uuid REFERENCES technician,
  built_on date, handed_over_on date, warranty_months int NOT NULL DEFAULT 0, warranty_hours int NOT NULL DEFAULT 0,
  contract text NOT NULL DEFAULT '', has_device boolean NOT NULL DEFAULT true,
  operating_status text NOT NULL DEFAULT 'working' CHECK (operating_status IN ('working','shut_down','winter_lay_up','stored','locked','unlocated','scrapped')),
  operating_note text NOT NULL DEFAULT '', operating_note_en text NOT NULL DEFAULT '',
  health text NOT NULL DEFAULT 'unknown' CHECK (health IN ('well','third_state','faulty','unknown')),
  health_since timestamptz, score smallint CHECK (score BETWEEN 0 AND 100), contributors jsonb NOT NULL DEFAULT '[]',
  connectivity text NOT NULL DEFAULT 'unknown' CHECK (connectivity IN ('online','silent','no_coverage','off','unknown','none')),
  last_seen_at timestamptz, operating_hours float8, pumped_volume float8,
  created_at timestamptz NOT NULL, version int NOT NULL DEFAULT 1,
  CONSTRAINT machine_serial UNIQUE (manufacturer, serial)
);
CREATE INDEX machine_customer ON machine (customer_id);
CREATE TABLE machine_alias (alias text PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine);
CREATE TABLE machine_ownership (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid NOT NULL REFERENCES customer,
  valid_from timestamptz NOT NULL, valid_to timestamptz, CHECK (valid_to IS NULL OR valid_to > valid_from)
);
CREATE UNIQUE INDEX ownership_current ON machine_ownership (machine_id) WHERE valid_to IS NULL;
CREATE TABLE component (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid, parent_id uuid REFERENCES component,
  code text NOT NULL, name text NOT NULL, name_en text NOT NULL DEFAULT '', serial text NOT NULL DEFAULT '',
  installed_at timestamptz NOT NULL, removed_at timestamptz
);
CREATE INDEX component_machine ON component (machine_id);
CREATE TABLE signal (
  id uuid PRIMARY KEY, model_id uuid NOT NULL REFERENCES model, name text NOT NULL,
  label text NOT NULL DEFAULT '', label_en text NOT NULL DEFAULT '', unit text NOT NULL DEFAULT '',
  role text NOT NULL DEFAULT 'condition' CHECK (role IN ('condition','context','ignore')),
  low float8, high float8, position int NOT NULL DEFAULT 0, UNIQUE (model_id, name)
);
CREATE TABLE lifecycle_event (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid, at timestamptz NOT NULL,
  kind text NOT NULL, text text NOT NULL, text_en text NOT NULL DEFAULT '', actor text NOT NULL DEFAULT '',
  entity text NOT NULL DEFAULT '', entity_id uuid
);
CREATE INDEX lifecycle_event_machine ON lifecycle_event (machine_id, at);
CREATE TABLE finding (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  component text, rule text NOT NULL, rule_hash text NOT NULL DEFAULT '', failure_mode text NOT NULL DEFAULT '',
  title text NOT NULL DEFAULT '', title_en text NOT NULL DEFAULT '',
  severity text NOT NULL CHECK (severity IN ('info','advice','warning','alarm')),
  source text NOT NULL DEFAULT 'rule' CHECK (source IN ('rule','inspection','daily_check','reading','request')),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open','closed','dismissed')),
  opened_at timestamptz NOT NULL, detected_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
  closed_at timestamptz, close_reason text NOT NULL DEFAULT '', evidence jsonb NOT NULL DEFAULT '{}',
  facts jsonb NOT NULL DEFAULT '{}', case_id uuid
);
CREATE UNIQUE INDEX finding_open ON finding (machine_id, component, rule) NULLS NOT DISTINCT WHERE state = 'open';
CREATE UNIQUE INDEX finding_episode ON finding (machine_id, component, rule, opened_at) NULLS NOT DISTINCT;
CREATE INDEX finding_machine ON finding (machine_id, opened_at);
CREATE TABLE health_change (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid, at timestamptz NOT NULL,
  health text NOT NULL, previous text NOT NULL, score smallint, cause text NOT NULL, cause_en text NOT NULL DEFAULT '', rule_hash text NOT NULL DEFAULT '', finding_id uuid
);
CREATE INDEX health_change_machine ON health_change (machine_id, at);
CREATE TABLE reading (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid, at timestamptz NOT NULL,
  signal text NOT NULL, value float8 NOT NULL, unit text NOT NULL DEFAULT '', source text NOT NULL, actor text NOT NULL, photo_id uuid
);
CREATE INDEX reading_machine ON reading (machine_id, signal, at);

-- ---- what people do about it ---------------------------------------------
CREATE TABLE service_case (
  id uuid PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  failure_mode text NOT NULL, title text NOT NULL, title_en text NOT NULL DEFAULT '',
  severity text NOT NULL CHECK (severity IN ('info','advice','warning','alarm')),
  origin text NOT NULL CHECK (origin IN ('finding','request','inspection','callback','meeting','plan','daily_check')),
  state text NOT NULL CHECK (state IN ('open','triaged','informed','planned','in_work','verifying','awaiting_callback','satisfied','closed','remote_guidance','deferred','waiting','cancelled')),
  previous_state text NOT NULL DEFAULT '', waiting_for text NOT NULL DEFAULT '',
  opened_at timestamptz NOT NULL, inform_due_at timestamptz, informed_at timestamptz, planned_at timestamptz, work_started_at timestamptz,
  work_completed_at timestamptz, verified_at timestamptz, satisfied_at timestamptz, closed_at timestamptz, state_at timestamptz NOT NULL,
  onset_at timestamptz, deferred_until timestamptz, deferred_by text NOT NULL DEFAULT '', risk text NOT NULL DEFAULT '', risk_en text NOT NULL DEFAULT '',
  machine_down boolean NOT NULL DEFAULT false, pouring_now boolean NOT NULL DEFAULT false,
  latitude float8, longitude float8, operator_phone text NOT NULL DEFAULT '', description text NOT NULL DEFAULT '', description_en text NOT NULL DEFAULT '',
  assignee text NOT NULL DEFAULT '', verdict text NOT NULL DEFAULT '' CHECK (verdict IN ('','true','false_alarm','unclear')),
  verification jsonb, waived_by text NOT NULL DEFAULT '', waive_reason text NOT NULL DEFAULT '',
  comebacks int NOT NULL DEFAULT 0, cancel_reason text NOT NULL DEFAULT '', played_by text NOT NULL DEFAULT '', version int NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX case_open ON service_case (machine_id, failure_mode) WHERE state NOT IN ('closed','cancelled');
CREATE INDEX case_state ON service_case (state, opened_at);
CREATE INDEX case_machine ON service_case (machine_id, opened_at);
ALTER TABLE finding ADD CONSTRAINT finding_case FOREIGN KEY (case_id) REFERENCES service_case;
CREATE TABLE case_move (
  id uuid PRIMARY KEY, case_id uuid NOT NULL REFERENCES service_case, customer_id uuid, at timestamptz NOT NULL,
  from_state text NOT NULL, to_state text NOT NULL, waiting_for text NOT NULL DEFAULT '', actor text NOT NULL,
  note text NOT NULL DEFAULT '', note_en text NOT NULL DEFAULT ''
);
CREATE INDEX case_move_case ON case_move (case_id, at);
CREATE TABLE service_plan (
  id uuid PRIMARY KEY, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  name text NOT NULL, name_en text NOT NULL DEFAULT '', checklist text NOT NULL DEFAULT '',
  interval_days int NOT NULL CHECK (interval_days BETWEEN 1 AND 3660), lead_days int NOT NULL DEFAULT 7,
  due_at timestamptz NOT NULL, last_done_at timestamptz, paused boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL
);
CREATE INDEX service_plan_due ON service_plan (due_at) WHERE NOT paused;
CREATE TABLE work_order (
  id uuid PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  case_id uuid REFERENCES service_case, plan_id uuid REFERENCES service_plan, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  kind text NOT NULL CHECK (kind IN ('inspection','maintenance','repair','patrol','special','remote')),
  title text NOT NULL, title_en text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('open','dispatched','accepted','en_route','on_site','completed','cannot_complete','cancelled')),
  priority smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
  technician_id uuid REFERENCES technician, skills text[] NOT NULL DEFAULT '{}', parts text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL, due_at timestamptz, planned_at timestamptz, dispatched_at timestamptz, accepted_at timestamptz,
  en_route_at timestamptz, on_site_at timestamptz, completed_at timestamptz, state_at timestamptz NOT NULL,
  waited_minutes int NOT NULL DEFAULT 0, wrench_minutes int NOT NULL DEFAULT 0, travel_km float8 NOT NULL DEFAULT 0,
  result text NOT NULL DEFAULT '', result_en text NOT NULL DEFAULT '', failure_mode text NOT NULL DEFAULT '', cause text NOT NULL DEFAULT '', activity text NOT NULL DEFAULT '',
  signed_by text NOT NULL DEFAULT '', signer_capacity text NOT NULL DEFAULT '', reason text NOT NULL DEFAULT '', version int NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX work_order_plan_open ON work_order (plan_id) WHERE plan_id IS NOT NULL AND state NOT IN ('completed','cannot_complete','cancelled');
CREATE UNIQUE INDEX work_order_technician_busy ON work_order (technician_id) WHERE state IN ('en_route','on_site');
CREATE INDEX work_order_state ON work_order (state, created_at);
CREATE INDEX work_order_case ON work_order (case_id);
CREATE INDEX work_order_machine ON work_order (machine_id, created_at);
CREATE INDEX work_order_technician ON work_order (technician_id, state);
CREATE TABLE assignment (
  id uuid PRIMARY KEY, work_order_id uuid NOT NULL REFERENCES work_order, technician_id uuid NOT NULL REFERENCES technician, customer_id uuid,
  state text NOT NULL CHECK (state IN ('dispatched','accepted','en_route','on_site','completed','declined','cancelled','cannot_complete')),
  score float8 NOT NULL DEFAULT 0, explanation jsonb NOT NULL DEFAULT '{}',
  assigned_at timestamptz NOT NULL, assigned_by text NOT NULL, accept_due_at timestamptz, ended_at timestamptz, reason text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX assignment_active ON assignment (work_order_id) WHERE ended_at IS NULL;
CREATE TABLE checklist_item (
  id uuid PRIMARY KEY, work_order_id uuid NOT NULL REFERENCES work_order, customer_id uuid, position int NOT NULL,
  text text NOT NULL, text_en text NOT NULL DEFAULT '',
  kind text NOT NULL CHECK (kind IN ('pass_fail','number','text','photo','meter','choice')),
  unit text NOT NULL DEFAULT '', low float8, high float8, choices text[] NOT NULL DEFAULT '{}', required boolean NOT NULL DEFAULT true, proof boolean NOT NULL DEFAULT false,
  component text NOT NULL DEFAULT '', failure_mode text NOT NULL DEFAULT '', signal text NOT NULL DEFAULT '',
  result text NOT NULL DEFAULT '' CHECK (result IN ('','pass','fail','na')), number float8, note text NOT NULL DEFAULT '', note_en text NOT NULL DEFAULT '', photo_id uuid,
  done_at timestamptz, done_by text NOT NULL DEFAULT '', UNIQUE (work_order_id, position)
);
CREATE TABLE attachment (
  id uuid PRIMARY KEY, customer_id uuid, machine_id uuid REFERENCES machine, entity text NOT NULL, entity_id uuid NOT NULL,
  name text NOT NULL, media_type text NOT NULL CHECK (media_type IN ('image/jpeg','image/png')), bytes bytea NOT NULL CHECK (octet_length(bytes) <= 15728640),
  created_at timestamptz NOT NULL, created_by text NOT NULL
);
CREATE TABLE callback (
  id uuid PRIMARY KEY, case_id uuid NOT NULL REFERENCES service_case, machine_id uuid NOT NULL REFERENCES machine, customer_id uuid,
  contact_id uuid REFERENCES contact, kind text NOT NULL CHECK (kind IN ('inform','courtesy','satisfaction')),
  state text NOT NULL CHECK (state IN ('due','done','unreachable','cancelled')),
  due_at timestamptz NOT NULL, created_at timestamptz NOT NULL, attempts int NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('','informed','satisfied','so_so','dissatisfied','unreachable','deferred')),
  note text NOT NULL DEFAULT '', note_en text NOT NULL DEFAULT '', done_at timestamptz, done_by text NOT NULL DEFAULT '', version int NOT NULL DEFAULT 1
);
CREATE INDEX callback_due ON callback (due_at) WHERE state = 'due';
CREATE UNIQUE INDEX callback_one_due ON callback (case_id, kind) WHERE state = 'due';
CREATE INDEX callback_case ON callback (case_id);
CREATE TABLE callback_attempt (
  id uuid PRIMARY KEY, callback_id uuid NOT NULL REFERENCES callback, customer_id uuid, at timestamptz NOT NULL,
  actor text NOT NULL, outcome text NOT NULL, note text NOT NULL DEFAULT ''
);
CREATE TABLE complaint (
  id uuid PRIMARY KEY, number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, customer_id uuid, machine_id uuid REFERENCES machine, case_id uuid REFERENCES service_case,
  class text NOT NULL DEFAULT 'service' CHECK (class IN ('service','quality','parts','billing','other')), text text NOT NULL, text_en text NOT NULL DEFAULT '',
  raised_by text NOT NULL DEFAULT '', state text NOT NULL CHECK (state IN ('received','answered','closed','withdrawn')),
  received_at timestamptz NOT NULL, promise_due_at timestamptz, answered_at timestamptz, answer text NOT NULL DEFAULT '', closed_at timestamptz, version int NOT NULL DEFAULT 1
);
CREATE TABLE promise (
  id uuid PRIMARY KEY, customer_id uuid, machine_id uuid REFERENCES machine, case_id uuid REFERENCES service_case,
  text text NOT NULL, text_en text NOT NULL DEFAULT '', person text NOT NULL, made_at timestamptz NOT NULL, due_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('open','kept','broken','withdrawn')), settled_at timestamptz, evidence text NOT NULL DEFAULT '', evidence_en text NOT NULL DEFAULT ''
);
CREATE INDEX promise_due ON promise (due_at) WHERE state = 'open';
CREATE TABLE notice (
  id uuid PRIMARY KEY, customer_id uuid, machine_id uuid REFERENCES machine, case_id uuid REFERENCES service_case, work_order_id uuid REFERENCES work_order,
  contact_id uuid REFERENCES contact, technician_id uuid REFERENCES technician, channel text NOT NULL, recipient text NOT NULL,
  text text NOT NULL, text_en text NOT NULL DEFAULT '', language text NOT NULL, state text NOT NULL CHECK (state IN ('queued','sent','failed')),
  created_at timestamptz NOT NULL, sent_at timestamptz, error text NOT NULL DEFAULT ''
);
CREATE INDEX notice_case ON notice (case_id, created_at);
CREATE TABLE part (
  id uuid PRIMARY KEY, number text NOT NULL UNIQUE, name text NOT NULL, name_en text NOT NULL DEFAULT ''
);
CREATE TABLE part_stock (
  part_id uuid NOT NULL REFERENCES part, station_id uuid REFERENCES org_unit, technician_id uuid REFERENCES technician,
  quantity int NOT NULL CHECK (quantity >= 0), minimum int NOT NULL DEFAULT 0,
  CONSTRAINT stock_place CHECK ((station_id IS NULL) <> (technician_id IS NULL))
);
CREATE UNIQUE INDEX part_stock_place ON part_stock (part_id, station_id, technician_id) NULLS NOT DISTINCT;
CREATE TABLE meeting (
  id uuid PRIMARY KEY, month date NOT NULL UNIQUE, held_at timestamptz, chair text NOT NULL DEFAULT '', chair_en text NOT NULL DEFAULT ''
);
CREATE TABLE meeting_issue (
  id uuid PRIMARY KEY, meeting_id uuid NOT NULL REFERENCES meeting, customer_id uuid, case_id uuid REFERENCES service_case,
  text text NOT NULL, text_en text NOT NULL DEFAULT '', raised_by text NOT NULL, raised_by_en text NOT NULL DEFAULT '', raised_at timestamptz NOT NULL
);
CREATE TABLE audit (
  id uuid PRIMARY KEY, entity text NOT NULL, entity_id uuid NOT NULL, machine_id uuid, customer_id uuid,
  at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL, before jsonb, after jsonb
);
CREATE INDEX audit_entity ON audit (entity, entity_id, at);
CREATE INDEX audit_machine ON audit (machine_id, at);
CREATE TABLE idempotency (
  key text NOT NULL, principal text NOT NULL, route text NOT NULL, request_hash bytea NOT NULL,
  status int, body bytea, created_at timestamptz NOT NULL, PRIMARY KEY (principal, route, key)
);

-- ---- what machines say ---------------------------------------------------
CREATE TABLE device (
  id uuid PRIMARY KEY, key text NOT NULL, machine_id uuid REFERENCES machine, token_hash bytea NOT NULL UNIQUE,
  gateway boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL, revoked_at timestamptz, last_seen_at timestamptz
);
CREATE UNIQUE INDEX device_key ON device (key) WHERE revoked_at IS NULL;
CREATE TABLE unclaimed (
  key text PRIMARY KEY, first_seen_at timestamptz NOT NULL, last_seen_at timestamptz NOT NULL, messages bigint NOT NULL, kept int NOT NULL DEFAULT 0,
  topic text NOT NULL, payload bytea NOT NULL, signals text[] NOT NULL DEFAULT '{}', claimed_by uuid REFERENCES machine
);
CREATE TABLE unclaimed_message (
  key text NOT NULL REFERENCES unclaimed ON DELETE CASCADE, log uuid NOT NULL, lsn bigint NOT NULL, received_at timestamptz NOT NULL,
  device text NOT NULL DEFAULT '', topic text NOT NULL, payload bytea NOT NULL, PRIMARY KEY (key, log, lsn)
);
CREATE TABLE dead_letter (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, log uuid NOT NULL, lsn bigint NOT NULL, part int NOT NULL DEFAULT 0, received_at timestamptz NOT NULL,
  source text NOT NULL, topic text NOT NULL, device text NOT NULL DEFAULT '', payload bytea NOT NULL, payload_bytes bigint NOT NULL,
  reason text NOT NULL, detail text NOT NULL, offset_bytes bigint, decoder text NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open','replayed','discarded')), resolved_by text NOT NULL DEFAULT '', resolution text NOT NULL DEFAULT '',
  UNIQUE (log, lsn, part)
);
CREATE INDEX dead_letter_reason ON dead_letter (reason, received_at);
CREATE INDEX dead_letter_device ON dead_letter (device, received_at);
CREATE INDEX dead_letter_open ON dead_letter (id) WHERE state = 'open';
CREATE TABLE intake_cursor (
  log uuid NOT NULL, consumer text NOT NULL, lsn bigint NOT NULL, saved_at timestamptz NOT NULL, PRIMARY KEY (log, consumer)
);
CREATE TABLE intake_count (
  log uuid PRIMARY KEY, records bigint NOT NULL DEFAULT 0, stored bigint NOT NULL DEFAULT 0, duplicates bigint NOT NULL DEFAULT 0, dead bigint NOT NULL DEFAULT 0,
  unclaimed bigint NOT NULL DEFAULT 0, refused bigint NOT NULL DEFAULT 0, ticks bigint NOT NULL DEFAULT 0, readings bigint NOT NULL DEFAULT 0
);
CREATE TABLE dead_letter_count (day date NOT NULL, device text NOT NULL, reason text NOT NULL, count bigint NOT NULL, PRIMARY KEY (day, device, reason));
CREATE TABLE checkpoint (
  shard int NOT NULL, log uuid NOT NULL, epoch bigint NOT NULL DEFAULT 0, lsn bigint NOT NULL, saved_at timestamptz NOT NULL, PRIMARY KEY (shard, log)
);
CREATE TABLE rule_version (
  hash text PRIMARY KEY, rule text NOT NULL, pack text NOT NULL, text text NOT NULL, published_at timestamptz NOT NULL, published_by text NOT NULL
);
CREATE TABLE signal_no (no smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE sample (
  machine_no integer NOT NULL, at timestamptz NOT NULL, signal_nos smallint[] NOT NULL, vals float8[] NOT NULL, qualities bytea,
  PRIMARY KEY (machine_no, at)
) PARTITION BY RANGE (at);
CREATE TABLE sample_rollup (
  machine_no integer NOT NULL, signal_no smallint NOT NULL, at timestamptz NOT NULL,
  n integer NOT NULL, low float8 NOT NULL, mean float8 NOT NULL, high float8 NOT NULL, PRIMARY KEY (machine_no, signal_no, at)
);
-- Partitions are made by the app role through this function and nothing else.
-- +goose StatementBegin
CREATE FUNCTION ensure_sample_partition(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE name text := 'sample_' || to_char(day, 'YYYYMMDD');
BEGIN
  IF to_regclass(name) IS NULL THEN
    PERFORM pg_advisory_xact_lock(7337, 1);
    IF to_regclass(name) IS NULL THEN
      EXECUTE format('CREATE TABLE %I PARTITION OF sample FOR VALUES FROM (%L) TO (%L)',
        name, (day::text || ' 00:00:00+00')::timestamptz, ((day + 1)::text || ' 00:00:00+00')::timestamptz);
      EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
      EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    END IF;
  END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION drop_sample_partitions(before date) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE part text; dropped int := 0;
BEGIN
  FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'sample'::regclass AND c.relname < 'sample_' || to_char(before, 'YYYYMMDD') LOOP
    EXECUTE format('DROP TABLE %I', part);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
-- +goose StatementEnd

-- ---- row-level security --------------------------------------------------
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  -- owned by a customer: staff see all, the customer its own; rows without an owner are staff's
  FOREACH t IN ARRAY ARRAY['site','contact','machine','machine_ownership','component','lifecycle_event','finding','health_change','reading',
    'service_case','case_move','service_plan','work_order','assignment','checklist_item','attachment','callback','callback_attempt',
    'complaint','promise','notice','meeting_issue','audit'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id))', t);
  END LOOP;
  -- the service organisation's own: customers never read them directly
  FOREACH t IN ARRAY ARRAY['technician_skill','device','unclaimed','unclaimed_message','dead_letter','dead_letter_count','intake_cursor','intake_count',
    'checkpoint','part_stock','idempotency'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['technician_skill','device','unclaimed','unclaimed_message','dead_letter','dead_letter_count','intake_cursor','intake_count','checkpoint','part_stock'] LOOP
    EXECUTE format('CREATE POLICY staff ON %I USING (app_staff()) WITH CHECK (app_staff())', t);
  END LOOP;
END $$;
-- +goose StatementEnd
-- What a customer does may have to be told to our people; only they read it.
CREATE POLICY notice_to_staff ON notice FOR INSERT WITH CHECK (customer_id IS NULL);
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
ALTER TABLE customer FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON customer USING (app_sees(id)) WITH CHECK (app_sees(id));
ALTER TABLE app_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE app_user FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON app_user USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
ALTER TABLE api_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_token FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_token USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id));
ALTER TABLE machine_alias ENABLE ROW LEVEL SECURITY;
ALTER TABLE machine_alias FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON machine_alias USING (app_staff()) WITH CHECK (app_staff());
CREATE POLICY own ON idempotency USING (app_sees(NULL) OR principal = current_setting('app.actor', true)) WITH CHECK (true);
-- Telemetry is the owner's from the day the machine became his to the day it was sold.
ALTER TABLE sample ENABLE ROW LEVEL SECURITY;
ALTER TABLE sample FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sample USING (app_staff()) WITH CHECK (app_staff());
CREATE POLICY tenant ON sample FOR SELECT USING (current_setting('app.scope', true) = 'customer' AND EXISTS (
  SELECT 1 FROM machine m JOIN machine_ownership o ON o.machine_id = m.id
  WHERE m.no = sample.machine_no AND o.customer_id = nullif(current_setting('app.customer', true), '')::uuid
    AND sample.at >= o.valid_from AND (o.valid_to IS NULL OR sample.at < o.valid_to)));
ALTER TABLE sample_rollup ENABLE ROW LEVEL SECURITY;
ALTER TABLE sample_rollup FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sample_rollup USING (app_staff()) WITH CHECK (app_staff());
CREATE POLICY tenant ON sample_rollup FOR SELECT USING (current_setting('app.scope', true) = 'customer' AND EXISTS (
  SELECT 1 FROM machine m JOIN machine_ownership o ON o.machine_id = m.id
  WHERE m.no = sample_rollup.machine_no AND o.customer_id = nullif(current_setting('app.customer', true), '')::uuid
    AND sample_rollup.at >= o.valid_from AND (o.valid_to IS NULL OR sample_rollup.at < o.valid_to)));
