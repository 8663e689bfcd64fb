-- From now on this session looks rows up by index wherever there is one.
-- As a plain script: psql -f sql/verify_by_index.sql
SET enable_indexscan = on;
SET enable_bitmapscan = on;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
