-- The columns of a table: name, type, type with its length, and where it stands in the primary key, with that key's
-- index and the equality of that index's own operator class: of a type from an extension it is not in pg_catalog. Columns that are computed as they are read (PostgreSQL 18 and newer) hold nothing, and are left out; so is what
-- maintenance counts in the catalogs: it is written in place, at any time.
-- psql: PREPARE verify_columns (oid) AS
-- psql: EXECUTE verify_columns ('understudy.ledger'::regclass);
SELECT a.attname::text,
       a.atttypid,
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.array_position(k.conkey, a.attnum)::int,
       k.conindid::pg_catalog.regclass::text,
       (SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)
          FROM pg_catalog.pg_index AS i
          JOIN pg_catalog.pg_opclass AS c ON c.oid = i.indclass[pg_catalog.array_position(k.conkey, a.attnum) - 1]
          JOIN pg_catalog.pg_amop AS m
            ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
           AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
          JOIN pg_catalog.pg_operator AS o ON o.oid = m.amopopr
          JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
         WHERE i.indexrelid = k.conindid)
  FROM pg_catalog.pg_attribute AS a
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
   AND NOT (a.attrelid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_database'::pg_catalog.regclass)
            AND a.attname IN ('relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid',
                              'datfrozenxid', 'datminmxid'))
 ORDER BY a.attnum
