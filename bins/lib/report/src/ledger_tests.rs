//! What is a ledger and what is not, and what it says.

use super::*;

const HEADER: &str = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n";

/// A ledger of run `r` with these rows, without their first field.
pub(crate) fn ledger(rows: &[String]) -> Ledger {
    read(&rows.iter().map(|row| format!("r,{row}\n")).collect::<String>()).unwrap()
}

fn read(rows: &str) -> anyhow::Result<Ledger> {
    Ledger::read(format!("{HEADER}{rows}").as_bytes())
}

/// A file that grows while it is read: each piece ends in an end of the file.
struct Growing(Vec<&'static str>);

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0).as_bytes();
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn half_a_row_of_a_growing_ledger_is_left_out() {
    let grows = Growing(vec![HEADER, "r,5,0,1,sent,5,,,n,1\nr,6,0", "", ",1,acked,5,1,,n,1\nr,7,0,2,sent,7,,,n,1\n"]);
    let mut rows = 0;
    each_row(grows, |_| {
        rows += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn a_sent_without_an_end_is_unknown() {
    let ledger = read("r,5,0,1,sent,5,,,n,1\n").unwrap();
    assert_eq!(ledger.count(Outcome::Unknown), 1);
    assert!(!ledger.complete);
}

/// Somebody has taken the line of an ack out, and the count of keys is the same.
#[test]
fn a_write_without_an_outcome_is_open_and_no_event_of_connecting_has_a_seq() {
    let whole = "r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,2,sent,7,,,n,1\nr,8,0,2,unknown,7,1,,n,1\nr,9,,2,end,,,,,\n";
    assert_eq!(read(whole).unwrap().open(), 0);
    assert_eq!(read(&whole.replace("r,6,0,1,acked,5,1,,n,1\n", "")).unwrap().open(), 1);
    assert!(read(&whole.replace("1,acked,5,1", "1,disconnected,5,1")).is_err());
}

#[test]
fn a_torn_last_line_is_left_out_and_the_ledger_is_torn() {
    let ledger = read("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,2,sent,7,,,n").unwrap();
    assert_eq!((ledger.writes.len(), ledger.count(Outcome::Acked)), (1, 1));
    assert!(!ledger.complete);
}

#[test]
fn end_with_the_right_count_completes_it() {
    let ledger = read("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,2,skipped,1,,,,\nr,8,,2,end,,,,,\n");
    assert!(ledger.unwrap().complete);
}

#[test]
fn what_cannot_be_a_ledger_is_refused() {
    for (rows, why) in [
        ("r,5,0,1,sent,5,,,n,1\nr,8,,2,end,,,,,\n", "a wrong count"),
        ("r,5,0,1,sent,5,,,n,1\nr,8,,0,end,,,,,\n", "a count of fewer"),
        ("r,5,0,1,sent,5,,,n,1\nq,6,0,1,acked,5,1,,n,1\n", "two runs"),
        ("r,5,0,1,sent,5,,,n,1\nr,5,0,1,sent,5,,,n,1\n", "a key sent twice"),
        ("r,5,0,1,acked,5,,,n,1\n", "an ack without a sent"),
        ("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,1,failed,5,1,,n,1\n", "two outcomes"),
        ("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,\n", "an ack without a timeline"),
        ("r,5,,0,end,,,,,\nr,5,0,1,sent,5,,,n,1\n", "a row after the end"),
        ("r,five,0,1,sent,5,,,n,1\n", "a time that is no number"),
        ("r,5,0,1,lost,5,,,n,1\n", "an event that does not exist"),
    ] {
        assert!(read(rows).is_err(), "{why}");
    }
    assert!(Ledger::read("".as_bytes()).is_err());
    assert!(Ledger::read("a,b\n1,2\n".as_bytes()).is_err());
}

#[test]
fn refused_connections_are_failures_and_no_outcomes() {
    let ledger = read("r,5,0,,connect_failed,,,57P03,n,\nr,6,1,,disconnected,,,,n,\nr,6,,0,end,,,,,\n").unwrap();
    assert_eq!(ledger.failures, [Failure { at_us: 5, worker: 0 }, Failure { at_us: 6, worker: 1 }]);
    assert!(ledger.writes.is_empty() && ledger.complete);
}

/// Clients write their rows as they come; a stretch has the acks in the order of time, and nothing from outside of it.
#[test]
fn a_stretch_holds_what_happened_within_it_in_the_order_of_time() {
    let rows = "r,5,0,,connected,,1,,n,1\nr,5,0,,connect_failed,,,,n,\nr,6,0,1,sent,,,,n,1\nr,6,1,1,sent,,,,n,1\n\
        r,9,0,1,acked,,,,n,1\nr,8,1,1,acked,,,,n,1\nr,11,1,,disconnected,,,,n,\nr,12,1,,connected,,2,,n,1\n";
    let ledger = read(rows).unwrap();
    let at = |moments: Range<u64>| {
        let Stretch { acks, failures, connects, last_us } = ledger.within(&moments);
        let acks: Vec<u64> = acks.iter().map(|ack| ack.at_us).collect();
        let failures: Vec<u64> = failures.iter().map(|failure| failure.at_us).collect();
        let connects: Vec<u64> = connects.iter().map(|connect| connect.at_us).collect();
        (acks, failures, connects, last_us)
    };
    assert_eq!(at(0..u64::MAX), (vec![8, 9], vec![5, 11], vec![5, 12], 12));
    assert_eq!(at(0..9), (vec![8], vec![5], vec![5], 9));
    assert_eq!(at(9..u64::MAX), (vec![9], vec![11], vec![12], 12));
}
