-- The one table that measure-lag writes to: one row per run, so that two measurements do not disturb each other.
-- Runs again without harm. As an administrator, on the primary: psql -d DBNAME -f sql/heartbeat.sql
-- Then, for the role that measures (in a lab, roles.sql does it):
--     GRANT USAGE ON SCHEMA understudy TO monitor;
--     GRANT SELECT, INSERT, UPDATE, DELETE ON understudy.heartbeat TO monitor;
SET client_min_messages = warning;

CREATE SCHEMA IF NOT EXISTS understudy;

CREATE TABLE IF NOT EXISTS understudy.heartbeat (
    run  text PRIMARY KEY,
    beat bigint NOT NULL
) WITH (fillfactor = 50);                -- room for HOT updates: a beat touches no index
