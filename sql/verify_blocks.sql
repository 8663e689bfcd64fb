-- How many blocks a table has here; NULL once it is dropped.
-- psql: PREPARE verify_blocks (oid) AS
-- psql: EXECUTE verify_blocks ('understudy.ledger'::regclass);
SELECT pg_catalog.pg_relation_size($1::oid) / pg_catalog.current_setting('block_size')::bigint
