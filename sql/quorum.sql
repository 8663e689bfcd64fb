-- How many standbys the primary counts as synchronous: with fewer than the quorum, every commit waits.
-- As a plain script, on the primary: psql -f sql/quorum.sql
SELECT count(*)
  FROM pg_stat_replication
 WHERE state = 'streaming'
   AND sync_state IN ('sync', 'quorum')
