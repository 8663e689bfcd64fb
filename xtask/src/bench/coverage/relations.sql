-- Every relation of this database that holds rows, as the server's own catalog has it: kind, name, its valid indexes; between
-- them chr(31), and between indexes chr(30).
SELECT concat_ws(
    chr(31),
    CASE WHEN c.relpersistence = 'u' THEN 'unlogged'
         WHEN c.relkind = 'r' THEN 'table'
         WHEN c.relkind = 'm' THEN 'materialized view'
         WHEN c.relkind = 'S' THEN 'sequence'
         ELSE 'foreign table' END,
    format('%I.%I', n.nspname, c.relname),
    ARRAY_TO_STRING(ARRAY(SELECT format('%I.%I', n.nspname, i.relname)
                          FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
                          WHERE x.indrelid = c.oid AND x.indisvalid), chr(30))
)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_(toast_)?temp_[0-9]+$'
