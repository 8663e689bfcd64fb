//! How the old primary comes back: by `pg_rewind`, else by a base backup, else not at all, and it is always said.

use std::time::{Duration, Instant};

use cluster::wait::until_true;
use lab::backend::Backend as _;
use lab::binaries::Binaries;
use lab::conf::SyncMode;
use lab::data_dir::DataDir as _;
use lab::link::Link as _;
use lab::local::LocalLab;
use lab::power::Power as _;
use lab::rejoin::{Rejoined, rejoin};
use lab::standby::{Upstream, receiver, streams_from, wait_streaming};

use crate::support::{LOOK, Lab, SOON};

/// The lab as something that can be acted on, without its lock.
pub(crate) fn local(lab: &Lab) -> LocalLab {
    let section = lab.file.local.as_ref().unwrap();
    LocalLab::open(&section.dir, Binaries::at(&section.bin, "the lab's own").unwrap()).unwrap()
}

/// Just after a promotion the new primary's control file still shows the old timeline. Up to PostgreSQL 15 `pg_rewind`
/// then finds nothing to do and ends well, and a server with rows of its own would follow all the same.
#[test]
fn a_rewind_that_says_there_is_nothing_to_rewind_is_refused() {
    let lab = Lab::new(1, SyncMode::Async);
    let local = local(&lab);
    let old = lab.primary();
    let new = lab.names().into_iter().find(|name| *name != old).unwrap();
    let (on_old, on_new) = (lab.session(&old), lab.session(&new));
    // Dirty pages on the standby: the checkpoint after the promotion takes its time over them.
    on_old.script("CREATE TABLE big AS SELECT i, repeat('x', 500) FROM generate_series(1, 50000) AS i").unwrap();
    let mark = cluster::catch_up::mark(&on_old).unwrap();
    cluster::catch_up::wait(&on_new, mark, SOON).unwrap();
    assert!(on_new.value::<bool>("SELECT pg_promote(false)", &[]).unwrap());
    until_true("the promotion", SOON, LOOK, || on_new.value("SELECT NOT pg_is_in_recovery()", &[])).unwrap();
    on_old.script("INSERT INTO understudy.ledger VALUES ('ghost', 0, 1, 'on the old primary only')").unwrap();
    local.stop(&old).unwrap();
    let section = lab.file.node.iter().find(|node| node.name == new).unwrap();
    let upstream = local.upstream(section, &old);
    if local.binaries().major <= 15 {
        let sql = "SELECT timeline_id FROM pg_control_checkpoint()";
        assert_eq!(on_new.value::<i32>(sql, &[]).unwrap(), 1, "the checkpoint came too soon for the trap to be there");
        let refused = local.rewind(&old, &upstream).unwrap_err().to_string();
        assert!(refused.contains("no rewind is required") && refused.contains(&old), "{refused}");
    } // PostgreSQL 16 and newer look at the timeline's history instead: there is no trap to show.
    // With a checkpoint first, as `rejoin` makes one, the ghost goes.
    let how = rejoin(&local, &old, &upstream, &on_new, &|| Ok(lab.session(&old))).unwrap();
    assert_eq!(how, Rejoined::Rewind);
    let sql = "SELECT count(*) FROM understudy.ledger WHERE run = 'ghost'";
    assert_eq!(lab.session(&old).value::<i64>(sql, &[]).unwrap(), 0);
    assert_eq!(lab.primary(), new);
    lab.check_redundant(&new);
}

#[test]
fn where_a_rewind_is_not_possible_a_base_backup_is_taken_and_it_is_said() {
    let lab = Lab::new(1, SyncMode::On);
    lab.session(&lab.primary()).script("ALTER ROLE understudy_rewind NOLOGIN").unwrap();
    let done = lab.drill(&[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    assert_eq!((judged.row["rejoin"].as_str(), judged.row["verdict"].as_str()), ("clone", "held"));
    assert!(judged.events.all("rejoined")[0]["detail"].starts_with("clone"));
    assert!(done.stderr.contains("base backup") && done.stderr.contains("understudy_rewind"), "{}", done.stderr);
    lab.check_redundant(&judged.row["new_primary"]);
    let data = lab.dir.join(&judged.row["old_primary"]);
    assert!(!data.join("data.old").exists() && !data.join("data.new").exists(), "one data directory is left");
}

#[test]
fn an_old_primary_that_cannot_rejoin_breaks_the_drill() {
    let lab = Lab::new(1, SyncMode::Async);
    let script = "ALTER ROLE understudy_rewind NOLOGIN; ALTER ROLE understudy_replication NOLOGIN";
    lab.session(&lab.primary()).script(script).unwrap();
    let done = lab.drill(&[]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let row = done.row();
    assert_eq!((row["rejoin"].as_str(), row["verdict"].as_str()), ("failed", "broken"));
    assert_eq!((row.get("rejoin_us"), row.get("redundancy_us")), (None, None), "what was not is empty, never 0");
    let events = done.events();
    assert!(events.all("rejoin_failed")[0]["detail"].contains("understudy_replication"), "{events:?}");
    assert!(events.all("verdict").iter().any(|row| row["detail"].contains("rejoin")), "{events:?}");
    assert!(done.stderr.contains("mends it"), "it says what to type next: {}", done.stderr);
    // It stays down: half a standby could be a second primary.
    let down = row["old_primary"].clone();
    assert_eq!(local(&lab).power(&down).unwrap(), lab::power::State::Off);
    let session = lab.session(&row["new_primary"]);
    assert!(session.value::<bool>("SELECT NOT pg_is_in_recovery()", &[]).unwrap());
}

#[test]
fn a_promotion_that_is_not_waited_for_leaves_a_lab_that_setup_mends() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--promotion-timeout", "1ms"]);
    assert_ne!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("mends it"), "it says what to type next: {}", done.stderr);
    crate::interrupted::set_up_again(&lab);
    assert_eq!(lab.drill(&[]).code, Some(0), "it is whole again");
}

/// A receiver is shown as streaming from the moment it has connected, and for a millisecond at each try also where the
/// primary refuses it.
#[test]
fn a_standby_whose_slot_is_refused_does_not_stream_whatever_its_receiver_says() {
    let lab = Lab::new(1, SyncMode::Async);
    let (local, primary) = (local(&lab), lab.primary());
    let standby = lab.names().into_iter().find(|name| *name != primary).unwrap();
    let section = lab.file.node.iter().find(|node| node.name == primary).unwrap();
    let right = local.upstream(section, &standby);
    let wrong = Upstream { slot: "nobody_made_it".to_owned(), ..right.clone() };
    let (on_primary, on_standby) = (lab.session(&primary), lab.session(&standby));
    assert!(streams_from(&on_primary, &on_standby, &right, Some(1)).unwrap());
    assert!(!streams_from(&on_primary, &on_standby, &right, Some(2)).unwrap(), "another timeline");
    local.follow(&standby, Some(&wrong)).unwrap();
    until_true("the receiver to stop", SOON, LOOK, || Ok(receiver(&on_standby)?.is_none())).unwrap();
    let end = Instant::now() + Duration::from_secs(4); // it tries once a second
    while Instant::now() < end {
        for upstream in [&right, &wrong] {
            assert!(!streams_from(&on_primary, &on_standby, upstream, None).unwrap());
        }
    }
    local.follow(&standby, Some(&right)).unwrap();
    wait_streaming(&on_primary, || Ok(lab.session(&standby)), &right, SOON).unwrap();
}
