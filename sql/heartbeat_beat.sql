-- One beat of measure-lag: one row, one transaction. A beat that comes late (its backend was frozen) turns nothing back,
-- and after a takeover the row may be missing.
-- psql: PREPARE heartbeat_beat (text, bigint) AS
-- psql: EXECUTE heartbeat_beat ('try', 1);
INSERT INTO understudy.heartbeat AS h (run, beat) VALUES ($1, $2)
    ON CONFLICT (run) DO UPDATE SET beat = greatest(h.beat, excluded.beat)
