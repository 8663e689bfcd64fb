-- How many blocks a table has here, and in which file they are: another one after each rewrite (CLUSTER, VACUUM FULL,
-- TRUNCATE, some forms of ALTER TABLE). NULL once it is dropped.
-- psql: PREPARE verify_blocks (oid) AS
-- psql: EXECUTE verify_blocks ('understudy.ledger'::regclass);
SELECT pg_catalog.pg_relation_size($1::oid) / pg_catalog.current_setting('block_size')::bigint,
       pg_catalog.pg_relation_filenode($1::oid)
