-- The WAL file that the primary writes; its first eight digits are the timeline. (pg_control_checkpoint() shows the old
-- timeline until the first checkpoint after a promotion.)
-- As a plain script, on the primary: psql -f sql/current_timeline.sql
SELECT pg_walfile_name(pg_current_wal_lsn())
