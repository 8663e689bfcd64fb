//! The end of a file that somebody else writes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// How much is read at a time: a load of 20,000 writes a second makes a third of it.
const MOST: u64 = 1 << 20;

/// A file of which each line is read once. It need not be there yet.
pub(super) struct Tail {
    path: PathBuf,
    at: u64,
    /// The begin of a line whose end has not come.
    begun: Vec<u8>,
}

impl Tail {
    pub(super) fn of(path: PathBuf) -> Tail {
        Tail { path, at: 0, begun: Vec::new() }
    }

    /// What was appended since, in whole lines. Whatever goes wrong, there is nothing to be seen, and that is all.
    pub(super) fn lines(&mut self) -> Vec<String> {
        let mut bytes = std::mem::take(&mut self.begun);
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.at)).is_ok()
        {
            let before = bytes.len();
            let _ = file.take(MOST).read_to_end(&mut bytes);
            self.at += (bytes.len() - before) as u64;
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.begun = bytes.split_off(whole);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_line_comes_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        let mut tail = Tail::of(path.clone());
        assert!(tail.lines().is_empty(), "it is not there yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.lines(), ["one"]);
        file.write_all(b"o\n").unwrap();
        assert_eq!(tail.lines(), ["two"]);
        assert!(tail.lines().is_empty());
    }
}
