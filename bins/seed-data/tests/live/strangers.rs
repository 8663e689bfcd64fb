//! What is somebody else's stays as it is. Tables keep their rows, whatever is asked for, and nobody is told to have them
//! emptied.

use cluster::file::ClusterFile;
use cluster::session::Session;
use lab::pooler::{Options, Pooled};

use crate::{Pair, seed_data};

/// Somebody's own tables, with names like ours and other columns.
const IN_PUBLIC: &str = "
    CREATE TABLE public.customers (number int PRIMARY KEY, name text);
    CREATE TABLE public.users (login text PRIMARY KEY, customer int REFERENCES public.customers);
    CREATE TABLE public.orders (number int PRIMARY KEY, customer int REFERENCES public.customers);
    INSERT INTO public.customers VALUES (1, 'a stranger');
    INSERT INTO public.users VALUES ('stranger', 1);
    INSERT INTO public.orders VALUES (1, 1);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC";

/// The same in the schema understudy: like ours to the last column, and not made by us.
const WITHOUT_MARK: &str = "
    ALTER TABLE understudy.customers RENAME TO marked;
    CREATE TABLE understudy.customers (LIKE understudy.marked INCLUDING ALL);
    INSERT INTO understudy.customers VALUES (1, 'a stranger', 'a@b', '1', 's', 'c', 'xx', now());
    GRANT ALL ON ALL TABLES IN SCHEMA understudy TO PUBLIC";

/// Made by us, and changed since.
const OTHER_COLUMNS: &str = "
    ALTER TABLE understudy.customers ADD note text NOT NULL DEFAULT 'precious';
    INSERT INTO understudy.customers VALUES (1, 'a stranger', 'a@b', '1', 's', 'c', 'xx', now())";

fn rows(admin: &Session, table: &str) -> i64 {
    admin.value(&format!("SELECT count(*) FROM {table}"), &[]).unwrap()
}

/// Runs with and without `--replace`; both times it is refused, named, and not proposed to empty anything.
fn is_refused(lab: &Pair, named: &str) {
    for args in [&["--rows", "10"][..], &["--rows", "10", "--replace"], &["--rows", "160000", "--replace"]] {
        let (code, rows, stderr) = lab.seed(args);
        assert_eq!((code, rows.len()), (Some(2), 0), "{args:?}: {stderr}");
        assert!(stderr.contains(named) && !stderr.contains("--replace"), "{args:?}: {stderr}");
    }
}

#[test]
fn tables_of_the_same_names_elsewhere_are_not_touched() {
    let lab = Pair::new();
    let admin = lab.admin();
    admin.script(IN_PUBLIC).unwrap();
    for args in [&["--rows", "10"][..], &["--rows", "20", "--replace"]] {
        let (code, loaded, stderr) = lab.seed(args);
        let tables: Vec<_> = loaded.iter().map(|row| row.table.as_str()).collect();
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(tables, ["understudy.customers", "understudy.users", "understudy.orders"]);
        assert_eq!(["customers", "users", "orders"].map(|table| rows(&admin, &format!("public.{table}"))), [1, 1, 1]);
    }
    // Without our tables theirs are not taken for ours.
    admin.script("DROP TABLE understudy.customers, understudy.users, understudy.orders").unwrap();
    is_refused(&lab, "sql/schema.sql");
    assert_eq!(["customers", "users", "orders"].map(|table| rows(&admin, &format!("public.{table}"))), [1, 1, 1]);
}

#[test]
fn a_table_in_our_schema_without_our_mark_is_somebody_elses() {
    let lab = Pair::new();
    let admin = lab.admin();
    admin.script(WITHOUT_MARK).unwrap();
    is_refused(&lab, "understudy.customers does not bear the mark");
    assert_eq!(rows(&admin, "understudy.customers"), 1);
    // Nor do the scripts take it over, or empty it.
    let marked = "SELECT obj_description('understudy.customers'::regclass) IS NOT NULL";
    for script in [cluster::sql!("schema"), &format!("BEGIN; {}", cluster::sql!("seed_empty"))] {
        let error = format!("{:#}", admin.script(script).unwrap_err());
        assert!(error.contains("does not bear the mark of pg-understudy"), "{error}");
        admin.script("ROLLBACK").unwrap();
        assert_eq!((rows(&admin, "understudy.customers"), admin.value(marked, &[]).unwrap()), (1, false));
    }
}

#[test]
fn a_table_of_ours_that_was_changed_is_left_alone() {
    let lab = Pair::new();
    let admin = lab.admin();
    admin.script(OTHER_COLUMNS).unwrap();
    is_refused(&lab, "understudy.customers bears our mark and has other columns");
    assert_eq!(rows(&admin, "understudy.customers"), 1);
}

#[test]
fn a_pooler_is_refused_and_nothing_is_left_there() {
    let lab = Pair::new();
    let file = ClusterFile::read(&lab.0.as_ref().unwrap().cluster).unwrap();
    for options in Options::ALL {
        let pooled = Pooled::lab(&file, &file.roles.application, options).unwrap();
        let output = seed_data().args(&pooled.args).args(["--rows", "10", "--replace"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), pooled.left().unwrap()), (Some(2), vec![]), "{options:?}: {stderr}");
        assert!(stderr.contains("connection pooler"), "{options:?}: {stderr}");
    }
}
