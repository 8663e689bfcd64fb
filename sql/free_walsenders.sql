-- How many more walsenders a primary can have: a standby takes one, a base backup two.
-- As a plain script, on a primary: psql -f sql/free_walsenders.sql
SELECT current_setting('max_wal_senders')::bigint - count(*)
  FROM pg_stat_replication
