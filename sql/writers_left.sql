-- Backends of a run that are still there: a client that is gone can leave one in a sync wait, whose row appears later.
-- psql: PREPARE writers_left (text) AS
-- psql: EXECUTE writers_left ('understudy try');
SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()
