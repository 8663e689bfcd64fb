//! A lab's password goes to the lab's servers and nobody else, whoever names the file that it is in.
//!
//! A cluster file that somebody has given away, or a connection string, can name a lab's password file and the port of a node that
//! is down, where anybody may listen. So what such a connection has to be is read from the lab itself: from the cluster file beside
//! the password file.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::auth::RequireAuth;
use crate::file::ClusterFile;
use crate::protection::Protection;

/// What marks the directories of a lab.
const MARKER: &str = "pg-understudy.lab";

/// What a connection has to be that takes its password from this file: `given`, but of a lab's file what the lab asks for.
///
/// # Errors
/// If the lab's cluster file cannot be read.
pub(crate) fn protect(passfile: &Path, given: Protection) -> Result<Protection> {
    let real = passfile.canonicalize().with_context(|| format!("passfile {}", passfile.display()))?;
    // A node has one of its own, in a directory of its own.
    let marked: Vec<&Path> = real.ancestors().skip(1).take(2).filter(|dir| dir.join(MARKER).exists()).collect();
    if marked.is_empty() {
        return Ok(given);
    }
    let of_lab = marked.iter().map(|dir| dir.join("cluster.toml")).find(|file| file.exists());
    let protection = match of_lab {
        Some(file) => ClusterFile::read(&file)?.protection(),
        None => Protection { require_auth: RequireAuth::scram(), ..given.clone() }, // it is being made
    };
    Ok(Protection { require_auth: protection.require_auth, server_user: protection.server_user, ..given })
}
