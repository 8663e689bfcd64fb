-- The columns of a table: name, type, and where it stands in the primary key. Columns that are computed as they are read
-- (PostgreSQL 18 and newer) hold nothing, and are left out; so is what maintenance counts in the catalogs: it is written in
-- place, at any time.
-- psql: PREPARE verify_columns (oid) AS
-- psql: EXECUTE verify_columns ('understudy.ledger'::regclass);
SELECT a.attname::text,
       a.atttypid,
       pg_catalog.array_position(k.conkey, a.attnum)::int
  FROM pg_catalog.pg_attribute AS a
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
   AND NOT (a.attrelid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_database'::pg_catalog.regclass)
            AND a.attname IN ('relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid',
                              'datfrozenxid', 'datminmxid'))
 ORDER BY a.attnum
