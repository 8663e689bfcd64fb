-- Sessions that can be in the way of replay: those that hold a snapshot or a transaction open, the oldest first, and no
-- longer than a moment do ours. NULL: not shown to this role (it needs pg_monitor).
-- As a plain script, on a standby: psql -f sql/verify_in_the_way.sql
SELECT a.pid,
       a.application_name,
       a.state,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.backend_type = 'client backend'
   AND a.xact_start IS NOT NULL
   AND a.pid <> pg_catalog.pg_backend_pid()
 ORDER BY a.xact_start
 LIMIT 3
