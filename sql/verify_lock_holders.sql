-- Who keeps a table locked against readers: who holds it exclusively, then who waits for that before us, and since when their
-- transactions run. A pid of NULL is a prepared transaction's; the process that replays holds what one of the primary holds.
-- psql: PREPARE verify_lock_holders (oid) AS
-- psql: EXECUTE verify_lock_holders ('understudy.ledger'::regclass);
SELECT l.pid,
       COALESCE(NULLIF(a.application_name, ''), a.backend_type, p.gid, 'not shown'),
       COALESCE(a.state, a.wait_event, 'prepared'),
       pg_catalog.to_char(COALESCE(a.xact_start, p.prepared), 'YYYY-MM-DD HH24:MI:SSOF'),
       l.granted,
       COALESCE(a.backend_type = 'startup', false),
       COALESCE(a.wait_event = 'SyncRep', false),
       -- whoever waits to have it alone waits for all who have it (pg_blocking_pids does not know of replay)
       COALESCE((SELECT pg_catalog.string_agg(DISTINCT g.pid::text, ', ')
                   FROM pg_catalog.pg_locks AS g
                  WHERE g.locktype = 'relation' AND g.database = l.database AND g.relation = l.relation
                    AND g.granted AND g.pid <> l.pid), '')
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
  LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON l.pid IS NULL AND l.virtualtransaction = '-1/' || p.transaction
 WHERE l.locktype = 'relation'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
   AND l.relation = $1
   AND l.mode = 'AccessExclusiveLock'
   AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
 ORDER BY l.granted DESC, a.xact_start
 LIMIT 3
