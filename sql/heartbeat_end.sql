-- Removes the heartbeat row of a run.
-- psql: PREPARE heartbeat_end (text) AS
-- psql: EXECUTE heartbeat_end ('try');
DELETE FROM understudy.heartbeat WHERE run = $1
