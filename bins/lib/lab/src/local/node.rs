//! A node's directory.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cluster::ident::check_node_name;
use program::trust;

/// How much of a node's log an error shows, in bytes.
const LOG_TAIL: u64 = 2_000;

/// The directory of one node. That it is one of ours is for the caller to check, by its marker.
#[derive(Clone, Debug)]
pub(super) struct NodeDir {
    /// The node's name.
    pub(super) name: String,
    /// Its directory.
    pub(super) dir: PathBuf,
}

impl NodeDir {
    /// The directory of node `name` in the lab at `lab`.
    pub(super) fn at(lab: &Path, name: &str) -> Result<NodeDir> {
        check_node_name(name)?;
        Ok(NodeDir { name: name.to_owned(), dir: lab.join(name) })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn data_new(&self) -> PathBuf {
        self.dir.join("data.new")
    }

    pub(super) fn data_old(&self) -> PathBuf {
        self.dir.join("data.old")
    }

    pub(super) fn conf(&self) -> PathBuf {
        self.dir.join("conf")
    }

    /// The directory in which the servers' user may write what it likes: its log, and what is copied out.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.log_dir().join("postgresql.log")
    }

    pub(super) fn passfile(&self) -> PathBuf {
        self.dir.join("passfile")
    }

    /// The directory of its socket, which nobody but the servers' user can enter.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Whether it holds a whole data directory.
    pub(super) fn has_data(&self) -> bool {
        std::fs::symlink_metadata(self.data().join("PG_VERSION")).is_ok_and(|metadata| metadata.is_file())
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let read = || -> Result<String> {
            let mut file = trust::open_plain(&self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL).read_to_end(&mut bytes)?; // it may grow meanwhile
            let text = String::from_utf8_lossy(&bytes);
            let whole = if length > LOG_TAIL { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
            Ok(whole.trim_end().to_owned())
        };
        read().unwrap_or_else(|error| format!("({error:#})"))
    }
}
