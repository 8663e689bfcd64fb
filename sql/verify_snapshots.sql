-- Whether there is a snapshot on this node that is not of this database, or may be: in another database, of a walsender, kept by a
-- slot, or hidden from a role without pg_monitor.
-- As a plain script: psql -f sql/verify_snapshots.sql
SELECT EXISTS (SELECT
                 FROM pg_catalog.pg_stat_activity AS a
                WHERE a.datname IS DISTINCT FROM pg_catalog.current_database()
                  AND (a.backend_xmin IS NOT NULL OR a.query = '<insufficient privilege>'))
    OR EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.xmin IS NOT NULL)
