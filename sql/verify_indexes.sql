-- The indexes of a table, a row for each of their key columns: what is in the column, the operators by which an index scan can
-- find a row by its own value (of the column's operator class, the first one that holds between a value and itself is used), and
-- for a btree, which order its entries are in; at the end, the columns of the table that the index can return by itself, and whether
-- it has others than those of its key. Functions that are written in SQL or a language of the database's users, and the checks of
-- domains, are not called by us: a superuser's are in C.
-- psql: PREPARE verify_indexes (oid) AS
-- psql: EXECUTE verify_indexes ('understudy.ledger'::regclass);
SELECT i.indexrelid,
       pg_catalog.quote_ident(c.relname),
       i.indexrelid::pg_catalog.regclass::text,
       a.amname::text,
       i.indisvalid,
       pg_catalog.replace(pg_catalog.pg_get_expr(i.indpred, i.indrelid, true), whole.row, 't.*'),
       EXISTS (SELECT
                 FROM pg_catalog.pg_depend AS d
                 LEFT JOIN pg_catalog.pg_operator AS o ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
                 JOIN pg_catalog.pg_proc AS p
                   ON p.oid = CASE d.refclassid WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid ELSE o.oprcode END
                 JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
                  AND l.lanname NOT IN ('internal', 'c'))
           OR EXISTS (SELECT
                        FROM pg_catalog.pg_depend AS d
                        JOIN pg_catalog.pg_type AS y ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND y.oid = d.refobjid
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
                         AND y.typtype IN ('d', 'c')),
       pg_catalog.replace(pg_catalog.pg_get_indexdef(i.indexrelid, k.n::int, true), whole.row, 't.*')
           || COALESCE((SELECT pg_catalog.format(' COLLATE %I.%I', cn.nspname, l.collname)
                          FROM pg_catalog.pg_collation AS l
                          JOIN pg_catalog.pg_namespace AS cn ON cn.oid = l.collnamespace
                          LEFT JOIN pg_catalog.pg_attribute AS column_of
                            ON column_of.attrelid = i.indrelid AND column_of.attnum = i.indkey[k.n - 1] AND column_of.attnum <> 0
                         WHERE l.oid = i.indcollation[k.n - 1]
                           -- which collation an expression has by itself, no catalog says
                           AND column_of.attcollation IS DISTINCT FROM l.oid), ''),
       ARRAY(SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)
               FROM pg_catalog.pg_amop AS m
               JOIN pg_catalog.pg_operator AS o ON o.oid = m.amopopr
               JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
              WHERE m.amopfamily = f.opcfamily AND m.amopmethod = a.oid AND m.amoppurpose = 's'
                AND m.amoplefttype = f.opcintype
                AND (m.amoprighttype = f.opcintype AND o.oprname IN ('=', '~=', '@>', '<@', '&&')
                     OR o.oid = 'pg_catalog.@@ (tsvector, tsquery)'::pg_catalog.regoperator)
              ORDER BY pg_catalog.array_position(ARRAY['=', '~=', '@>', '<@', '&&', '@@'], o.oprname::text)),
       (SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)
          FROM pg_catalog.pg_amop AS m
          JOIN pg_catalog.pg_operator AS o ON o.oid = m.amopopr
          JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
         WHERE a.amname = 'btree' AND m.amopfamily = f.opcfamily
           AND m.amoplefttype = f.opcintype AND m.amoprighttype = f.opcintype
           AND m.amopstrategy = CASE i.indoption[k.n - 1] & 1 WHEN 0 THEN 1 ELSE 5 END),
       i.indoption[k.n - 1] & 2 <> 0,
       f.opcintype = 'pg_catalog.tsvector'::pg_catalog.regtype AND a.amname <> 'btree',
       ARRAY(SELECT column_of.attname::text
               FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS u (attnum, n)
               JOIN pg_catalog.pg_attribute AS column_of ON column_of.attrelid = i.indrelid AND column_of.attnum = u.attnum
              WHERE u.n > i.indnkeyatts -- which it holds for nothing else
                 OR pg_catalog.pg_index_column_has_property(i.indexrelid, u.n::int, 'returnable')),
       i.indnatts > i.indnkeyatts
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
 CROSS JOIN LATERAL pg_catalog.unnest(i.indclass) WITH ORDINALITY AS k (opclass, n)
  JOIN pg_catalog.pg_opclass AS f ON f.oid = k.opclass
  JOIN pg_catalog.pg_class AS r ON r.oid = i.indrelid
 -- an expression over a whole row calls it by its table's name, and our statements call the table t
 CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.concat(i.indexprs, i.indpred) LIKE '%:varattno 0 %'
                                 THEN pg_catalog.quote_ident(r.relname) || '.*' ELSE '' END) AS whole (row)
 WHERE i.indrelid = $1 AND k.n <= i.indnkeyatts
 ORDER BY c.relname, i.indexrelid, k.n
