-- All rows that a run left in the ledger's table.
-- psql: PREPARE final_read (text) AS
-- psql: EXECUTE final_read ('try');
SELECT worker, seq, payload FROM understudy.ledger WHERE run = $1
