-- All rows of one run of write-load.
-- psql: PREPARE verify_ledger (text) AS
-- psql: EXECUTE verify_ledger ('try');
SELECT l.worker, l.seq, l.payload FROM understudy.ledger AS l WHERE l.run = $1
