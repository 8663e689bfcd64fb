-- The columns of a table: name, type, type with its length, and where it stands in the primary key, with that key's
-- index. Columns that are computed as they are read (PostgreSQL 18 and newer) hold nothing, and are left out.
-- psql: PREPARE verify_columns (oid) AS
-- psql: EXECUTE verify_columns ('understudy.ledger'::regclass);
SELECT a.attname::text,
       a.atttypid,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.array_position(k.conkey, a.attnum)::int,
       k.conindid::pg_catalog.regclass::text
  FROM pg_catalog.pg_attribute AS a
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
 ORDER BY a.attnum
