-- Where sequences stand: whether they count up, and their last value (NULL before the first). From PostgreSQL 17 on it is NULL
-- also for one that the role may not read: such a one must be no row here, or it would pass for one that has not begun.
-- psql: PREPARE verify_sequences (oid[]) AS
-- psql: EXECUTE verify_sequences (ARRAY['understudy.customers_id_seq'::regclass]);
SELECT s.seqrelid, s.seqincrement > 0, pg_catalog.pg_sequence_last_value(s.seqrelid)
  FROM pg_catalog.pg_sequence AS s
 WHERE s.seqrelid = ANY ($1)
   AND pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT')
