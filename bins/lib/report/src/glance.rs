//! One line of a ledger at a glance, for a program that follows the file while it is written: at 20,000 writes a second
//! there are 40,000 lines, and building a whole row for each takes more than a core.

use anyhow::{Context as _, Result};

use crate::ledger::{Event, LedgerRow};

/// What a follower needs of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Microseconds since the run's origin.
    pub at_us: u64,
    /// The worker; `None` for `end`.
    pub worker: Option<u32>,
    /// What happened.
    pub event: Event,
    /// The timeline of its session.
    pub timeline: Option<u32>,
}

/// The rows that a follower does not look at further, as their fifth field names them.
const SENT: &str = "sent";

/// Looks at one line without its header; `None` for `sent`, which says nothing yet.
///
/// # Errors
/// If it is not a ledger row.
pub fn glance(line: &str) -> Result<Option<Glance>> {
    if !line.contains('"') {
        let fields: [&str; 10] = {
            let mut all = line.trim_end_matches(['\n', '\r']).split(',');
            std::array::from_fn(|_| all.next().unwrap_or_default())
        };
        let [_, at_us, worker, _, event, .., timeline] = fields;
        match event {
            SENT => return Ok(None),
            // By far the most of the others.
            "acked" => {
                let not_a_row = || format!("not a ledger row: {line}");
                let number = |text: &str| text.parse::<u32>().with_context(not_a_row);
                let at_us = at_us.parse().with_context(not_a_row)?;
                let (worker, timeline) = (Some(number(worker)?), Some(number(timeline)?));
                return Ok(Some(Glance { at_us, worker, event: Event::Acked, timeline }));
            }
            _ => {}
        }
    }
    let row = parse(line)?;
    Ok(Some(Glance { at_us: row.at_us, worker: row.worker, event: row.event, timeline: row.timeline }))
}

fn parse(line: &str) -> Result<LedgerRow> {
    let header = csv::StringRecord::from(crate::columns::columns::<LedgerRow>().to_vec());
    let mut record = csv::StringRecord::new();
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(line.as_bytes())
        .read_record(&mut record)?;
    record.deserialize(Some(&header)).with_context(|| format!("not a ledger row: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields are counted here: they must be those of the row.
    #[test]
    fn a_glance_sees_what_the_row_says() {
        let fields = crate::columns::columns::<LedgerRow>();
        assert_eq!(
            (fields.len(), fields[1], fields[2], fields[4], fields[9]),
            (10, "at_us", "worker", "event", "timeline")
        );
        for line in [
            "r,1500,3,7,acked,1000,500,,node1,1\n",
            "r,1500,3,7,acked_local,1000,500,,node1,1\n",
            "r,1600,3,,connect_failed,,,08006,node1,\n",
            "\"r\",1500,3,7,acked,1000,500,,node1,2\n",
            "r,9000,,12,end,,,,,\n",
        ] {
            let row = parse(line).unwrap();
            let expected = Glance { at_us: row.at_us, worker: row.worker, event: row.event, timeline: row.timeline };
            assert_eq!(glance(line).unwrap(), Some(expected), "{line}");
        }
        assert_eq!(glance("r,1400,3,7,sent,1000,,,node1,1\n").unwrap(), None);
        for wrong in [
            "r,x,3,7,acked,1000,500,,node1,1\n",
            "r,1,x,7,acked,1,5,,node1,1\n",
            "r,1,3,7,acked,1,5,,node1,\n",
            "nonsense\n",
            "r,1,2,3,unheard_of,,,,,\n",
        ] {
            assert!(glance(wrong).is_err(), "{wrong}");
        }
    }
}
