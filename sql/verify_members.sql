-- The transactions behind a multixact id; an error (XX000) if there is no such multixact.
-- psql: PREPARE verify_members (text) AS
-- psql: EXECUTE verify_members ('1');
SELECT m.xid::text::bigint FROM pg_catalog.pg_get_multixact_members($1::text::xid) AS m
