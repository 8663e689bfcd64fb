-- The checkpoint in the control file, as one text, and its place in the WAL: on a standby that of its last restartpoint, which is
-- one that its primary made. No two servers write the same: it has places in the WAL, counters and a time.
-- As a plain script: psql -f sql/verify_checkpoint.sql
SELECT c::text, c.checkpoint_lsn::text FROM pg_catalog.pg_control_checkpoint() AS c
