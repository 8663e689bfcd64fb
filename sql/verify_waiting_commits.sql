-- Commits that wait on this primary for a synchronous standby, the oldest first: who, since when the transaction runs, all
-- transaction ids that each of them holds (with those of subtransactions), and the tables that it keeps locked.
-- As a plain script: psql -f sql/verify_waiting_commits.sql
SELECT a.pid,
       a.application_name,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8,
       ARRAY(SELECT l.transactionid::text::bigint
               FROM pg_catalog.pg_locks AS l
              WHERE l.pid = a.pid AND l.locktype = 'transactionid' AND l.granted),
       ARRAY(SELECT l.relation
               FROM pg_catalog.pg_locks AS l
              WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock')
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.wait_event = 'SyncRep'
 ORDER BY a.xact_start
