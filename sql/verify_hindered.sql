-- What keeps a standby from replaying: whether replay is paused, recovery_min_apply_delay, its receiver, what the process that
-- replays waits for, and max_standby_streaming_delay. What is NULL is not shown to this role (it needs pg_monitor).
-- As a plain script, on a standby: psql -f sql/verify_hindered.sql
SELECT pg_catalog.pg_get_wal_replay_pause_state(),
       pg_catalog.current_setting('recovery_min_apply_delay'),
       EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver),
       s.pid,
       s.wait_event_type,
       s.wait_event,
       pg_catalog.current_setting('max_standby_streaming_delay')
  FROM (VALUES (1)) AS one (row)
  LEFT JOIN pg_catalog.pg_stat_activity AS s ON s.backend_type = 'startup'
