-- How much WAL a standby has: the greater of what it received and what it replayed. The received position alone can lie
-- behind what was replayed, after a restart of the standby.
-- As a plain script, on a standby: psql -f sql/received.sql
SELECT greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0'))::text
