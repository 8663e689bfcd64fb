//! A standby that says nothing any more: it is left out by name, and holds nobody up.

use lab::conf::SyncMode;
use lab::power::Power as _;

use crate::rejoin::local;
use crate::support::Lab;

/// All processes of the first standby are stopped after the fault, so its sessions are there, and silent. (Once another one has
/// taken over, they go on: it has to follow, too.)
#[test]
fn a_standby_that_is_frozen_is_not_waited_for_when_another_one_answers() {
    let lab = Lab::new(2, SyncMode::Async);
    let (local, old) = (local(&lab), lab.primary());
    let [silent, other] =
        <[String; 2]>::try_from(lab.names().into_iter().filter(|name| *name != old).collect::<Vec<_>>())
            .expect("two standbys");
    let mut drill = lab.start(&["--decide", "3s", "--max-lost", "1000000"]);
    drill.wait_for("fault_proven");
    local.freeze(&silent, &mut || {}).unwrap();
    drill.wait_for("t3");
    local.thaw(&silent).unwrap();
    let done = drill.end();
    let (row, events) = (done.row(), done.events());
    assert_eq!(
        (done.code, row["verdict"].as_str(), &row["new_primary"]),
        (Some(2), "unknown", &other),
        "{}",
        done.stderr
    );
    let [why] = events.all("could_not")[..] else { panic!("{events:?}") };
    assert!(why["detail"].starts_with(&format!("{silent} was left out")), "{why:?}");
    // One question's time, beside the time to decide; it was twenty seconds once.
    let waited = events.first_us("chosen").unwrap() - events.first_us("fault_proven").unwrap();
    assert!((4_000_000..8_000_000).contains(&waited), "{waited} µs from the proof to the choice");
    lab.check_redundant(&other);
}
