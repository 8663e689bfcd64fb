-- Who a server is: do two connection strings belong to one cluster, and to two servers?
-- As a plain script: psql -f sql/identity.sql
SELECT c.system_identifier,
       current_setting('server_version_num')::int,
       pg_postmaster_start_time()::text,
       current_setting('port')::int
  FROM pg_control_system() AS c;
