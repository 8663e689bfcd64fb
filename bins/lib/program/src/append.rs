//! A file that rows are appended to, run after run, by whoever runs at the same time.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use report::columns::columns;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Time for others to append theirs: a line each.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Between two tries.
const LOOK: Duration = Duration::from_millis(10);

/// Appends rows, with a header if the file is new: all of them in one write, while nobody else does.
///
/// # Errors
/// If the file has other columns or its last line is cut, and then it stays as it is; or what the system says.
pub fn append<Row: Serialize + for<'de> Deserialize<'de>>(path: &Path, rows: &[Row]) -> Result<()> {
    let name = || path.display().to_string();
    // Not waited for, if it is a pipe; nor followed, if it is a link.
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).custom_flags(flags).open(path).with_context(name)?;
    ensure!(file.metadata()?.is_file(), "{} is no plain file", name());
    lock(&file).with_context(name)?;
    let is_new = check(&mut file, &columns::<Row>().join(",")).with_context(name)?;
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if is_new {
        csv.write_record(columns::<Row>())?;
    }
    rows.iter().try_for_each(|row| csv.serialize(row))?;
    file.write_all(&csv.into_inner().map_err(csv::IntoInnerError::into_error)?).with_context(name)
}

/// Locks it until it is closed. Whoever may read it could hold the lock for ever, and no verdict waits for that.
fn lock(file: &File) -> Result<()> {
    let end = Instant::now() + LOCK_DEADLINE;
    while let Err(error) = flock(file, FlockOperation::NonBlockingLockExclusive) {
        ensure!(error == Errno::WOULDBLOCK && Instant::now() < end, "cannot lock it: {error}");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Whether the file is empty; an error if it is none of ours, or not whole.
fn check(file: &mut File, header: &str) -> Result<bool> {
    let mut there = Vec::new();
    file.read_to_end(&mut there)?;
    if there.is_empty() {
        return Ok(true);
    }
    ensure!(
        there.starts_with(format!("{header}\n").as_bytes()),
        "has other columns than this version writes: move it away, and a new one is begun"
    );
    ensure!(there.ends_with(b"\n"), "its last line is cut: mend it or move it away, and a new one is begun");
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use report::settings::SettingRow;

    use super::append;

    fn row(name: &str) -> SettingRow {
        let (run, node) = ("r".to_owned(), "n".to_owned());
        SettingRow { run, node, name: name.to_owned(), value: "a,\"b\nc".to_owned(), source: "default".to_owned() }
    }

    #[test]
    fn two_at_once_tear_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.csv");
        std::thread::scope(|scope| {
            for name in ["one", "two", "three", "four"] {
                let path = &path;
                scope.spawn(move || (0..50).for_each(|_| append(path, &[row(name)]).unwrap()));
            }
        });
        let text = fs::read(&path).unwrap();
        let rows: Vec<SettingRow> = report::rows::read(&text[..]).unwrap();
        let of = |name: &str| rows.iter().filter(|found| **found == row(name)).count();
        assert_eq!(["one", "two", "three", "four"].map(of), [50; 4]);
        assert_eq!(rows.len(), 200);
    }

    #[test]
    fn what_is_foreign_or_torn_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.csv");
        for (text, why) in [
            ("my notes\n", "other columns"),
            ("run,node,name,value\n", "other columns"),
            ("run,node,name,value,source\nr,n,a", "is cut"),
        ] {
            fs::write(&path, text).unwrap();
            let said = format!("{:#}", append(&path, &[row("x")]).unwrap_err());
            assert!(said.contains(why) && said.contains("history.csv"), "{said}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(append(&path, &[row("x")]).is_err(), "a link");
    }
}
