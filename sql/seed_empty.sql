-- Empties the tables of seed-data: all three or none, and only if each bears the mark that schema.sql gives. The mark is
-- looked at behind the lock that TRUNCATE takes. The wait for that lock is shorter than our patience for the answer: what
-- we have given up must not happen later. (RESTART IDENTITY is for owners only; seed-data sets the sequences.)
-- For one transaction. As a plain script: psql -d understudy -1 -f sql/seed_empty.sql
SET LOCAL lock_timeout = '5s';
DO $empty$
DECLARE
    mark  CONSTANT text := 'made by pg-understudy; seed-data --replace may empty it';
    ours  text;
BEGIN
    TRUNCATE ONLY understudy.customers, ONLY understudy.users, ONLY understudy.orders;
    FOREACH ours IN ARRAY ARRAY['understudy.customers', 'understudy.users', 'understudy.orders'] LOOP
        IF obj_description(to_regclass(ours), 'pg_class') IS DISTINCT FROM mark THEN
            RAISE EXCEPTION '% does not bear the mark of pg-understudy, so it is somebody else''s: nothing was emptied', ours;
        END IF;
    END LOOP;
END $empty$;
