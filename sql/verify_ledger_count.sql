-- How many rows of one run of write-load there are.
-- psql: PREPARE verify_ledger_count (text) AS
-- psql: EXECUTE verify_ledger_count ('try');
SELECT count(*) FROM understudy.ledger AS l WHERE l.run = $1
