//! An independent witness: a writer on one plain connection, to another table, beside a drill. What it saw of outage and
//! loss must agree with what the drill says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;
use lab::conf::SyncMode;
use program::clock::Clock;

use crate::support::Lab;

/// Pause between two of its writes: it knows of an outage to within this and the time of a commit.
const PAUSE: Duration = Duration::from_millis(2);

/// Enough sessions for the largest load here.
const SETTINGS: &[(&str, &str)] = &[("max_connections", "400")];

/// What the witness was told: each acknowledged number, and when.
type Acks = Vec<(i64, u64)>;

/// Writes numbers, one after the other, until it is told to stop; a node that does not take them is left for the next.
fn write(cluster: &Cluster, clock: Clock, stop: &AtomicBool) -> Acks {
    let (mut acks, mut session, mut number) = (Acks::new(), None, 0);
    while !stop.load(Ordering::Relaxed) {
        let Some(on) = session.take().or_else(|| primary(cluster)) else { continue };
        number += 1; // a number is used once, whatever becomes of it
        if on.execute("INSERT INTO public.witness VALUES ($1)", &[&number]).is_ok() {
            acks.push((number, clock.now_us()));
            session = Some(on);
            std::thread::sleep(PAUSE);
        }
    }
    acks
}

/// A session on the node that takes writes.
fn primary(cluster: &Cluster) -> Option<Session> {
    let open = |node| {
        let session = Session::open(
            "witness",
            &cluster.info(node, LoginKind::Admin).ok()?.with_setting("search_path", "public"),
            "witness",
        )
        .ok()?;
        let writable = session.value("SELECT NOT pg_is_in_recovery()", &[]).ok()?;
        if writable { Some(session) } else { None }
    };
    std::thread::sleep(PAUSE);
    cluster.nodes.iter().find_map(open)
}

/// How often a drill may be played until the times agree. Each is one outage on a machine that does other things, too, and
/// one of 301 clients may be the last in the queue; an outage made of our own handshakes never agrees.
const TRIES: usize = 3;

/// Runs drills beside the witness until their outage is its gap, within a fifth or 50 ms. Whether anything was lost must
/// agree each time.
fn agree(lab: &Lab, more: &[&str], must_lose: Option<bool>) {
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let (outage, gap) = beside(lab, more, must_lose);
        if outage.abs_diff(gap) <= (gap / 5).max(50_000) {
            return;
        }
        times.push((outage, gap));
    }
    panic!("outages beside the gaps of the witness, in µs: {times:?} ({more:?})");
}

/// Runs a drill beside the witness: our outage and its gap, in microseconds.
fn beside(lab: &Lab, more: &[&str], must_lose: Option<bool>) -> (u64, u64) {
    let script = "CREATE TABLE IF NOT EXISTS public.witness (number bigint NOT NULL); TRUNCATE public.witness";
    lab.session(&lab.primary()).script(script).unwrap();
    let cluster = Cluster::from_file(lab.file.clone());
    let stop = AtomicBool::new(false);
    let (acks, done) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&cluster, lab.clock, &stop));
        let done = lab.drill(more);
        stop.store(true, Ordering::Relaxed);
        (writing.join().unwrap(), done)
    });
    let judged = done.judged(lab);
    // Loss, from the table alone.
    let there = lab.plain(&judged.row["new_primary"]).query("SELECT number FROM public.witness", &[]).unwrap();
    let there: BTreeSet<i64> = there.iter().map(|row| row.get(0)).collect();
    let lost = acks.iter().filter(|(number, _)| !there.contains(number)).count();
    let ours = judged.figure("lost");
    if let Some(must_lose) = must_lose {
        assert_eq!((lost > 0, ours > 0), (must_lose, must_lose), "the witness lost {lost}, the drill {ours}");
    }
    // Its longest gap that is open at some moment between T0 and our T4.
    let t0 = judged.events.first_us("t0").unwrap();
    let t4 = t0 + judged.figure("promotion_us") + judged.figure("reroute_us");
    let gaps = acks.windows(2).map(|pair| (pair[0].1, pair[1].1)).filter(|(begin, end)| *end >= t0 && *begin <= t4);
    let (begin, end) = gaps.max_by_key(|(begin, end)| end - begin).expect("the witness saw no gap around T0");
    let (outage, gap) = (judged.figure("outage_us"), end - begin);
    let later = |what, than| what as i64 - than as i64;
    eprintln!(
        "witness: {more:?}: its gap {gap} µs, our outage {outage} µs, begun {} µs and ended {} µs later; it lost {lost}, we {ours}",
        later(t4 - outage, begin),
        later(t4, end),
    );
    (outage, gap)
}

#[test]
fn synchronous_takeovers_with_one_to_three_hundred_clients() {
    let lab = Lab::with(1, SyncMode::On, SETTINGS);
    for clients in ["1", "8", "64", "300"] {
        agree(&lab, &["--clients", clients], Some(false));
    }
    agree(&lab, &["--cut", "1s"], Some(false));
}

#[test]
fn asynchronous_takeovers_with_and_without_a_cut() {
    let lab = Lab::with(1, SyncMode::Async, SETTINGS);
    for clients in ["8", "300"] {
        agree(&lab, &["--cut", "1s", "--clients", clients], Some(true));
        agree(&lab, &["--clients", clients], None); // either may lose the last millisecond
    }
}
