//! Whoever has caught up with a mark has every row that was acknowledged before it.

use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::{catch_up, topology};
use lab::conf::SyncMode;
use lab::scratch::Scratch;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn whoever_has_caught_up_has_every_row_also_of_asynchronous_commits() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let dir = lab.dir.clone();
    let cluster = Cluster::from_file(ClusterFile::read(&lab.cluster).unwrap());
    let found = topology::ask(&cluster, LoginKind::Admin, "test").unwrap();
    let (primary, standby) = (&found.primary.1, &found.standbys[0].1);
    let info = cluster.info(&found.primary.0, LoginKind::Admin).unwrap();
    let writer = Session::open("writer", &info.with_setting("search_path", "public"), "test").unwrap();
    // The longest delay of the WAL writer: without a flush of its own, the mark would stand before the rows.
    for sql in [
        "CREATE TABLE rows (id bigint)",
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "SELECT pg_reload_conf()",
        "SET synchronous_commit = off",
    ] {
        writer.script(sql).unwrap();
    }
    for id in 1..=200_i64 {
        writer.execute("INSERT INTO rows VALUES ($1)", &[&id]).unwrap();
        let mark = catch_up::mark(primary).unwrap();
        catch_up::wait(standby, mark, SOON).unwrap();
        assert_eq!(standby.value::<i64>("SELECT count(*) FROM public.rows", &[]).unwrap(), id, "after {mark}");
    }

    // Who does not catch up is said not to have, and where it stands.
    standby.script("SELECT pg_wal_replay_pause()").unwrap();
    cluster::wait::until_true("the replay to pause", SOON, Duration::from_millis(5), || {
        catch_up::mark(primary)?; // it pauses when there is something to replay
        standby.value("SELECT pg_get_wal_replay_pause_state() = 'paused'", &[])
    })
    .unwrap();
    writer.execute("INSERT INTO rows VALUES (0)", &[]).unwrap();
    let mark = catch_up::mark(primary).unwrap();
    let error = catch_up::wait(standby, mark, Duration::from_millis(100)).unwrap_err().to_string();
    assert!(error.contains(&mark.to_string()) && error.contains("replayed up to"), "{error}");
    standby.script("SELECT pg_wal_replay_resume()").unwrap();
    catch_up::wait(standby, mark, SOON).unwrap();
    drop(lab);
    assert!(!dir.exists());
}
