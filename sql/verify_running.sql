-- The transactions that run here, those included whose commit waits for a standby.
-- As a plain script: psql -f sql/verify_running.sql
SELECT xid::text::bigint
  FROM pg_catalog.pg_snapshot_xip(pg_catalog.pg_current_snapshot()) AS xid
