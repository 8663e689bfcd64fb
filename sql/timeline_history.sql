-- The history of a timeline: where it left its parents.
-- psql: PREPARE timeline_history (int) AS
-- psql: EXECUTE timeline_history (2);
SELECT pg_read_file('pg_wal/' || lpad(upper(to_hex($1::int)), 8, '0') || '.history')
