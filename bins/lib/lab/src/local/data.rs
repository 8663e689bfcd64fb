//! Data directories: made by a tool, swapped by rename, removed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::LocalLab;
use super::memory;
use super::node::NodeDir;
use super::postmaster::Postmaster;
use super::remove::remove_dir;
use crate::conf;
use crate::data_dir::Tool;
use crate::marker;

impl LocalLab {
    /// Replaces the data directory with one that a tool makes beside it, swapped in by rename.
    pub(super) fn make_data_dir(&self, node: &NodeDir, tool: &Tool<'_>, standby: bool) -> Result<()> {
        let new = node.data_new();
        self.remove_data(&new)?;
        self.account.make_dir(&new)?; // initdb and pg_basebackup take an empty directory
        tool.done(&node.name, self.run(node, tool)?)?;
        let finish = if standby { LocalLab::make_standby_dir } else { LocalLab::put_in_order };
        finish(self, &new)?;
        if node.data().exists() {
            self.remove_data(&node.data_old())?;
            fs::rename(node.data(), node.data_old()).context("cannot set the old data directory aside")?;
        }
        fs::rename(&new, node.data()).with_context(|| format!("cannot put {} in place", node.data().display()))
    }

    /// Makes a data directory a standby's: the signal file, and none of the settings that a copy brought along.
    pub(super) fn make_standby_dir(&self, data: &Path) -> Result<()> {
        self.put_in_order(data)?;
        self.account.write(&data.join("standby.signal"), "")
    }

    /// What every data directory of ours has: marker, the one-line configuration, and no settings of another node.
    fn put_in_order(&self, data: &Path) -> Result<()> {
        self.account.write(&data.join(marker::FILE), &marker::text(&self.id))?;
        self.account.write(&data.join("postgresql.conf"), conf::INCLUDE)?;
        self.account.write(&data.join("postgresql.auto.conf"), "# ALTER SYSTEM writes here.\n")
    }

    /// Removes a data directory below a node's own, if it is there. The node's directory bears our marker (that was
    /// checked when it was opened); inside, an unfinished `initdb` or base backup may not have one yet.
    pub(super) fn remove_data(&self, data: &Path) -> Result<()> {
        match fs::symlink_metadata(data) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| data.display().to_string()),
            Ok(metadata) => ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", data.display()),
        }
        let parent = data.parent().context("a data directory has a parent")?;
        marker::check(parent, &self.id)?;
        let running = Postmaster::to_end(data, &self.ours)?.is_some();
        ensure!(!running, "a server runs in {}: it is left alone", data.display());
        memory::remove_recorded(data)?;
        remove_dir(data)
    }
}
