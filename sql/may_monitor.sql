-- May this user see the figures of other sessions' walsenders?
-- As a plain script: psql -f sql/may_monitor.sql
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE');
