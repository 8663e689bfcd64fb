-- The columns of a table for a comparison by value: name, type, the type that a domain is over, a collation that is not the
-- default one, and where the column stands in the primary key. And of each with all that its type is made of:
-- - whether the server sends it as the same bytes on every server of whatever database and version: types of users are sent with
--   their oid, types that stand for objects as the object's oid, some types not at all;
-- - whether its text says all of its value (labels of an enum, names of objects), so that nothing has to be parsed;
-- - whether to parse it would call a function of users: a domain within it has a check that does;
-- - what the types of users in it are made of, as another server would say it that has the same.
-- Columns that are computed as they are read (PostgreSQL 18 and newer) hold nothing, and are left out.
-- psql: PREPARE verify_value_columns (oid) AS
-- psql: EXECUTE verify_value_columns ('understudy.ledger'::regclass);
WITH RECURSIVE own AS (
    SELECT a.attnum, a.attname, a.atttypid, a.attcollation,
           pg_catalog.array_position(k.conkey, a.attnum)::int AS place
      FROM pg_catalog.pg_attribute AS a
      LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
), domain (attnum, oid) AS (
    SELECT own.attnum, own.atttypid FROM own
     UNION
    SELECT d.attnum, t.typbasetype
      FROM domain AS d
      JOIN pg_catalog.pg_type AS t ON t.oid = d.oid
     WHERE t.typtype = 'd'
), base AS (
    SELECT d.attnum, d.oid, t.typtype, t.typelem
      FROM domain AS d
      JOIN pg_catalog.pg_type AS t ON t.oid = d.oid
     WHERE t.typtype <> 'd'
), part (attnum, oid) AS (
    SELECT base.attnum, base.oid FROM base
     UNION
    SELECT p.attnum, inner_type.oid
      FROM part AS p
      JOIN pg_catalog.pg_type AS t ON t.oid = p.oid
     CROSS JOIN LATERAL (
               SELECT t.typbasetype
                UNION ALL
               SELECT t.typelem
                UNION ALL
               SELECT a.atttypid
                 FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                UNION ALL
               SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
                UNION ALL
               SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid
           ) AS inner_type (oid)
     WHERE inner_type.oid <> 0
), made AS (
    SELECT p.attnum,
           -- below 10000 are the oids that every server has for the same type
           pg_catalog.bool_and(p.oid < 10000 AND t.typsend <> 0 AND t.typtype <> 'p' AND t.typname !~ '^reg') AS is_sent_alike,
           pg_catalog.bool_or(t.typname ~ '^reg' AND p.oid < 10000 OR p.oid = 'pg_catalog.aclitem'::pg_catalog.regtype) AS names,
           pg_catalog.bool_or(EXISTS (SELECT
                                        FROM pg_catalog.pg_constraint AS c
                                        JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                                                                      AND d.objid = c.oid
                                       WHERE c.contypid = t.oid
                                         AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
                                                              'pg_catalog.pg_operator'::pg_catalog.regclass))) AS calls,
           pg_catalog.string_agg(
               pg_catalog.concat_ws(' ', pg_catalog.format_type(t.oid, -1), t.typtype,
                   CASE WHEN t.typbasetype <> 0 THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
                   (SELECT pg_catalog.format_type(r.rngsubtype, -1) FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid),
                   (SELECT pg_catalog.string_agg(
                               pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod),
                               ', ' ORDER BY a.attnum)
                      FROM pg_catalog.pg_attribute AS a
                     WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)),
               '; ' ORDER BY pg_catalog.format_type(t.oid, -1) COLLATE "C") FILTER (WHERE p.oid >= 16384) AS parts
      FROM part AS p
      JOIN pg_catalog.pg_type AS t ON t.oid = p.oid
     GROUP BY p.attnum
)
SELECT own.attname::text,
       pg_catalog.format_type(own.atttypid, -1),
       pg_catalog.format_type(base.oid, -1),
       CASE WHEN own.attcollation <> 0 AND c.collname <> 'default'
            THEN pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
       END,
       own.place,
       made.is_sent_alike AND own.atttypid < 10000,
       made.names OR base.typtype = 'e' OR COALESCE(e.typtype = 'e', false),
       made.calls,
       COALESCE(made.parts, '')
  FROM own
  JOIN base ON base.attnum = own.attnum
  JOIN made ON made.attnum = own.attnum
  LEFT JOIN pg_catalog.pg_type AS e ON e.oid = base.typelem
  LEFT JOIN pg_catalog.pg_collation AS c ON c.oid = own.attcollation
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
 ORDER BY own.attname COLLATE "C"
