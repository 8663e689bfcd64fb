//! The checkout that a test holds drills in: they are nobody's history, and `reports/latest` is to lead where it did.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `reports/latest` and `reports/history.csv` as they were; put back when this is dropped.
pub(crate) struct Kept {
    latest: Option<PathBuf>,
    history: Option<Vec<u8>>,
}

impl Kept {
    /// As they are now.
    pub(crate) fn now() -> Kept {
        let reports = root().join("reports");
        Kept { latest: fs::read_link(reports.join("latest")).ok(), history: fs::read(reports.join("history.csv")).ok() }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let (latest, history) = (root().join("reports/latest"), root().join("reports/history.csv"));
        let _ = fs::remove_file(&latest);
        if let Some(old) = &self.latest {
            let _ = std::os::unix::fs::symlink(old, latest);
        }
        let _ = match &self.history {
            Some(old) => fs::write(history, old),
            None => fs::remove_file(history),
        };
    }
}
