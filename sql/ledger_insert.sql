-- One write of write-load: one row, one transaction.
-- psql: PREPARE ledger_insert (text, int, bigint, text) AS
-- psql: EXECUTE ledger_insert ('try', 0, 1, md5('try/0/1'));
INSERT INTO understudy.ledger (run, worker, seq, payload) VALUES ($1, $2, $3, $4)
