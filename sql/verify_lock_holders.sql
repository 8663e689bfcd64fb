-- Who keeps a table locked against readers: who holds it exclusively, then who waits for that before us, and since when. A
-- pid of NULL is a prepared transaction's; the process that replays holds what a transaction of the primary holds.
-- psql: PREPARE verify_lock_holders (oid) AS
-- psql: EXECUTE verify_lock_holders ('understudy.ledger'::regclass);
SELECT l.pid,
       COALESCE(NULLIF(a.application_name, ''), a.backend_type, p.gid),
       a.state,
       extract(epoch FROM pg_catalog.clock_timestamp() - COALESCE(a.xact_start, p.prepared))::float8,
       l.granted,
       a.backend_type = 'startup',
       a.wait_event,
       pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(l.pid), ', ')
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
  LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON l.virtualtransaction = '-1/' || p.transaction
 WHERE l.locktype = 'relation'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
   AND l.relation = $1
   AND l.mode = 'AccessExclusiveLock'
   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
 ORDER BY l.granted DESC, a.xact_start
 LIMIT 3
