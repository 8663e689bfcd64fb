-- How many blocks a table has here, in which file they are (another one after each rewrite: CLUSTER, VACUUM FULL, TRUNCATE, some
-- forms of ALTER TABLE), and what it is called by now. No row, or NULL, once it is dropped.
-- psql: PREPARE verify_blocks (oid) AS
-- psql: EXECUTE verify_blocks ('understudy.ledger'::regclass);
SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint,
       pg_catalog.pg_relation_filenode(c.oid),
       n.nspname::text,
       c.relname::text
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = $1
