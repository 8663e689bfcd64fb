-- The lines of its configuration files that a server refuses. Such a line does no harm until the next start, which fails.
-- One that only waits for a restart is not refused.
-- As a plain script, on any node: psql -f sql/refused_settings.sql
SELECT concat_ws(': ', sourcefile || ' line ' || sourceline, name, error)
  FROM pg_file_settings f
 WHERE error IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name AND s.pending_restart)
 ORDER BY seqno
