SET search_path = honest;
-- A REINDEX CONCURRENTLY that ends in a deadlock leaves its index behind, and the next one would double all that are there.
SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
 WHERE indrelid = 'kept'::regclass AND indexrelid::regclass::text ~ '_cc(new|old)' \gexec
REINDEX TABLE moved;
SELECT pg_sleep(0.02);
REINDEX INDEX CONCURRENTLY kept_w;
SELECT pg_sleep(0.02);
CREATE INDEX CONCURRENTLY kept_v ON kept (v);
DROP INDEX CONCURRENTLY kept_v;
CREATE INDEX moods_m ON moods (m);
SELECT pg_sleep(0.02);
DROP INDEX moods_m;
REINDEX TABLE CONCURRENTLY kept;
REINDEX TABLE long;
SELECT pg_sleep(0.05);
