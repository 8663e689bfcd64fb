-- How values are printed and read, the same on both nodes: types without a send function are compared as text. Together with
-- verify_session.sql; back from verify_own_settings.sql.
-- As a plain script: psql -f sql/verify_settings.sql
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET bytea_output = 'hex';
SET extra_float_digits = 3;
SET lc_monetary = 'C';
SET xmloption = content;
