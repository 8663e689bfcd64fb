-- Which of these transactions run no longer. A transaction that waits for a standby still runs, and pg_xact_status
-- knows subtransactions, which a snapshot's list does not. The 32 bits of a row's xmin are placed next to the next id; ids
-- before the first real one (frozen, bootstrap, damaged) belong to nobody who runs.
-- psql: PREPARE verify_settled (bigint[]) AS
-- psql: EXECUTE verify_settled ('{2,740}');
WITH next AS (
    SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS id
), placed AS (
    SELECT x.id AS short,
           next.id + ((x.id - next.id) % 4294967296 + 6442450944) % 4294967296 - 2147483648 AS id,
           next.id AS next
      FROM next, unnest($1::bigint[]) AS x (id)
)
SELECT short
  FROM placed
 WHERE CASE WHEN short < 3 OR id < 3 THEN true
            WHEN id >= next THEN false
            ELSE pg_catalog.pg_xact_status(id::text::xid8) IS DISTINCT FROM 'in progress'
       END
