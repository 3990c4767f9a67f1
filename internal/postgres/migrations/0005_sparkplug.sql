-- +goose Up
-- What Sparkplug edge nodes have said of themselves, as it stands in the intake
-- log: a birth is needed for as long as its node speaks, the log's segments go.
CREATE TABLE sparkplug_event (
  log uuid NOT NULL, lsn bigint NOT NULL, source text NOT NULL, group_id text NOT NULL, edge_node text NOT NULL, device text NOT NULL,
  type text NOT NULL CHECK (type IN ('NBIRTH','NDEATH','DBIRTH','DDEATH','SESSION')), received_at timestamptz NOT NULL, payload bytea NOT NULL,
  PRIMARY KEY (log, lsn)
);
CREATE INDEX sparkplug_event_node ON sparkplug_event (log, group_id, edge_node, lsn);
ALTER TABLE sparkplug_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE sparkplug_event FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sparkplug_event USING (app_staff()) WITH CHECK (app_staff());
