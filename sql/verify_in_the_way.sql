-- Sessions that can be in the way of replay: those that hold a transaction open, the oldest first, and since when. What is
-- NULL is not shown to this role (it needs pg_monitor).
-- As a plain script, on a standby: psql -f sql/verify_in_the_way.sql
SELECT a.pid,
       a.application_name,
       a.state,
       pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF')
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.backend_type = 'client backend'
   AND a.xact_start IS NOT NULL
   AND a.pid <> pg_catalog.pg_backend_pid()
 ORDER BY a.xact_start
 LIMIT 3
