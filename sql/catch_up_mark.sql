-- A mark in the WAL to catch up with: a record of our own, flushed here without waiting for a standby.
-- Read pg_current_wal_flush_lsn() after it; whoever has replayed past that has everything acknowledged before.
-- As a plain script: psql -f sql/catch_up_mark.sql
BEGIN;
SET LOCAL synchronous_commit = local;
SELECT pg_logical_emit_message(true, 'understudy', '');
COMMIT;
