//! Databases in which text is not UTF-8.

use report::diff::DiffRow;
use report::verdict::Verdict::{Broken, Held};

use crate::options::on;
use crate::{Lab, said};

/// SQL_ASCII takes whatever bytes come: no node can send them as UTF-8, and none of them is damaged for that.
#[test]
fn bytes_that_are_no_utf_8_are_compared_in_a_database_that_allows_them() {
    let lab = Lab::new(1);
    let create = "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'";
    lab.on("node1").script(create).unwrap();
    let script = r"CREATE TABLE t (id text PRIMARY KEY, v text);
        INSERT INTO t VALUES (E'caf\xe8', 'grave'), (E'caf\xe9', E'\xff\xfe'), ('caf', E'\xc3\xa9')";
    on(&lab, "node1", "bytes").script(script).unwrap();
    lab.catch_up("node2");
    let verify = |args: &[&str]| {
        let [primary, standby] =
            ["node1", "node2"].map(|node| lab.conninfo(node).replace("dbname=understudy", "dbname=bytes"));
        said(&lab.command(&[&["--primary", &primary, "--standby", &standby], args].concat()).output().unwrap())
    };
    let both = verify(&[]);
    assert_eq!((both.code, both.of("standby1").0), (Some(0), Held), "{}", both.stderr);
    assert_eq!(both.row("public.t", "standby1").rows_standby, Some(3), "{}", both.stderr);

    lab.promote("node2");
    on(&lab, "node2", "bytes").script(r"UPDATE t SET v = E'\xff' WHERE v = E'\xff\xfe'").unwrap();
    let path = lab.lab.home().join("diff.csv");
    let file = path.display().to_string();
    let said = verify(&["--at-rest", "--table", "t", "--diff", &file, "--show-values"]);
    let row = said.row("public.t", "standby1");
    assert_eq!(
        (said.code, row.verdict, row.different, row.missing),
        (Some(1), Broken, Some(1), Some(0)),
        "{}",
        said.stderr
    );
    let differing: Vec<DiffRow> = report::rows::read(&std::fs::read(&path).unwrap()[..]).unwrap();
    assert_eq!(differing.len(), 1, "{differing:#?}");
    assert_eq!((differing[0].key.as_str(), differing[0].columns.as_deref()), (r"caf\xe9", Some("v")));
    assert_eq!(differing[0].standby_values.as_deref(), Some(r#"{"v": "\\xff"}"#));
}
