-- As verify_by_index.sql, but only by bitmaps: for indexes that can do nothing else, where another index offers more.
-- As a plain script: psql -f sql/verify_by_bitmap.sql
SET enable_indexscan = off;
SET enable_bitmapscan = on;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
