-- The roles of a lab, each with no more than its work needs. Passwords are set apart, as SCRAM verifiers.
-- Runs again without harm. As the administrator, after schema.sql and heartbeat.sql: psql -d understudy -f sql/roles.sql
SET client_min_messages = warning;

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['understudy_app', 'understudy_monitor', 'understudy_replication', 'understudy_rewind']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
    END LOOP;
END $$;

-- The application: the rows of our own tables, not the tables, and nothing of anybody else's.
GRANT USAGE ON SCHEMA understudy TO understudy_app;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE
   ON understudy.customers, understudy.users, understudy.orders, understudy.ledger TO understudy_app;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA understudy TO understudy_app;

-- Monitoring: reads everything, writes only the heartbeat.
GRANT pg_monitor, pg_read_all_data TO understudy_monitor;
GRANT USAGE ON SCHEMA understudy TO understudy_monitor;
GRANT SELECT, INSERT, UPDATE, DELETE ON understudy.heartbeat TO understudy_monitor;

-- Streaming: a walsender per standby, and one for a base backup beside it.
ALTER ROLE understudy_replication REPLICATION CONNECTION LIMIT 10;

-- pg_rewind: what its manual page lists ("Notes"), and no more.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO understudy_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO understudy_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO understudy_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO understudy_rewind;
