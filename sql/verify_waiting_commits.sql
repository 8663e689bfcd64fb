-- Commits that wait on this primary for a synchronous standby, the oldest first: who, since when the transaction runs, and
-- all transaction ids that each of them holds (with those of subtransactions).
-- As a plain script: psql -f sql/verify_waiting_commits.sql
SELECT a.pid,
       a.application_name,
       pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SSOF'),
       ARRAY(SELECT l.transactionid::text::bigint
               FROM pg_catalog.pg_locks AS l
              WHERE l.pid = a.pid AND l.locktype = 'transactionid' AND l.granted)
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.wait_event = 'SyncRep'
 ORDER BY a.xact_start
