//! What makes no sense is refused by its name.

use crate::Copies;

#[test]
fn options_of_a_comparison_by_bytes_are_refused_and_so_is_a_live_copy() {
    let copies = Copies::new();
    copies.both("CREATE TABLE t (a int)");
    for (args, words) in [
        (&["--equal", "values"][..], "needs --at-rest"),
        (&["--equal", "values", "--at-rest", "--indexes", "all"], "--indexes: --equal values compares no index"),
        (&["--equal", "values", "--at-rest", "--sample", "5"], "--sample: "),
        (&["--equal", "values", "--at-rest", "--seed", "5"], "--seed: "),
        (&["--equal", "values", "--at-rest", "--retries", "5"], "--retries: "),
        (&["--equal", "values", "--at-rest", "--recheck-for", "5s"], "--recheck-for: "),
        (&["--equal", "text", "--at-rest"], "possible values: bytes, values"),
    ] {
        let said = copies.said(args);
        assert!(
            said.code == Some(2) && said.rows.is_empty() && said.stderr.contains(words),
            "{args:?}: {}",
            said.stderr
        );
    }
    let said = copies.said(&["--at-rest", "--equal", "values", "--jobs", "1", "--max-rows-per-s", "100000", "--quiet"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // By their bytes, two databases that were made apart are no copies.
    let said = copies.said(&["--at-rest", "--equal", "bytes", "--table", "t"]);
    assert_ne!(said.code, Some(0), "{}", said.stderr);
}
