//! Lags that are known, because the test made them, and what is measured of them.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::wait::until_true;
use lab::backend::Backend;
use lab::conf::SyncMode;
use lab::open::OpenLab;
use lab::pooler::{Options, Pooled};
use lab::scratch::Scratch;

/// Time for what takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(30);

const POLL_EVERY: Duration = Duration::from_millis(5);

/// A row of `lag.csv`, by column.
type Row = BTreeMap<String, String>;

/// A lab, and what may be done to it.
struct Lab {
    open: OpenLab,
    scratch: Scratch,
}

/// How a measurement ended.
struct Measured {
    code: Option<i32>,
    rows: Vec<Row>,
    stderr: String,
}

impl Lab {
    fn new(sync: SyncMode) -> Lab {
        let scratch = Scratch::new(1, sync).unwrap();
        Lab { open: lab::open::open(&ClusterFile::read(&scratch.cluster).unwrap()).unwrap(), scratch }
    }

    fn backend(&self) -> &dyn Backend {
        self.open.backend.as_ref()
    }

    fn admin(&self, node: &str) -> Session {
        let cluster = Cluster::from_file(ClusterFile::read(&self.scratch.cluster).unwrap());
        Session::open(
            node,
            &cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
            "test",
        )
        .unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = measure_lag();
        command.arg("--cluster").arg(&self.scratch.cluster).args(["--interval", "50ms"]).args(args).spawn().unwrap()
    }

    fn measure(&self, args: &[&str]) -> Measured {
        ended(self.start(args))
    }

    fn pause(&self, standby: &str) {
        let session = self.admin(standby);
        session.script("SELECT pg_wal_replay_pause()").unwrap();
        let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
        until_true("the replay to be paused", SOON, POLL_EVERY, || session.value(paused, &[])).unwrap();
    }

    fn resume(&self, standby: &str) {
        self.admin(standby).script("SELECT pg_wal_replay_resume()").unwrap();
    }
}

/// The program, without what the caller's own environment could hand on.
fn measure_lag() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_measure-lag"));
    command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// It ends by itself, by `--duration` (a few seconds here).
fn ended(child: Child) -> Measured {
    let output = child.wait_with_output().unwrap();
    let rows = csv::Reader::from_reader(&output.stdout[..]).into_deserialize().map(Result::unwrap).collect();
    Measured { code: output.status.code(), rows, stderr: String::from_utf8(output.stderr).unwrap() }
}

impl Measured {
    /// Sees how it ended, and that there are rows of `status` and none but of these and of `others`: on a busy machine a
    /// beat may be late on its way.
    fn is(&self, code: i32, status: &str, others: &[&str]) {
        let statuses: Vec<&str> = self.rows.iter().map(|row| row["status"].as_str()).collect();
        assert_eq!(self.code, Some(code), "{statuses:?} {}", self.stderr);
        assert!(statuses.contains(&status), "{statuses:?} {}", self.stderr);
        assert!(
            statuses.iter().all(|found| *found == status || others.contains(found)),
            "{statuses:?} {}",
            self.stderr
        );
    }

    /// The figures of a column; an empty one is none.
    fn figures(&self, column: &str) -> Vec<u64> {
        self.rows.iter().filter_map(|row| row[column].parse().ok()).collect()
    }

    fn longest_us(&self) -> u64 {
        self.figures("visible_min_us").into_iter().chain(self.figures("visible_max_us")).max().unwrap()
    }
}

/// A beat that is late on its way to the primary or to the standby.
const LATE: [&str; 2] = ["at_least", "no_primary"];

#[test]
fn one_small_table_is_all_that_is_needed_and_its_file_is_named() {
    let lab = Lab::new(SyncMode::Async);
    let admin = lab.admin("node1");
    admin.script("DROP SCHEMA understudy CASCADE").unwrap();
    let without = lab.measure(&["--duration", "1s"]);
    assert_eq!((without.code, without.rows.len()), (Some(2), 0));
    let named = "run psql -d understudy -f sql/heartbeat.sql";
    assert!(without.stderr.contains(named) && !without.stderr.contains("schema.sql"), "{}", without.stderr);

    admin.script(cluster::sql!("heartbeat")).unwrap();
    let refused = lab.measure(&["--duration", "1s"]);
    let advice =
        ["GRANT USAGE ON SCHEMA understudy TO", "GRANT SELECT, INSERT, UPDATE, DELETE ON understudy.heartbeat TO"]
            .map(|grant| format!("{grant} \"understudy_monitor\""));
    assert_eq!(refused.code, Some(2));
    assert!(advice.iter().all(|grant| refused.stderr.contains(grant)), "{}", refused.stderr);
    admin.script(&advice.join("; ")).unwrap();
    lab.measure(&["--duration", "1s"]).is(0, "seen", &LATE);
}

#[test]
fn a_pooler_is_refused_and_nothing_is_left_there() {
    let lab = Lab::new(SyncMode::Async);
    let file = ClusterFile::read(&lab.scratch.cluster).unwrap();
    for options in Options::ALL {
        let pooled = Pooled::lab(&file, &file.roles.monitor, options).unwrap();
        let output = measure_lag().args(&pooled.args).args(["--duration", "1s"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), pooled.left().unwrap()), (Some(2), vec![]), "{options:?}: {stderr}");
        assert!(stderr.contains("connection pooler"), "{options:?}: {stderr}");
    }
}

#[test]
fn a_standby_that_keeps_up_is_seen_and_figures_that_are_not_known_are_empty() {
    let lab = Lab::new(SyncMode::Async);
    let measured = lab.measure(&["--duration", "2s", "--max-lag", "10s"]);
    measured.is(0, "seen", &LATE);
    let seen: Vec<&Row> = measured.rows.iter().filter(|row| row["status"] == "seen").collect();
    assert!((5..=41).contains(&seen.len()), "{} beats in 2 s, one in 50 ms", seen.len());
    for row in &seen {
        let [min, max] = ["visible_min_us", "visible_max_us"].map(|name| row[name].parse::<u64>().unwrap());
        assert!(min <= max && row["standby"] == "node2", "{row:?}");
    }
    assert!(seen.iter().any(|row| row["state"] == "streaming" && row["sync_state"] == "async"));
    assert!(!measured.figures("replay_gap_bytes").is_empty());
    // A threshold below what any machine can do.
    assert_eq!(lab.measure(&["--duration", "1s", "--max-lag", "1us"]).code, Some(1));

    // A reader that has gone, as `head -1` does, does not turn that into a pass.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = measure_lag();
    command.arg("--cluster").arg(&lab.scratch.cluster).args(["--duration", "10s", "--max-lag", "1us"]);
    let mut child = command.stdout(writer).spawn().unwrap();
    drop(command); // it has the writing end, too
    assert!(BufReader::new(reader).lines().next().unwrap().unwrap().starts_with("run,at_us,"));
    assert_eq!(child.wait().unwrap().code(), Some(1));

    // Without pg_monitor the server shows nobody's figures: empty, and never 0.
    lab.admin("node1").script("REVOKE pg_monitor FROM understudy_monitor").unwrap();
    let measured = lab.measure(&["--duration", "1s"]);
    measured.is(0, "seen", &LATE);
    for column in ["write_lag_us", "replay_lag_us", "sent_gap_bytes", "replay_gap_bytes"] {
        assert!(measured.figures(column).is_empty(), "{column}");
    }
}

/// It has no beats any more that could be late: that is no pass.
#[test]
fn a_standby_that_somebody_promotes_was_not_measured_to_the_end() {
    let promoted = |more: &[&str]| {
        let lab = Lab::new(SyncMode::Async);
        let running = lab.start(&[&["--duration", "9s", "--max-lag", "3s"], more].concat());
        let begun = "SELECT EXISTS (SELECT FROM understudy.heartbeat WHERE beat > 5)";
        let on_primary = lab.admin("node1");
        until_true("the first beats", SOON, POLL_EVERY, || on_primary.value(begun, &[])).unwrap();
        lab.admin("node2").script("SELECT pg_promote()").unwrap();
        ended(running)
    };
    let measured = promoted(&[]);
    assert_ne!(measured.code, Some(0), "{}", measured.stderr);
    // In a drill that is what is to happen.
    let measured = promoted(&["--takeovers"]);
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
}

#[test]
fn a_paused_standby_shows_a_growing_bound_and_its_whole_lag_when_it_goes_on() {
    let lab = Lab::new(SyncMode::Async);
    lab.pause("node2");
    let measured = lab.measure(&["--duration", "2s"]);
    measured.is(2, "at_least", &LATE);
    assert!(measured.stderr.contains("not one beat was seen"), "{}", measured.stderr);
    let beat = measured.figures("beat")[0].to_string();
    let of_first = measured.rows.iter().filter(|row| row["beat"] == beat);
    let bounds: Vec<u64> = of_first.filter_map(|row| row["visible_min_us"].parse().ok()).collect();
    assert!(bounds.is_sorted(), "{bounds:?}");
    assert!(
        bounds.last().is_some_and(|us| (1_500_000..6_000_000).contains(us)),
        "the beat is two seconds old: {bounds:?}"
    );
    // Paused, not cut off: WAL arrives, and the gap is in the replay.
    assert!(measured.figures("replay_gap_bytes").into_iter().max() > Some(0));
    assert!(measured.figures("flush_gap_bytes").contains(&0));
    assert_eq!(lab.measure(&["--duration", "1s", "--max-lag", "500ms"]).code, Some(1));

    // The lag that the test makes: from the first beat until it lets the standby go on.
    let mut running = lab.start(&["--duration", "5s"]);
    let on_primary = lab.admin("node1");
    let begun = "SELECT EXISTS (SELECT FROM understudy.heartbeat WHERE beat > 0)";
    until_true("the first beat", SOON, POLL_EVERY, || on_primary.value(begun, &[])).unwrap();
    let first_beat = Instant::now();
    std::thread::sleep(Duration::from_millis(1_500)); // the lag itself: nothing is waited for
    let made_us = first_beat.elapsed().as_micros() as u64;
    lab.resume("node2");
    let most_us = first_beat.elapsed().as_micros() as u64 + 2_000_000; // the rest is for a busy machine
    assert!(running.try_wait().unwrap().is_none(), "the machine is too busy for this test");
    let measured = ended(running);
    measured.is(0, "seen", &LATE);
    let seen = measured.rows.iter().filter(|row| row["status"] == "seen");
    let longest_us = seen.map(|row| row["visible_max_us"].parse::<u64>().unwrap()).max().unwrap();
    assert!((made_us..most_us).contains(&longest_us), "{longest_us} µs measured, {made_us} µs made");
}

#[test]
fn a_standby_that_is_cut_off_or_gone_never_shows_no_lag_and_no_beat_hangs_for_it() {
    let lab = Lab::new(SyncMode::On);
    // Nobody confirms any more: a commit that waited would hang for ever.
    lab.backend().follow("node2", None).unwrap();
    let on_standby = lab.admin("node2");
    let receives = "SELECT count(*) = 0 FROM pg_stat_wal_receiver";
    until_true("it to be cut off", SOON, POLL_EVERY, || on_standby.value(receives, &[])).unwrap();
    let cut = lab.measure(&["--duration", "2s"]);
    cut.is(2, "at_least", &LATE);
    assert!(cut.longest_us() >= 1_500_000 && !cut.figures("visible_min_us").contains(&0), "never 0");
    assert!(cut.figures("beat").iter().max() > cut.figures("beat").iter().min(), "beats go on");
    assert!(cut.figures("replay_lag_us").is_empty(), "a walsender that is gone has no figures");
    assert_eq!(lab.measure(&["--duration", "2s", "--max-lag", "60s"]).code, Some(2), "a bound is no proof");

    lab.backend().stop("node2").unwrap();
    let gone = lab.measure(&["--duration", "2s", "--max-lag", "60s"]);
    gone.is(2, "unreachable", &[]);
    assert!(gone.longest_us() >= 1_500_000, "{}", gone.longest_us());
}
