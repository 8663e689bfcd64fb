-- Ends what a killed set-up left at work: its statement, and the locks that it holds. The lab's lock makes sure that no
-- other set-up is alive. As the administrator, as a plain script: psql -f sql/orphaned_setups.sql
SELECT pg_terminate_backend(pid, 5000)
  FROM pg_stat_activity
 WHERE application_name = 'understudy setup'
   AND pid <> pg_backend_pid()
