-- What the tables of these names in the schema understudy are: kind, mark (their comment), columns with their types.
-- psql: PREPARE seed_tables (text[]) AS
-- psql: EXECUTE seed_tables ('{customers,users,orders}');
SELECT c.relname::text,
       c.relkind::text,
       pg_catalog.obj_description(c.oid, 'pg_class'),
       (SELECT pg_catalog.string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
                                     ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = 'understudy' AND c.relname = ANY ($1)
