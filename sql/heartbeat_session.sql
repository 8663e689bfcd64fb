-- A session for beats: a commit waits for this server's disk, never for a standby (one that is cut off would hang it).
-- As a plain script: psql -f sql/heartbeat_session.sql
SET synchronous_commit = local;
