-- What a session of write-load has to know before its first write: is this the primary, on which timeline, does it
-- take writes, and do the settings hold that its acknowledgements depend on?
-- As a plain script: psql -f sql/session_state.sql
SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END,
       current_setting('synchronous_commit'),
       current_setting('client_min_messages'),
       current_setting('transaction_read_only')
