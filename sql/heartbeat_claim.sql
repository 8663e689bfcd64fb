-- Makes the heartbeat row of a run. Touches no row if there is one already: two measurements must not share it.
-- psql: PREPARE heartbeat_claim (text) AS
-- psql: EXECUTE heartbeat_claim ('try');
INSERT INTO understudy.heartbeat (run, beat) VALUES ($1, 0) ON CONFLICT (run) DO NOTHING
