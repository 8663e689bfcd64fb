-- Where the rows of a table lie: in itself, or in the leaves of a partitioned one; with the blocks of each.
-- psql: PREPARE verify_value_leaves (oid) AS
-- psql: EXECUTE verify_value_leaves ('understudy.ledger'::regclass);
SELECT c.oid,
       n.nspname::text,
       c.relname::text,
       CASE WHEN c.relkind = 'f' THEN 0
            ELSE pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint
       END
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind <> 'p'
   AND (c.oid = $1
        OR c.oid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree($1) AS p WHERE p.isleaf))
 ORDER BY c.oid
