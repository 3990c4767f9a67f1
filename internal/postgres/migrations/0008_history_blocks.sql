-- +goose Up
-- Days that are over are packed: a row holds a stretch of one signal of one machine,
-- compressed by the program (seconds = 0), and of days beyond the retention 15-minute
-- roll-ups (seconds = 900). Late rows go to sample again and are packed with the rest.
-- sample_rollup holds the roll-ups of installations from before; it is only read.
CREATE TABLE sample_block (
  machine_no integer NOT NULL, seconds smallint NOT NULL CHECK (seconds IN (0, 900)),
  first_at timestamptz NOT NULL, signal_no smallint NOT NULL, last_at timestamptz NOT NULL CHECK (last_at >= first_at),
  n integer NOT NULL CHECK (n > 0), data bytea NOT NULL,
  PRIMARY KEY (machine_no, seconds, first_at, signal_no)
);
ALTER TABLE sample_block ALTER COLUMN data SET STORAGE EXTERNAL;

ALTER TABLE sample_block ENABLE ROW LEVEL SECURITY;
ALTER TABLE sample_block FORCE ROW LEVEL SECURITY;
CREATE POLICY staff ON sample_block USING (app_staff()) WITH CHECK (app_staff());
-- A block that a transfer of the machine lies in is nobody's until it is split there.
CREATE POLICY tenant ON sample_block FOR SELECT USING (current_setting('app.scope', true) = 'customer' AND EXISTS (
  SELECT 1 FROM machine m JOIN machine_ownership o ON o.machine_id = m.id
  WHERE m.no = sample_block.machine_no AND o.customer_id = nullif(current_setting('app.customer', true), '')::uuid
    AND sample_block.first_at >= o.valid_from AND (o.valid_to IS NULL OR sample_block.last_at < o.valid_to)));

-- Both ask the parent, whose policies hold, and only in the name of the staff: who sees
-- no rows must not conclude that there are none. A writer or reader that is in the way
-- is not waited for long: there is a next time.
-- +goose StatementBegin
CREATE FUNCTION lock_sample_partition(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public SET lock_timeout = '500ms' AS $$
DECLARE name text := 'sample_' || to_char(day, 'YYYYMMDD'); since timestamptz := (day::text || ' 00:00:00+00')::timestamptz;
BEGIN
  IF NOT app_staff() THEN
    RAISE EXCEPTION 'only the staff tends the history' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF to_regclass(name) IS NULL THEN
    RETURN false;
  END IF;
  BEGIN
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', name);
  EXCEPTION WHEN lock_not_available THEN
    RETURN false;
  END;
  RETURN NOT EXISTS (SELECT 1 FROM sample s WHERE s.at >= since AND s.at < since + interval '24 hours');
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION empty_sample_partition(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  IF NOT lock_sample_partition(day) THEN
    RETURN false;
  END IF;
  EXECUTE format('TRUNCATE %I', 'sample_' || to_char(day, 'YYYYMMDD'));
  RETURN true;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION drop_sample_partition(day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  IF NOT lock_sample_partition(day) THEN
    RETURN false;
  END IF;
  EXECUTE format('DROP TABLE %I', 'sample_' || to_char(day, 'YYYYMMDD'));
  RETURN true;
END $$;
-- +goose StatementEnd
DROP FUNCTION drop_sample_partitions(date);
