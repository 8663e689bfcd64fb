//! What is planted in a small database of its own each, since one row of verify-replication tells of all catalogs, and
//! one of all large objects.

use report::verify::VerifyRow;

/// A difference that is planted by SQL in a promoted copy.
pub(super) struct Small {
    /// What it is called; the database is named after it.
    pub(super) kind: &'static str,
    /// The rows that tell of it; none: nothing is planted.
    pub(super) rows: &'static [&'static str],
    /// What is done to the copy.
    pub(super) change: &'static str,
}

/// What each of these databases holds.
pub(super) const MAKE: &str = "
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN amount AS numeric CHECK (VALUE > 0);
CREATE TABLE parent (id int PRIMARY KEY, code char(3) DEFAULT 'abc', note text);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, m mood);
INSERT INTO parent SELECT n, 'abc', 'note' FROM generate_series(1, 10) AS n;
INSERT INTO child SELECT n, n, 'glad' FROM generate_series(1, 10) AS n;
CREATE VIEW seen AS SELECT id FROM parent;
CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fire BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION fired();
CREATE RULE never AS ON DELETE TO child DO INSTEAD NOTHING;
CREATE POLICY own ON parent USING (id > 0);
CREATE SEQUENCE counted;
CREATE INDEX by_note ON parent (note);
CREATE STATISTICS two (dependencies) ON id, note FROM parent;
COMMENT ON TABLE parent IS 'a comment';
SELECT lo_from_bytea(900001, '\\x00010203'), lo_from_bytea(900002, decode(repeat('ab', 5000), 'hex'));
";

const fn catalog(kind: &'static str, change: &'static str) -> Small {
    Small { kind, rows: &[VerifyRow::CATALOGS], change }
}

const fn large_object(kind: &'static str, change: &'static str) -> Small {
    Small { kind, rows: &[VerifyRow::LARGE_OBJECTS], change }
}

/// In a catalog and in a table that is another one by it.
const fn table(kind: &'static str, rows: &'static [&'static str; 2], change: &'static str) -> Small {
    Small { kind, rows, change }
}

/// The table whose columns are changed.
const PARENT: &[&str; 2] = &[VerifyRow::CATALOGS, "public.parent"];

/// The table that is dropped.
const CHILD: &[&str; 2] = &[VerifyRow::CATALOGS, "public.child"];

/// All of them. Grants are to PUBLIC and comments on what the database owns: others would be in catalogs that all
/// databases share.
pub(super) const SMALL: &[Small] = &[
    Small { kind: "untouched", rows: &[], change: "SELECT 1" },
    catalog("view_body", "CREATE OR REPLACE VIEW seen AS SELECT id FROM parent WHERE id > 0"),
    catalog("function_body", "CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 43'"),
    table("column_added", PARENT, "ALTER TABLE parent ADD COLUMN more int"),
    table("column_renamed", PARENT, "ALTER TABLE parent RENAME COLUMN note TO remark"),
    catalog("table_only_there", "CREATE TABLE only_there (id int)"),
    table("table_only_here", CHILD, "DROP TABLE child"),
    catalog(
        "length_of_char",
        "UPDATE pg_attribute SET atttypmod = 9 WHERE attrelid = 'parent'::regclass AND attname = 'code'",
    ),
    catalog("default_changed", "ALTER TABLE parent ALTER code SET DEFAULT 'xyz'"),
    catalog("not_null", "ALTER TABLE parent ALTER note SET NOT NULL"),
    catalog("constraint_dropped", "ALTER TABLE child DROP CONSTRAINT child_parent_fkey"),
    catalog("check_of_domain", "ALTER DOMAIN amount DROP CONSTRAINT amount_check"),
    catalog("trigger_disabled", "ALTER TABLE parent DISABLE TRIGGER fire"),
    catalog("rule_dropped", "DROP RULE never ON child"),
    catalog("policy_changed", "ALTER POLICY own ON parent USING (id > 1)"),
    catalog("row_security", "ALTER TABLE parent ENABLE ROW LEVEL SECURITY"),
    catalog("label_added", "ALTER TYPE mood ADD VALUE 'so so'"),
    catalog("index_only_there", "CREATE INDEX more ON parent (code)"),
    catalog("index_invalid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_note'::regclass"),
    catalog("storage_parameter", "ALTER TABLE parent SET (fillfactor = 50)"),
    catalog("statistics_target", "ALTER TABLE parent ALTER note SET STATISTICS 7"),
    catalog("statistics_dropped", "DROP STATISTICS two"),
    catalog("comment", "COMMENT ON TABLE parent IS 'another comment'"),
    catalog("grant", "GRANT SELECT ON parent TO PUBLIC"),
    catalog("default_privileges", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"),
    catalog("schema_only_there", "CREATE SCHEMA only_there"),
    catalog("cast_only_there", "CREATE CAST (mood AS int) WITH INOUT"),
    catalog("published", "CREATE PUBLICATION all_of_it FOR ALL TABLES"),
    large_object("large_object_changed", "SELECT lo_put(900001, 1, '\\x09')"),
    large_object("large_object_page_changed", "SELECT lo_put(900002, 4000, '\\x09')"),
    large_object("large_object_only_there", "SELECT lo_from_bytea(900003, '\\x01')"),
    large_object("large_object_only_here", "SELECT lo_unlink(900001)"),
    large_object("large_object_granted", "GRANT SELECT ON LARGE OBJECT 900001 TO PUBLIC"),
    // In a catalog that all databases share: the last one, since the others would differ by it, too.
    catalog("setting_of_a_role", "ALTER ROLE understudy_app SET work_mem = '7MB'"),
];
