//! Where the WAL of a dead primary ends, read before anything is started over it: `pg_control` holds no end of WAL after
//! a kill, and every recovery adds records of its own.

use anyhow::{Context as _, Result};
use report::lsn::Lsn;

use crate::data_dir::DataDir;

/// The end of `timeline` in the stopped node's WAL, looked for from `fork` on.
///
/// # Errors
/// If `pg_waldump` cannot be run, or does not tell; with its words.
pub fn end(data: &dyn DataDir, node: &str, timeline: u32, fork: Lsn) -> Result<Lsn> {
    let (records, error) = data.waldump(node, timeline, fork)?;
    parse_end(&records, &error, fork).with_context(|| error.trim().to_owned())
}

/// The end of WAL from what `pg_waldump` said.
///
/// It ends with `error in WAL record at A: invalid record length at B: …`: B is the end. Where the words differ
/// (versions, a torn record), the last record's LSN and length tell it to within a page header.
fn parse_end(records: &str, error: &str, fork: Lsn) -> Option<Lsn> {
    if error.contains("could not find a valid record after") {
        return Some(fork); // nothing was written beyond the fork
    }
    let last = records.lines().rev().find(|line| line.starts_with("rmgr:")).and_then(end_of_record);
    let stated = error.rsplit_once("error in WAL record at ").map(|(_, rest)| rest);
    let stated = stated.and_then(|rest| lsn_after(rest.split_once(':')?.1, " at "));
    match (last, stated) {
        // The error names a place at or just behind the last whole record; anything else is about something else.
        (Some(last), Some(stated)) if stated >= last && stated.bytes_since(last) <= 8192 => Some(stated),
        (Some(last), _) => Some(last),
        (None, Some(stated)) if stated >= fork => Some(stated),
        (None, _) => None,
    }
}

/// LSN plus length, rounded up to 8, of a line `rmgr: … len (rec/tot): 54/ 54, tx: 0, lsn: 0/03000028, …`.
fn end_of_record(line: &str) -> Option<Lsn> {
    let total: u64 = line.split_once("len (rec/tot):")?.1.split_once('/')?.1.split(',').next()?.trim().parse().ok()?;
    let lsn = lsn_after(line, "lsn: ")?;
    Some(Lsn((lsn.0 + total).next_multiple_of(8)))
}

fn lsn_after(text: &str, before: &str) -> Option<Lsn> {
    let rest = text.split_once(before)?.1;
    rest.split(|c: char| !c.is_ascii_hexdigit() && c != '/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = "\
rmgr: Heap        len (rec/tot):     79/    79, tx:        740, lsn: 0/03000148, prev 0/03000110, desc: INSERT off 3\n\
rmgr: Transaction len (rec/tot):     46/    46, tx:        740, lsn: 0/03000198, prev 0/03000148, desc: COMMIT\n";

    fn fork() -> Lsn {
        "0/3000148".parse().unwrap()
    }

    #[test]
    fn the_error_names_the_end() {
        for error in [
            "pg_waldump: error: error in WAL record at 0/3000198: invalid record length at 0/30001C8: wanted 24, got 0",
            "pg_waldump: error: error in WAL record at 0/3000198: invalid record length at 0/30001C8: expected at least 24, got 0",
        ] {
            assert_eq!(parse_end(RECORDS, error, fork()).unwrap().to_string(), "0/30001C8");
        }
    }

    #[test]
    fn without_it_the_last_record_does() {
        assert_eq!(parse_end(RECORDS, "", fork()).unwrap().to_string(), "0/30001C8");
    }

    #[test]
    fn nothing_beyond_the_fork_is_no_wal() {
        let error = "pg_waldump: error: could not find a valid record after 0/3000148";
        assert_eq!(parse_end("", error, fork()), Some(fork()));
    }

    #[test]
    fn what_cannot_be_read_is_not_told() {
        assert_eq!(parse_end("", "pg_waldump: error: could not open directory", fork()), None);
    }
}
