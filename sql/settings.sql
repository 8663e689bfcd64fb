-- The settings that the figures of a run depend on.
-- As a plain script: psql -f sql/settings.sql
SELECT name, current_setting(name), source
  FROM pg_settings
 WHERE name IN ('server_version', 'cluster_name', 'wal_level', 'fsync', 'full_page_writes', 'wal_log_hints',
                'data_checksums', 'synchronous_commit', 'synchronous_standby_names', 'commit_delay',
                'max_wal_senders', 'max_replication_slots', 'wal_keep_size', 'max_slot_wal_keep_size',
                'hot_standby', 'hot_standby_feedback', 'max_standby_streaming_delay', 'wal_receiver_timeout',
                'wal_sender_timeout', 'wal_retrieve_retry_interval', 'recovery_min_apply_delay', 'max_connections',
                'shared_buffers', 'wal_buffers', 'max_wal_size', 'checkpoint_timeout', 'wal_sync_method',
                'wal_compression', 'autovacuum', 'jit')
 ORDER BY name
