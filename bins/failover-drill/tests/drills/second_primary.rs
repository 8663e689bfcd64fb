//! Somebody promotes another standby beside the one that took over.

use lab::conf::SyncMode;

use crate::support::Lab;

/// Which of them to read back nobody can say; that there are two is broken, and so is a standby that does not follow.
#[test]
fn a_second_primary_breaks_the_drill_and_is_no_standby() {
    let lab = Lab::new(2, SyncMode::Async);
    let old = lab.primary();
    let mut drill = lab.start(&["--max-lost", "1000000", "--after", "2s"]);
    drill.wait_for("rejoined");
    let new = drill.events().iter().find(|row| row["mark"] == "chosen").unwrap()["node"].clone();
    let second = lab.names().into_iter().find(|name| *name != old && *name != new).unwrap();
    lab.session(&second).script("SELECT pg_promote(false)").unwrap();
    let done = drill.end();
    let row = done.row();
    assert_eq!((done.code, row["verdict"].as_str(), row.get("lost")), (Some(1), "broken", None), "{}", done.stderr);
    let events = done.events();
    assert_eq!(events.all("primaries_counted")[0]["count"], "2");
    let reasons: Vec<&str> = events.all("verdict").iter().map(|row| row["detail"].as_str()).collect();
    let not_streaming = format!("broken: {second} does not stream from the new primary on its timeline");
    for why in ["broken: 2 nodes are out of recovery", &not_streaming, "unknown: there was no final read"] {
        assert!(reasons.contains(&why), "{why}: {reasons:?}");
    }
    done.check_nothing_runs(&lab);
}
