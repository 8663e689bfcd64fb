-- The functions of the extensions amcheck and pg_visibility that this role may call here: each with its schema, as a statement calls it.
-- As a plain script: psql -f sql/verify_checkers.sql
SELECT p.proname::text,
       pg_catalog.format('%I.%I', n.nspname, p.proname),
       p.pronargs::int
  FROM pg_catalog.pg_extension AS e
  JOIN pg_catalog.pg_depend AS d
    ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid AND d.deptype = 'e'
   AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE e.extname IN ('amcheck', 'pg_visibility')
   AND (p.proname, p.pronargs) IN (('bt_index_check', 2), ('gin_index_check', 1), ('pg_check_visible', 1),
                                  ('pg_check_frozen', 1))
   AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
