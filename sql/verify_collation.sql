-- The version of the database's collation that its indexes were built with, and the one that this server has now
-- (PostgreSQL 15 and newer). Where they differ, text indexes can be wrong.
-- As a plain script: psql -f sql/verify_collation.sql
SELECT d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid)
  FROM pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database()
