//! Ports for nodes: free now, not another lab's, and none that the system gives to outgoing connections.
//!
//! Between the choice of a port and the start of its server, and while a drill has killed that server, nobody listens on
//! it. So whoever sets up or drills claims the ports of the lab for as long as it runs, and no other set-up of this machine
//! chooses them. A claim is an abstract socket: seen by all users of this network namespace, in no directory where somebody
//! else could do harm, and gone with its process, however that ends. Claimed by a stranger, a port is only not chosen.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};

use crate::holder::holder;
use crate::state::NodeState;

/// The first port of a lab where nothing else is said.
pub const FIRST_PORT: u16 = 15432;

/// The error of a stopped node whose port somebody else has: that says nothing about the node.
#[derive(Debug)]
pub struct Taken {
    node: String,
    port: u16,
    by: String,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Taken { node, port, by } = self;
        write!(
            f,
            "port {port} of {node} was taken by {by} while nobody listened there; `setup` gives {node} another one"
        )
    }
}

impl std::error::Error for Taken {}

/// The port of a node.
pub(crate) struct Settled {
    /// The port.
    pub(crate) port: u16,
    /// What became of the one that it had, for people; `None` if it keeps it, or had none.
    pub(crate) moved: Option<String>,
}

/// Gives the node `name`, whose state is in `dir`, a port: the one that it has, if it `runs` there or nobody else took it;
/// else the next one from `first` on that is free.
///
/// # Errors
/// If none is free, or the node's file cannot be written.
pub(crate) fn settle(home: &Path, dir: &Path, name: &str, first: u16, runs: bool) -> Result<Settled> {
    let had = NodeState::read_if_there(dir)?.map(|state| state.port);
    if let Some(port) = had.filter(|port| runs || is_free(*port)) {
        claim(port); // that somebody else claims it is no reason to give up a lab's own
        return Ok(Settled { port, moved: None });
    }
    // Looked up again with the claim held: a set-up that had it may have written it down and ended in between. No lock of
    // the labs' home is needed for that; somebody else could hold it.
    let before = taken(home, dir);
    let is_ours =
        |port: &u16| !before.contains(port) && is_free(*port) && claim(*port) && !taken(home, dir).contains(port);
    let found = range(first).find(is_ours);
    let port = found.with_context(|| format!("--port: no port of {} is free for {name}", shown(first)))?;
    NodeState { port }.write(dir)?;
    let moved = had.map(|had| format!("{name}: port {had} is taken by {}: it listens on {port} now", holder(had)));
    Ok(Settled { port, moved })
}

/// Claims the port of a node that is there, until this process ends; no set-up chooses it meanwhile.
pub fn claim(port: u16) -> bool {
    static CLAIMED: Mutex<Vec<(u16, UnixDatagram)>> = Mutex::new(Vec::new());
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    if claimed.iter().any(|(ours, _)| *ours == port) {
        return true;
    }
    let name = SocketAddr::from_abstract_name(format!("pg-understudy.port.{port}"));
    let socket = name.and_then(|name| UnixDatagram::bind_addr(&name)).ok();
    let is_ours = socket.is_some();
    claimed.extend(socket.map(|socket| (port, socket)));
    is_ours
}

/// Fails if somebody has the port of a stopped node.
///
/// # Errors
/// [`Taken`].
pub(crate) fn check_free(node: &str, port: u16) -> Result<()> {
    if is_free(port) { Ok(()) } else { Err(Taken { node: node.to_owned(), port, by: holder(port) }.into()) }
}

/// Refuses a first port for a lab that is yet to be made in `dir`: `asked` for and somebody else's, or with fewer than
/// `count` free ones from there on.
///
/// # Errors
/// That, by the name of the option.
pub(crate) fn check_enough(home: &Path, dir: &Path, asked: Option<u16>, count: u32) -> Result<()> {
    let (first, taken) = (asked.unwrap_or(FIRST_PORT), taken(home, dir));
    if asked.is_some() {
        let others = match (taken.contains(&first), is_free(first)) {
            (true, _) => Some("another lab".to_owned()),
            (false, false) => Some(holder(first)),
            (false, true) => (!claim(first)).then(|| "a lab that somebody sets up or drills".to_owned()),
        };
        if let Some(others) = others {
            bail!("--port {first} is in use by {others}: name another, or leave it out");
        }
    }
    let free = range(first).filter(|port| !taken.contains(port) && is_free(*port)).take(count as usize).count();
    ensure!(
        free == count as usize,
        "--port {first}: the lab's {count} nodes need as many ports, and of {} only {free} are free",
        shown(first)
    );
    Ok(())
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

/// From `first` on: below the ports of outgoing connections, which anybody's client has for a while; above them only for
/// one who asked for a port there.
fn range(first: u16) -> RangeInclusive<u16> {
    match ephemeral() {
        Some((low, _)) if first < low => first..=low - 1,
        _ => first..=u16::MAX,
    }
}

fn shown(first: u16) -> String {
    let range = range(first);
    format!("{} to {}", range.start(), range.end())
}

/// The first and the last port that the system gives to outgoing connections.
fn ephemeral() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut words = text.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_outgoing_connections_is_not_chosen() {
        let (low, high) = ephemeral().unwrap();
        assert!(low < high);
        assert_eq!(range(low - 2), low - 2..=low - 1);
        assert_eq!(range(low), low..=u16::MAX, "asked for");
    }

    #[test]
    fn a_port_that_is_taken_is_given_up_and_its_holder_named_and_one_that_is_claimed_is_not_chosen() {
        let (home, first) = (tempfile::tempdir().unwrap(), crate::scratch::first_port());
        let dir = home.path().join("lab/node1");
        fs::create_dir_all(&dir).unwrap();
        let settle = |runs| settle(home.path(), &dir, "node1", first, runs).unwrap();
        assert_eq!((settle(false).port, settle(false).port), (first, first), "it is kept");
        let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_eq!(settle(true).port, first, "its own server is the one that listens");
        let taken = check_free("node1", first).unwrap_err().to_string();
        // Claimed by another process, as far as this one can tell.
        let name = SocketAddr::from_abstract_name(format!("pg-understudy.port.{}", first + 1)).unwrap();
        let _claimed = UnixDatagram::bind_addr(&name).unwrap();
        let settled = settle(false);
        assert_eq!(settled.port, first + 2);
        let who = format!("(pid {})", std::process::id());
        for said in [settled.moved.unwrap(), taken] {
            assert!(said.contains(&who) && said.contains(&first.to_string()), "{said}");
        }
        drop(thief);
        assert_eq!(settle(false).port, first + 2, "it stays where it is");
    }

    #[test]
    fn too_few_ports_are_refused_before_anything_is_made() {
        let home = tempfile::tempdir().unwrap();
        let check = |asked, count| check_enough(home.path(), &home.path().join("lab"), asked, count);
        let refused = check(Some(u16::MAX), 2).unwrap_err().to_string();
        assert!(refused.contains("--port 65535") && refused.contains("only 1"), "{refused}");
        check(Some(crate::scratch::first_port()), 2).unwrap();
    }
}
