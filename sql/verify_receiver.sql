-- Whom a standby receives WAL from, and how far it has it; no row: it has no receiver. All is NULL but for a role that may read
-- all statistics (pg_monitor). The upstream knows the receiver by its slot, else by its application_name.
-- As a plain script, on a standby: psql -f sql/verify_receiver.sql
SELECT r.status,
       r.received_tli,
       r.flushed_lsn::text,
       r.slot_name,
       -- The expression begins with a blank: after `(?:^| )` PostgreSQL would take as much as it can, in spite of `.*?`.
       COALESCE(substring(' ' || r.conninfo FROM ' application_name=(.*?)(?: [a-z_]+=|$)'),
                substring(' ' || r.conninfo FROM ' fallback_application_name=(.*?)(?: [a-z_]+=|$)')),
       r.sender_host || ':' || r.sender_port
  FROM pg_catalog.pg_stat_wal_receiver AS r
