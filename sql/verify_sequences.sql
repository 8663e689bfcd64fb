-- The definitions of sequences, who wrote them last, and what they are called by now. Where a sequence stands is read from itself:
-- its log_cnt says how far ahead a standby may be, and neither pg_sequences nor pg_sequence_last_value() shows it.
-- psql: PREPARE verify_sequences (oid[]) AS
-- psql: EXECUTE verify_sequences (ARRAY['understudy.customers_id_seq'::regclass]);
SELECT s.seqrelid,
       s.seqstart,
       s.seqincrement,
       s.seqmin,
       s.seqmax,
       s.seqcache,
       s.seqcycle,
       pg_catalog.format_type(s.seqtypid, NULL),
       s.xmin,
       c.xmin,
       n.nspname::text,
       c.relname::text
  FROM pg_catalog.pg_sequence AS s
  JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE s.seqrelid = ANY ($1)
