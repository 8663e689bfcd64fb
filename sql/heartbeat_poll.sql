-- What measure-lag asks a node: is it a standby, and which beat of the run is visible there?
-- psql: PREPARE heartbeat_poll (text) AS
-- psql: EXECUTE heartbeat_poll ('try');
SELECT pg_is_in_recovery(), (SELECT h.beat FROM understudy.heartbeat AS h WHERE h.run = $1)
