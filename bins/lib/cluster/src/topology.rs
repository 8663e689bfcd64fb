//! Which node is the primary: the servers are asked each time, nothing is remembered.

use anyhow::{Result, bail, ensure};
use report::lsn::Lsn;

use crate::args::{Cluster, Node};
use crate::file::LoginKind;
use crate::identity::{self, Identity};
use crate::own::is_pooled;
use crate::session::Session;

/// Whether the server is out of recovery.
pub fn is_primary(session: &Session) -> Result<bool> {
    Ok(!session.value::<bool>("SELECT pg_is_in_recovery()", &[])?)
}

/// The nodes of a cluster, by what they answered.
pub struct Topology {
    /// The one node out of recovery, with a session on it.
    pub primary: (Node, Session),
    /// The others that answer, with a session on each.
    pub standbys: Vec<(Node, Session)>,
    /// The nodes that do not answer, and why.
    pub unreachable: Vec<(Node, anyhow::Error)>,
}

/// Asks all nodes of `cluster` what they are.
///
/// # Errors
/// If not exactly one is out of recovery, the nodes do not belong together, or a pooler is before one of them.
pub fn ask(cluster: &Cluster, kind: LoginKind, application_name: &str) -> Result<Topology> {
    let (mut primaries, mut standbys, mut unreachable) = (Vec::new(), Vec::new(), Vec::new());
    for node in &cluster.nodes {
        let asked = cluster.info(node, kind).and_then(|info| {
            let session = Session::open_first(&node.name, &info, application_name)?;
            Ok((is_primary(&session)?, session))
        });
        match asked {
            Ok((true, session)) => primaries.push((node.clone(), session)),
            Ok((false, session)) => standbys.push((node.clone(), session)),
            Err(error) if is_pooled(&error) => return Err(error),
            Err(error) => unreachable.push((node.clone(), error)),
        }
    }
    if let [(one, on_one), (other, on_other), ..] = &primaries[..] {
        if identity::ask(on_one)?.is_same_start_as(&identity::ask(on_other)?) {
            bail!("{} and {} lead to the same server", one.name, other.name);
        }
        let names: Vec<_> = primaries.iter().map(|(node, _)| node.name.as_str()).collect();
        bail!("{} are all out of recovery: which of them is the primary?", names.join(" and "));
    }
    let Some(primary) = primaries.pop() else {
        let why: Vec<_> = unreachable.iter().map(|(_, error)| format!("{error:#}")).collect();
        match why.is_empty() {
            true => bail!("no node is out of recovery: there is no primary"),
            false => bail!("no primary found: {}", why.join("; ")),
        }
    };
    let topology = Topology { primary, standbys, unreachable };
    check_belonging(&topology)?;
    Ok(topology)
}

/// The nodes of `cluster` as they stand, whatever their roles. The one that was named as primary takes the primary's place;
/// with a cluster file it is the first node out of recovery, or else the first node.
///
/// # Errors
/// If that node does not answer, the nodes are not copies of one cluster, or a pooler is before one of them.
pub fn as_they_stand(cluster: &Cluster, kind: LoginKind, application_name: &str) -> Result<Topology> {
    let topology = standing(cluster, kind, application_name)?;
    check_belonging(&topology)?;
    Ok(topology)
}

/// As [`as_they_stand`], for nodes that need not be copies of one cluster, nor of one version: their rows are compared by
/// value. Two databases of one server are fine.
///
/// # Errors
/// If the primary does not answer, a server is older than PostgreSQL 14, two nodes lead to one database, or a pooler is
/// before one of them.
pub fn by_value(cluster: &Cluster, kind: LoginKind, application_name: &str) -> Result<Topology> {
    let topology = standing(cluster, kind, application_name)?;
    let mut databases: Vec<(&str, _)> = Vec::new();
    let all = std::iter::once(&topology.primary).chain(&topology.standbys);
    for (node, session) in all {
        let server = identity::ask(session)?;
        ensure!(server.major >= 14, "{} runs PostgreSQL {}: 14 or newer is needed", node.name, server.major);
        let database: String = session.value("SELECT pg_catalog.current_database()::text", &[])?;
        let is_known = |known: &(Identity, String)| known.0.is_same_start_as(&server) && known.1 == database;
        if let Some((twin, _)) = databases.iter().find(|(_, known)| is_known(known)) {
            bail!("{twin} and {} lead to the same database", node.name);
        }
        databases.push((&node.name, (server, database)));
    }
    Ok(topology)
}

/// The nodes as they stand, without any check that they belong together.
fn standing(cluster: &Cluster, kind: LoginKind, application_name: &str) -> Result<Topology> {
    let (mut answering, mut unreachable) = (Vec::new(), Vec::new());
    for node in &cluster.nodes {
        let asked = cluster.info(node, kind).and_then(|info| {
            let session = Session::open_first(&node.name, &info, application_name)?;
            Ok((is_primary(&session)?, session))
        });
        match asked {
            Ok((out_of_recovery, session)) => answering.push((out_of_recovery, (node.clone(), session))),
            Err(error) if is_pooled(&error) => return Err(error),
            Err(error) if cluster.file.is_none() && node.name == "primary" => return Err(error),
            Err(error) => unreachable.push((node.clone(), error)),
        }
    }
    ensure!(!answering.is_empty(), "no node answers");
    let first = answering.iter().position(|(out_of_recovery, _)| *out_of_recovery && cluster.file.is_some());
    let (_, primary) = answering.remove(first.unwrap_or(0));
    let standbys = answering.into_iter().map(|(_, standby)| standby).collect();
    Ok(Topology { primary, standbys, unreachable })
}

fn check_belonging(topology: &Topology) -> Result<()> {
    let (primary, session) = &topology.primary;
    let of_primary = identity::ask(session)?;
    ensure!(of_primary.major >= 14, "{} runs PostgreSQL {}: 14 or newer is needed", primary.name, of_primary.major);
    let mut servers = vec![(&primary.name, of_primary.clone())];
    for (node, session) in &topology.standbys {
        let other = identity::ask(session)?;
        ensure!(
            other.system_identifier == of_primary.system_identifier,
            "{} is no standby of {}: its system_identifier is {}, not {}",
            node.name,
            primary.name,
            other.system_identifier,
            of_primary.system_identifier
        );
        ensure!(
            other.major == of_primary.major,
            "{} runs PostgreSQL {}, {} runs {}",
            node.name,
            other.major,
            primary.name,
            of_primary.major
        );
        if let Some((twin, _)) = servers.iter().find(|(_, server)| server.is_same_start_as(&other)) {
            bail!("{} and {} lead to the same server", twin, node.name);
        }
        servers.push((&node.name, other));
    }
    Ok(())
}

/// The last WAL position that the standby has replayed; `None` if it has replayed nothing yet.
pub fn replayed(standby: &Session) -> Result<Option<Lsn>> {
    let text: Option<String> = standby.value("SELECT pg_last_wal_replay_lsn()::text", &[])?;
    text.map(|text| text.parse()).transpose()
}
