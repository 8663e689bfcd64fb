//! The second judge itself, held against a takeover on paper.

use super::*;

/// A takeover on paper, with every figure worked out by hand: the judge must agree with it, and with nothing else.
#[test]
fn the_judge_knows_each_figure_of_a_takeover_on_paper() {
    const EVENTS: &str = "run,at_us,mark,node,detail
r,2400,t0,a,kill
r,3000,t3,b,
r,3600,fork_read,b,timeline 2 left 1 at 0/3000100
r,3700,old_end_read,a,it ends at 0/3000200
r,3800,rejoin_begun,a,
r,3900,t6,a,
r,3950,rejoined,a,rewind
";
    const DRILL: &str = "\
acked,acked_local,failed,unknown,skipped,lost,lost_local,recovered,phantom,unexpected,duplicate,corrupt,holes,divergent,\
outage_us,outage_before_us,outage_worker_min_us,outage_worker_p50_us,outage_worker_max_us,longest_gap_us,longest_gap_before_us,\
detection_us,promotion_us,reroute_us,redundancy_us,split_us,split_acked,rpo_span_us,rpo_wal_bytes,rejoin_us,\
well_us,stranded,connecting_us,rejoin,verdict
16,0,1,1,1,2,0,1,0,0,0,0,0,2,750,0,750,750,1200,800,800,100,600,200,1500,0,0,350,256,150,1600,0,150,rewind,broken
";
    let mut text = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n".to_owned();
    let mut row = |at: u64, worker: &str, seq: u64, event: &str, timeline: &str| {
        let seq = if seq == 0 { String::new() } else { seq.to_string() };
        text += &format!("r,{at},{worker},{seq},{event},,,,,{timeline}\n");
    };
    for (worker, seq, sent, at, event) in [
        ("0", 1, 1000, 1100, "acked"),
        ("1", 1, 1200, 1300, "acked"),
        ("0", 2, 2000, 2100, "acked"),
        ("1", 2, 2200, 2300, "acked"), // lost
        ("0", 3, 2350, 2450, "acked"), // lost, and after T0: this is T1
        ("1", 3, 2360, 2500, "unknown"),
    ] {
        row(sent, worker, seq, "sent", "1");
        row(at, worker, seq, event, "1");
    }
    row(2600, "0", 0, "connect_failed", "");
    for seq in 4..=8 {
        for (worker, first) in [("0", 3200), ("1", 3500)] {
            row(first - 100, worker, seq, "sent", "2");
            row(first + (seq - 4) * 100, worker, seq, "acked", "2");
        }
    }
    row(3550, "1", 0, "disconnected", ""); // its row of five begins anew
    row(3950, "1", 9, "sent", "2");
    row(4000, "1", 9, "acked", "2");
    row(4500, "0", 9, "sent", "2");
    row(4510, "0", 9, "failed", "2");
    row(4600, "1", 10, "skipped", "");
    text += "r,3150,0,,connected,,250,,,2\n"; // 150 of them after T3
    text += "r,4700,,19,end,,,,,\n";
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ledger = Ledger::read(&file("ledger.csv", &text));
    let events = Events::read(&file("events.csv", EVENTS));
    let gone = [(1, 2), (0, 3), (0, 9), (1, 10)];
    let present: Present =
        ledger.writes.keys().filter(|key| !gone.contains(key)).map(|key| (*key, vec![true])).collect();
    let drill = rows_of(DRILL).remove(0);
    check(&drill, &ledger, &events, &present);
    let refuses = |drill: &Fields, present: &Present| {
        std::panic::catch_unwind(|| check(drill, &ledger, &events, present)).is_err()
    };
    for column in drill.keys().filter(|column| !["rejoin", "verdict"].contains(&column.as_str())) {
        let mut wrong = drill.clone();
        wrong.insert(column.clone(), (number(&drill, column).unwrap() + 1).to_string());
        assert!(refuses(&wrong, &present), "{column}");
        wrong.remove(column);
        assert!(column == "divergent" || refuses(&wrong, &present), "no {column}");
    }
    for (key, times) in [((0, 1), vec![true, true]), ((0, 1), vec![false]), ((0, 9), vec![true]), ((7, 1), vec![true])]
    {
        let mut more = present.clone();
        more.insert(key, times);
        assert!(refuses(&drill, &more), "{key:?}");
    }
}
