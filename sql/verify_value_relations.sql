-- What there is to compare by value: tables, partitioned tables as a whole, materialized views, sequences; foreign tables and
-- partitions to be told apart from them.
-- As a plain script: psql -f sql/verify_value_relations.sql
SELECT c.oid,
       n.nspname::text,
       c.relname::text,
       c.relkind::text,
       c.relpersistence::text,
       c.relispopulated,
       c.relispartition
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm', 'f', 'S')
   -- what is there by itself is below the first oid that is given to anything of a user's
   AND (n.nspname NOT IN ('pg_catalog', 'information_schema') OR c.oid >= 16384)
 ORDER BY n.nspname, c.relname
