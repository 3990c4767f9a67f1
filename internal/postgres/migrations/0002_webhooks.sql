-- +goose Up
-- Webhooks: who wants to hear of which changes, and what is on its way to him.
-- created_at and settled_at are program time; next_at, tried_at, failing_since,
-- rest_until and old_secret_until are the wall's, because the far side lives by it.
CREATE TABLE webhook (
  id uuid PRIMARY KEY, customer_id uuid REFERENCES customer, -- none: the service organisation's, hears of everybody's machines
  url text NOT NULL, description text NOT NULL DEFAULT '',
  events text[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 50),
  secret bytea NOT NULL, old_secret bytea, old_secret_until timestamptz, -- sealed with a key that is not in this database
  enabled boolean NOT NULL DEFAULT true,
  disabled_reason text NOT NULL DEFAULT '' CHECK (disabled_reason IN ('','by_hand','gone','failing','overfull')),
  disabled_at timestamptz, failures int NOT NULL DEFAULT 0, failing_since timestamptz, rest_until timestamptz, tried_at timestamptz,
  created_at timestamptz NOT NULL, created_by text NOT NULL, version int NOT NULL DEFAULT 1,
  CONSTRAINT webhook_disabled CHECK (enabled = (disabled_at IS NULL) AND enabled = (disabled_reason = ''))
);
CREATE INDEX webhook_customer ON webhook (customer_id);
CREATE TABLE webhook_delivery (
  id uuid PRIMARY KEY, no bigint GENERATED ALWAYS AS IDENTITY, -- in the order of their making
  webhook_id uuid NOT NULL REFERENCES webhook ON DELETE CASCADE, customer_id uuid, -- of the webhook: who may read it
  event_id uuid NOT NULL, type text NOT NULL, body text NOT NULL CHECK (octet_length(body) <= 20480), created_at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting','delivered','failed')),
  tries int NOT NULL DEFAULT 0, next_at timestamptz, tried_at timestamptz, settled_at timestamptz,
  last_status int, last_error text NOT NULL DEFAULT '', replays int NOT NULL DEFAULT 0
);
CREATE INDEX webhook_delivery_list ON webhook_delivery (webhook_id, no);
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (webhook_id, coalesce(next_at, '-infinity'::timestamptz), no) WHERE state = 'waiting'; -- what is due, new ones first
CREATE INDEX webhook_delivery_age ON webhook_delivery (created_at);

-- Who hears of an event of one of these types that a customer's machine (or
-- nobody's) lived through. It looks beyond the scope of the transaction that asks:
-- what a customer does may be of interest to the service organisation. The lock
-- keeps a webhook from being removed before its delivery is written.
-- +goose StatementBegin
CREATE FUNCTION webhooks_for(types text[], owner uuid) RETURNS TABLE (id uuid, customer_id uuid) LANGUAGE sql SET app.scope = 'all' AS $$
  SELECT w.id, w.customer_id FROM webhook w
  WHERE w.enabled AND (w.customer_id IS NULL OR w.customer_id = owner) AND w.events && types
  ORDER BY w.id FOR KEY SHARE
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['webhook','webhook_delivery'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (app_sees(customer_id)) WITH CHECK (app_sees(customer_id))', t);
  END LOOP;
END $$;
-- +goose StatementEnd
-- What a customer does goes to the service organisation's webhooks too; only staff reads it.
CREATE POLICY delivery_to_staff ON webhook_delivery FOR INSERT WITH CHECK (customer_id IS NULL);
