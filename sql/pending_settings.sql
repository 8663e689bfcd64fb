-- The settings that change with the server's next restart. `pending_restart` alone stays set where a file was changed and then
-- put right: what the files say now counts, and for one that is gone from them, whether the server has it from there.
-- As a plain script, on any node: psql -f sql/pending_settings.sql
SELECT name
  FROM pg_settings s
 WHERE pending_restart
   AND (source = 'configuration file'
        OR EXISTS (SELECT FROM pg_file_settings f WHERE f.name = s.name AND f.error IS NOT NULL))
 ORDER BY name
