-- Whether a standby is sent WAL over its slot. $1: its application_name; $2: its slot. One that is still catching up must have
-- confirmed some: the state is `catchup` also just before the sender finds that the WAL is gone.
-- Asked of its upstream, beside receiver.sql: the standby's receiver is shown as `streaming` as soon as it has connected,
-- also where the upstream then refuses it (its slot is gone, lost or taken), for a moment at each try.
-- psql: PREPARE walsender (text, name) AS
-- psql: EXECUTE walsender ('node2', 'node2');
SELECT EXISTS (SELECT
                 FROM pg_stat_replication AS sender
                 JOIN pg_replication_slots AS slot ON slot.active_pid = sender.pid
                WHERE sender.application_name = $1
                  AND slot.slot_name = $2
                  AND (sender.state = 'streaming' OR sender.state = 'catchup' AND sender.flush_lsn IS NOT NULL))
