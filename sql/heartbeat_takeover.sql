-- What measure-lag asks a node that is out of recovery: its timeline (the first eight digits of a WAL file's name;
-- pg_control_checkpoint() would show the old one until a checkpoint), and the last beat that survived there.
-- psql: PREPARE heartbeat_takeover (text) AS
-- psql: EXECUTE heartbeat_takeover ('try');
SELECT pg_walfile_name(pg_current_wal_lsn()), (SELECT h.beat FROM understudy.heartbeat AS h WHERE h.run = $1)
