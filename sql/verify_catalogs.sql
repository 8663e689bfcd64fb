-- The catalogs: tables like any other, and replicated like them. Whether this role may read each, whether its rows have an oid to
-- be named by, and whether all databases have it in common.
-- As a plain script: psql -f sql/verify_catalogs.sql
SELECT c.oid,
       n.nspname::text,
       c.relname::text,
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'oid'),
       c.relisshared
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('pg_catalog', 'information_schema')
   AND c.relkind = 'r'
 ORDER BY n.nspname DESC, c.relname
