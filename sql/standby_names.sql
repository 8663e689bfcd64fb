-- Under which names a standby streams: its slot, and the application_name that its walreceiver gives. They tell which
-- row of the primary's pg_stat_replication is this standby's. The slot is known from the settings, too, while there is no
-- walreceiver. The view shows its connection without quotes; the fallback is libpq's.
-- As a plain script: psql -f sql/standby_names.sql
SELECT coalesce(nullif(r.slot_name, ''), nullif(current_setting('primary_slot_name'), '')),
       coalesce(substring(r.conninfo FROM '(?:^| )application_name=([^ ]+)'),
                substring(r.conninfo FROM '(?:^| )fallback_application_name=([^ ]+)'))
  FROM (SELECT) AS one_row
  LEFT JOIN pg_stat_wal_receiver AS r ON true;
