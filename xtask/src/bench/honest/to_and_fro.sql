-- As fast as it goes, so that a comparison may see one state on the primary, and again, and another one on the standby between.
SET search_path = honest;
SELECT unnest(ARRAY[
           $$ALTER TYPE swing RENAME VALUE 'to' TO 'fro'$$,
           $$ALTER TYPE swing RENAME VALUE 'fro' TO 'to'$$,
           $$ALTER TABLE swings RENAME v TO w$$,
           $$ALTER TABLE swings RENAME w TO v$$,
           $$DROP INDEX swings_s$$,
           $$CREATE INDEX swings_s ON swings (s)$$
       ])
  FROM generate_series(1, 20) \gexec
