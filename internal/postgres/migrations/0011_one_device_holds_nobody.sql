-- +goose Up
-- What the rules say of a machine that the records would not take, until it is tried
-- again: the machine's own, so that all others go on. kept is JSON that a column of
-- that type might refuse in its turn. There is no reference to the machine, because
-- one that is gone is a reason to be here.
CREATE TABLE held_outcome (
  machine_id uuid PRIMARY KEY, machine_key text NOT NULL, since timestamptz NOT NULL,
  kept bytea NOT NULL, changes int NOT NULL, dropped bigint NOT NULL DEFAULT 0, failures bigint NOT NULL DEFAULT 0,
  reason text NOT NULL, detail text NOT NULL, log uuid NOT NULL, lsn bigint NOT NULL,
  tries int NOT NULL DEFAULT 0, next_try_at timestamptz
);
CREATE INDEX held_outcome_due ON held_outcome (next_try_at) WHERE next_try_at IS NOT NULL;
ALTER TABLE held_outcome ENABLE ROW LEVEL SECURITY;
ALTER TABLE held_outcome FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON held_outcome USING (app_staff()) WITH CHECK (app_staff());

SELECT set_config('app.scope', 'all', true);

-- Births of Sparkplug are kept within bounds, for an edge node and in all. What is
-- not kept is refused, and means so to every reader: whoever comes to a record
-- first decides for all (decided_lsn), and a row of type REFUSED ends what was known
-- of its node. What no record of the log needs any more is retired at the end that
-- the log has then, and deleted when the log begins behind it.
ALTER TABLE sparkplug_event DROP CONSTRAINT sparkplug_event_type_check;
ALTER TABLE sparkplug_event ADD CONSTRAINT sparkplug_event_type_check CHECK (type IN ('NBIRTH','NDEATH','DBIRTH','DDEATH','SESSION','REFUSED'));
ALTER TABLE sparkplug_event ADD COLUMN retired_lsn bigint;
CREATE INDEX sparkplug_event_retired ON sparkplug_event (log, retired_lsn) WHERE retired_lsn IS NOT NULL;
CREATE TABLE sparkplug_node (
  log uuid NOT NULL, group_id text NOT NULL, edge_node text NOT NULL, events int NOT NULL, bytes bigint NOT NULL,
  heard_lsn bigint NOT NULL, refusing boolean NOT NULL DEFAULT false, PRIMARY KEY (log, group_id, edge_node)
);
CREATE INDEX sparkplug_node_heard ON sparkplug_node (log, heard_lsn);
CREATE TABLE sparkplug_kept (
  log uuid PRIMARY KEY, decided_lsn bigint NOT NULL, nodes bigint NOT NULL, events bigint NOT NULL, bytes bigint NOT NULL, refused bigint NOT NULL DEFAULT 0
);
INSERT INTO sparkplug_node (log, group_id, edge_node, events, bytes, heard_lsn)
SELECT e.log, e.group_id, e.edge_node, count(*), sum(octet_length(e.payload)), (SELECT max(l.lsn) FROM sparkplug_event l WHERE l.log = e.log)
FROM sparkplug_event e GROUP BY e.log, e.group_id, e.edge_node;
INSERT INTO sparkplug_kept (log, decided_lsn, nodes, events, bytes)
SELECT log, max(heard_lsn), count(*), sum(events), sum(bytes) FROM sparkplug_node GROUP BY log;
-- +goose StatementBegin
DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['sparkplug_node','sparkplug_kept'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY staff ON %I USING (app_staff()) WITH CHECK (app_staff())', t);
  END LOOP;
END $$;
-- +goose StatementEnd
