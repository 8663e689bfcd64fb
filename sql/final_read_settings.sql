-- Before the final read: the table itself is read, not an index that could be wrong about it.
-- As a plain script: psql -f sql/final_read_settings.sql
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
-- A table that somebody has locked is not waited for: what cannot be read is said to be so.
SET lock_timeout = '15s';
