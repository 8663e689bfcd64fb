-- What could be compared: tables, materialized views, foreign tables (to be named), sequences. Partitioned tables are
-- their leaves. With an argument: only that relation, or the leaves below it.
-- psql: PREPARE verify_relations (oid) AS
-- psql: EXECUTE verify_relations (NULL);
SELECT c.oid,
       n.nspname::text,
       c.relname::text,
       c.relkind::text,
       c.relpersistence::text,
       c.relispopulated
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE CASE WHEN $1::oid IS NULL
            THEN c.relkind IN ('r', 'm', 'f', 'S')
                 -- the tables there are catalogs, and compared with them
                 AND (c.relkind <> 'r' OR n.nspname NOT IN ('pg_catalog', 'information_schema'))
            ELSE c.oid = $1
                 OR c.relkind <> 'p'
                    AND c.oid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree($1) AS p WHERE p.isleaf)
       END
 ORDER BY n.nspname, c.relname
