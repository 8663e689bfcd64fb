-- For indexes: values are printed as this role's sessions in this database print them. An index over a bytea or a float as text has
-- its entries from sessions like that, and does not lead to the rows as other settings print them.
-- As a plain script: psql -f sql/verify_own_settings.sql
RESET DateStyle;
RESET IntervalStyle;
RESET TimeZone;
RESET bytea_output;
RESET extra_float_digits;
RESET lc_monetary;
RESET xmloption;
