-- Lets the role that monitors read the indexes of standbys in full, by PostgreSQL's own amcheck and pg_visibility, where the server
-- has them (most have: Debian's postgresql package, postgresql-contrib elsewhere). Without them indexes are sampled.
-- Runs again without harm. As the administrator, after roles.sql: psql -d understudy -f sql/checkers.sql
SET client_min_messages = warning;

DO $$
DECLARE
    wanted text;
    checker regprocedure;
BEGIN
    FOR wanted IN
        SELECT a.name FROM pg_available_extensions AS a
         WHERE a.name IN ('amcheck', 'pg_visibility') AND a.installed_version IS NULL
    LOOP
        EXECUTE format('CREATE EXTENSION %I SCHEMA understudy', wanted); -- ours, and nobody else may make anything there
    END LOOP;
    FOR checker IN
        SELECT p.oid
          FROM pg_extension AS e
          JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
          JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
         WHERE e.extname IN ('amcheck', 'pg_visibility')
           AND p.proname IN ('bt_index_check', 'gin_index_check', 'pg_check_visible', 'pg_check_frozen')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO understudy_monitor', checker);
    END LOOP;
END $$;
