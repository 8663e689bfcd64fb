-- What the primary knows of its standbys: walsenders and physical slots, measured from one and the same WAL position.
-- Lag is in microseconds, gaps are in bytes. NULL stays NULL: no figure is not 0. A slot without a walsender has a row
-- too, for it keeps WAL all the same. Without pg_monitor all but names and slots is NULL.
-- As a plain script: psql -f sql/lag_server_stats.sql
SELECT r.application_name,
       s.slot_name::text,
       r.state,
       r.sync_state,
       (extract(epoch FROM r.write_lag) * 1000000)::bigint     AS write_lag_us,
       (extract(epoch FROM r.flush_lag) * 1000000)::bigint     AS flush_lag_us,
       (extract(epoch FROM r.replay_lag) * 1000000)::bigint    AS replay_lag_us,
       pg_wal_lsn_diff(here.lsn, r.sent_lsn)::bigint           AS sent_gap_bytes,
       pg_wal_lsn_diff(here.lsn, r.write_lsn)::bigint          AS write_gap_bytes,
       pg_wal_lsn_diff(here.lsn, r.flush_lsn)::bigint          AS flush_gap_bytes,
       pg_wal_lsn_diff(here.lsn, r.replay_lsn)::bigint         AS replay_gap_bytes,
       pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint        AS slot_kept_bytes
  FROM (SELECT pg_current_wal_lsn() AS lsn OFFSET 0) AS here
 CROSS JOIN ((SELECT * FROM pg_stat_replication WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal')) AS r
             FULL JOIN (SELECT * FROM pg_replication_slots WHERE slot_type = 'physical') AS s ON s.active_pid = r.pid);
