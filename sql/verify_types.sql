-- What types are made of: whether they and all types in them (elements, attributes, bounds, what a domain is over) have a
-- send function, a description that changes with whatever changes how their values are sent, and the type that they are sent as
-- instead: an xml is sent and printed without its declaration, and its bytes are those of a text. Not so one in a composite. Last,
-- an expression for what is not sent of a value and queries go by all the same: before PostgreSQL 18 a hash of a bool is one of
-- its byte, of which only is sent whether it is 0; and a polygon keeps the box around it.
-- psql: PREPARE verify_types (oid[]) AS
-- psql: EXECUTE verify_types ('{int4, text[], numrange, aclitem}'::regtype[]::oid[]);
WITH RECURSIVE part (root, oid) AS (
    SELECT given.oid, given.oid
      FROM unnest($1::oid[]) AS given (oid)
     UNION
    SELECT p.root, inner_type.oid
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
)
SELECT p.root,
       -- anyarray, in pg_statistic, holds arrays of any type
       pg_catalog.bool_and(t.typsend <> 0 AND t.typtype <> 'p'),
       pg_catalog.string_agg(
           pg_catalog.concat_ws(' ', t.oid, t.typsend::oid, t.typoutput::oid,
               -- an enum is sent as its label
               (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(e.enumlabel), ' ' ORDER BY e.oid)
                  FROM pg_catalog.pg_enum AS e
                 WHERE e.enumtypid = t.oid),
               (SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, ' ', a.atttypid), ' ' ORDER BY a.attnum)
                  FROM pg_catalog.pg_attribute AS a
                 WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)),
           '; ' ORDER BY t.oid),
       CASE WHEN pg_catalog.bool_or(t.oid = 'pg_catalog.xml'::regtype) AND NOT pg_catalog.bool_or(t.typtype IN ('c', 'r', 'm'))
            THEN CASE WHEN pg_catalog.bool_or(t.typelem <> 0) THEN 'text[]' ELSE 'text' END
        END,
       -- of the type itself or a domain over it: an array or composite has more than one part that is no domain
       CASE pg_catalog.array_agg(t.oid) FILTER (WHERE t.typtype <> 'd')
            WHEN '{bool}'::regtype[]::oid[] THEN 'pg_catalog.hash_record_extended(ROW(%s), 0)'
            WHEN array['pg_catalog.polygon'::regtype::oid] THEN 'pg_catalog.box(%s)'
        END
  FROM part AS p
  JOIN pg_catalog.pg_type AS t ON t.oid = p.oid
 GROUP BY p.root
