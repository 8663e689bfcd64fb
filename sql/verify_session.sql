-- A session that reads for verify-replication. Both nodes must print and read alike: nothing is left to their defaults.
-- As a plain script: psql -f sql/verify_session.sql
SET default_transaction_read_only = on;
SET default_transaction_isolation = 'read committed';
SET search_path = pg_catalog;             -- every name in the statements is qualified
-- how statements are read and printed, and how they are planned: what a role or a database has set is taken back
SELECT pg_catalog.set_config(s.name, s.boot_val, false)
  FROM pg_catalog.pg_settings AS s
 WHERE s.context = 'user'
   AND (s.name ~ '^enable_'
        OR s.name IN ('standard_conforming_strings', 'quote_all_identifiers', 'transform_null_equals', 'array_nulls',
                      'plan_cache_mode', 'force_parallel_mode', 'debug_parallel_query',
                      'gin_fuzzy_search_limit'));
SET row_security = off;                   -- an error, instead of rows hidden by a policy
SET jit = off;                            -- a chunk is too short to pay for compiling
SET statement_timeout = '5min';           -- a chunk takes seconds; after this nobody waits for it any more
SET lock_timeout = '10s';                 -- a table that is being rewritten is unknown; we do not queue before others
SET client_connection_check_interval = '1s';
-- a chunk may take as long as statement_timeout says, and the next one may be waited for, whatever this role's own settings are (the
-- first one: PostgreSQL 17 and newer)
SELECT pg_catalog.set_config(s.name, '0', false)
  FROM pg_catalog.pg_settings AS s
 WHERE s.name IN ('transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout');
-- SQL_ASCII says nothing of what its bytes mean: there, they are sent as they are
SELECT pg_catalog.set_config('client_encoding', pg_catalog.current_setting('server_encoding'), false)
 WHERE pg_catalog.current_setting('server_encoding') = 'SQL_ASCII';
-- of another encoding than that and UTF8, the server is told for each statement whether to convert
SELECT 'server_encoding', pg_catalog.current_setting('server_encoding');
-- sequential reads: an index could hide a row, or show one that is not there
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
