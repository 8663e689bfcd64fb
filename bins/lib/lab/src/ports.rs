//! Ports for nodes: free now, and not another lab's.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::state::NodeState;

/// The first port of a lab where nothing else is said.
pub const FIRST_PORT: u16 = 15432;

/// The right to choose ports: one set-up at a time. What is chosen and not yet listened on shows in no other way.
pub struct Choosing {
    _home: fs::File,
}

impl Choosing {
    /// Waits for it.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(home: &Path) -> Result<Choosing> {
        let file = fs::File::open(home).with_context(|| home.display().to_string())?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).context("cannot lock the labs' home")?;
        Ok(Choosing { _home: file })
    }
}

/// The ports of all nodes of all labs of this home but the one in `except`: one that is down now comes back.
///
/// # Errors
/// If the home cannot be read.
pub fn taken(home: &Path, except: &Path) -> Result<Vec<u16>> {
    let mut ports = Vec::new();
    for lab in fs::read_dir(home).with_context(|| home.display().to_string())? {
        let lab = lab?.path();
        for nodes in [lab.join("compose/nodes"), lab] {
            for node in fs::read_dir(nodes).into_iter().flatten().filter_map(Result::ok) {
                if node.path() != except {
                    ports.extend(NodeState::read(&node.path()).ok().map(|state| state.port));
                }
            }
        }
    }
    Ok(ports)
}

/// Whether nobody listens on a port of the loopback address now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
