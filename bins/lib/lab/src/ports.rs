//! Ports for nodes: free now, and not another lab's.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::state::NodeState;

/// The first port of a lab where nothing else is said.
pub const FIRST_PORT: u16 = 15432;

/// Gives the node in `dir` a port: the one that it has if it `keeps` that, or nobody took it; else the next one from
/// `first` on that is free.
///
/// # Errors
/// If none is free, or the node's file cannot be written.
pub fn settle(home: &Path, dir: &Path, first: u16, keeps: bool) -> Result<u16> {
    let _choosing = begin_choosing(home)?;
    if let Ok(NodeState { port }) = NodeState::read(dir)
        && (keeps || is_free(port))
    {
        return Ok(port);
    }
    let taken = taken(home, dir);
    let found = (first..=u16::MAX).find(|port| !taken.contains(port) && is_free(*port));
    let port = found.with_context(|| format!("no port from {first} on is free"))?;
    NodeState { port }.write(dir)?;
    Ok(port)
}

/// Refuses a first port that is somebody else's, for a lab that is yet to be made in `dir`.
///
/// # Errors
/// That, by the name of the option.
pub fn check_first(home: &Path, dir: &Path, first: u16) -> Result<()> {
    let others = taken(home, dir).contains(&first);
    ensure!(!others && is_free(first), "--port {first} is in use: name another, or leave it out");
    Ok(())
}

/// Waits until no other set-up chooses a port; the others wait until the file is closed. What is chosen and not yet
/// listened on shows in no other way.
fn begin_choosing(home: &Path) -> Result<fs::File> {
    let file = fs::File::open(home).with_context(|| home.display().to_string())?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).context("cannot lock the labs' home")?;
    Ok(file)
}

/// The ports of all nodes of all labs of this home but the one in `except`: one that is down now comes back.
fn taken(home: &Path, except: &Path) -> Vec<u16> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    entries(home)
        .flat_map(|lab| [lab.join("compose/nodes"), lab])
        .flat_map(|nodes| entries(&nodes).collect::<Vec<_>>())
        .filter(|node| node != except)
        .filter_map(|node| Some(NodeState::read(&node).ok()?.port))
        .collect()
}

/// Whether nobody listens on a port of the loopback address now.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
