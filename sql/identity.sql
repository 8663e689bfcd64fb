-- Who a server is: its cluster, its version, when it was started, where it listens, and whether it is in recovery. Do two
-- connection strings belong to one cluster, and to two servers? Do two sessions belong to one server?
-- As a plain script: psql -f sql/identity.sql
SELECT c.system_identifier,
       pg_catalog.current_setting('server_version_num')::int,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       pg_catalog.current_setting('port')::int,
       pg_catalog.inet_server_addr(),
       pg_catalog.pg_is_in_recovery()
  FROM pg_catalog.pg_control_system() AS c
