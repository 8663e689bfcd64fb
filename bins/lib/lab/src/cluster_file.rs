//! A lab's cluster file: made of the lab's own state when `setup` writes it, and again when one is given to hurt the lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::auth::RequireAuth;
use cluster::file::{BackendName, ClusterFile, ComposeSection, LocalSection};

use crate::account::Account;
use crate::marker::{self, LabId};
use crate::roles::DATABASE;
use crate::state::{COMPOSE_DIR, LabState, NodeState};
use crate::{compose, secrets};

/// Writes the cluster file of the lab in `dir`, with its nodes in the order of `names`.
///
/// # Errors
/// If the lab's state cannot be read, or the file not be written.
pub(crate) fn write(dir: &Path, id: &LabId, state: &LabState, names: &[String]) -> Result<()> {
    let text = made_of(dir, id, state, names)?.render()?;
    Account::Own.write_private(&dir.join("cluster.toml"), &text)
}

/// Sees that a cluster file says of the lab in `dir` what the lab's own state says: the file may be old, or somebody may
/// have edited it, and what it names would be run and killed.
///
/// # Errors
/// What differs, and what to do.
pub(crate) fn check(given: &ClusterFile, dir: &Path, id: &LabId, state: &LabState) -> Result<()> {
    let own = made_of(dir, id, state, &nodes(dir, state)?)?;
    let by_name = |file: &ClusterFile| {
        let mut nodes = file.node.clone();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    };
    for (what, same) in [
        ("name", own.name == given.name),
        ("backend", own.backend == given.backend),
        ("require_auth", own.require_auth == given.require_auth),
        ("server_uid", own.server_uid == given.server_uid),
        ("[local]", own.local == given.local),
        ("[compose]", own.compose == given.compose),
        ("[roles]", own.roles == given.roles),
        ("[[node]]", by_name(&own) == by_name(given)),
    ] {
        ensure!(
            same,
            "{what} in the cluster file is not what the lab in {} is: `setup` writes its cluster.toml anew; give that file",
            dir.display()
        );
    }
    Ok(())
}

fn made_of(dir: &Path, id: &LabId, state: &LabState, names: &[String]) -> Result<ClusterFile> {
    let local = state.bin.as_ref().map(|bin| LocalSection { dir: dir.to_owned(), bin: bin.clone() });
    let compose = match &state.image {
        Some(_) => Some(ComposeSection { dir: dir.to_owned(), project: compose::project(dir, id)? }),
        None => None,
    };
    let backend = match (&local, &compose) {
        (Some(_), None) => BackendName::Local,
        (None, Some(_)) => BackendName::Compose,
        _ => bail!("{}: it has either `bin` or `image`", dir.join("lab.toml").display()),
    };
    let server_uid = match backend {
        BackendName::Local => Account::of_lab(dir)?.uid(),
        _ => 0, // who listens for a container is the engine
    };
    let section = |name: &String| Ok(NodeState::read(&nodes_dir(dir, state).join(name))?.section(name, DATABASE));
    let node = names.iter().map(section).collect::<Result<_>>()?;
    Ok(ClusterFile {
        name: state.name.clone(),
        backend,
        require_auth: Some(RequireAuth::scram()),
        server_uid: Some(server_uid),
        local,
        compose,
        roles: secrets::roles(dir),
        node,
    })
}

/// The names of the nodes that are there, in no certain order.
///
/// # Errors
/// If the lab's directory cannot be read.
pub(crate) fn nodes(dir: &Path, state: &LabState) -> Result<Vec<String>> {
    let (dir, local) = (nodes_dir(dir, state), state.bin.is_some());
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        // Beside local nodes lies the lab's own; those of containers have a directory to themselves.
        if !local || (entry.file_type()?.is_dir() && marker::read(&entry.path())?.is_some()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// The directory with one for each node.
pub(crate) fn nodes_dir(dir: &Path, state: &LabState) -> PathBuf {
    match state.bin {
        Some(_) => dir.to_owned(),
        None => dir.join(COMPOSE_DIR).join("nodes"),
    }
}
