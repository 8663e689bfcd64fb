-- From now on this session finds rows by reading the whole table, as verify_session.sql has it.
-- As a plain script: psql -f sql/verify_by_scan.sql
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SET enable_seqscan = on;
SET enable_hashjoin = on;
SET enable_mergejoin = on;
SET enable_material = on;
