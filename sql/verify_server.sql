-- Which server a session is with: its cluster, where it listens, whether it is in recovery, and when
-- it was started.
-- As a plain script: psql -f sql/verify_server.sql
SELECT c.system_identifier,
       pg_catalog.concat_ws(' ', pg_catalog.current_setting('port'), pg_catalog.inet_server_addr()),
       pg_catalog.pg_is_in_recovery(),
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text
  FROM pg_catalog.pg_control_system() AS c
