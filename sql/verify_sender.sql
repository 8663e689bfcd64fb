-- Whether a node sends WAL to a receiver that uses this slot or, without one, has this application_name, and has sent it up to
-- here. $1: the slot; $2: the application_name; $3: an LSN. Asked beside verify_receiver.sql: a receiver is shown as streaming
-- also for a moment in which its upstream is about to refuse it.
-- psql: PREPARE verify_sender (text, text, text) AS
-- psql: EXECUTE verify_sender ('node2', 'node2', '0/1');
SELECT EXISTS (SELECT
                 FROM pg_catalog.pg_stat_replication AS s
                 LEFT JOIN pg_catalog.pg_replication_slots AS l ON l.active_pid = s.pid
                WHERE CASE WHEN $1::text IS NULL THEN s.application_name = $2::text ELSE l.slot_name = $1::text END
                  AND s.state = 'streaming'
                  AND s.sent_lsn >= $3::text::pg_catalog.pg_lsn)
