//! The files of a lab of containers: `compose.yaml`, `node.sh`, and the settings of each node.
//!
//! ```text
//! HOME/LAB/                        pg-understudy.lab (marker), lab.toml, cluster.toml, lock, passfile (0600)
//! HOME/LAB/compose/                compose.yaml, node.sh, by-hand.sh, postgresql.base.conf, .env; passfile, verifiers (0600,
//!                                  for use in containers)
//! HOME/LAB/compose/nodes/NODE/     node.toml; follow.conf, settings.conf, sync.conf (no secret in them)
//! ```

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use program::trust;

use crate::conf;
use crate::files::remove_file;

/// The file for people, from which a lab's is made.
const BY_HAND: &str = include_str!("../../../../../compose/compose.yaml");

/// What runs in every container, last, and what it reads: each file with its name.
pub(super) const RUN_THERE: [(&str, &str); 3] = [
    ("postgresql.base.conf", conf::BASE),
    ("by-hand.sh", include_str!("../../../../../compose/by-hand.sh")),
    ("node.sh", include_str!("../../../../../compose/node.sh")),
];

/// The containers' password file, and what their roles are made with.
pub(super) const PASSFILE: &str = "passfile";
pub(super) const VERIFIERS: &str = "verifiers";

/// The name of the node that is primary in a new lab.
pub(super) const PRIMARY: &str = "primary";

/// How the names of the other nodes begin; a number follows.
pub(super) const STANDBY: &str = "standby_";

/// `compose.yaml` of a lab: one service for each node, with a port that stays. By hand, `--scale` gives standbys whatever
/// port is free, and another one after a restart.
pub(super) fn render(nodes: &[(String, u16)]) -> Result<String> {
    let (head, rest) = BY_HAND.split_once("\nservices:\n").context("compose.yaml has no services")?;
    let (_, tail) = rest.split_once("\nnetworks:\n").context("compose.yaml has no networks")?;
    let (_, head) = head.split_once("\nx-node:").context("compose.yaml has no x-node")?;
    let mut text = format!("# Written by pg-understudy's setup, which writes it anew.\n\nx-node:{head}\nservices:\n");
    for (name, port) in nodes {
        let (own, other) = volumes(name);
        write!(
            text,
            "  {name}:
    <<: *node
    environment:
      UNDERSTUDY_NODE: {name}
    networks:
      replication: {{aliases: [{name}.replication]}}
      clients: {{}}
    ports: [\"127.0.0.1:{port}:5432\"]
    volumes:
      - {own}:/var/lib/postgresql
      - {other}:/peers:ro
      - .:/understudy:ro
      - ./passfile:/secrets/passfile:ro
      - ./verifiers:/secrets/verifiers:ro

"
        )?;
    }
    Ok(format!("{text}networks:\n{tail}"))
}

/// The volume of a node, and the one that it only looks into: `primary` has one of its own, all standbys share one.
fn volumes(node: &str) -> (&'static str, &'static str) {
    if node == PRIMARY { ("primary", "standby") } else { ("standby", "primary") }
}

/// Removes a node's directory with what was written there; what somebody else put there stays, and is named.
///
/// # Errors
/// If something else is in it.
pub(super) fn remove_node(dir: &Path) -> Result<()> {
    remove(dir, &["node.toml", "follow.conf", "settings.conf", "sync.conf", UNREAD])
}

/// The same for `HOME/LAB/compose`.
///
/// # Errors
/// As [`remove_node`].
pub(super) fn remove_all(compose: &Path) -> Result<()> {
    if !compose.exists() {
        return Ok(()); // a set-up was killed before it made it
    }
    for node in fs::read_dir(compose.join("nodes")).into_iter().flatten() {
        remove_node(&node?.path())?;
    }
    let _ = fs::remove_dir(compose.join("nodes"));
    for (name, _) in RUN_THERE {
        remove_with_new(&compose.join(name))?;
    }
    remove(compose, &["compose.yaml", ".env", PASSFILE, VERIFIERS])
}

fn remove(dir: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        remove_with_new(&dir.join(name))?;
    }
    fs::remove_dir(dir).with_context(|| format!("{}: something in it is not ours and is left alone", dir.display()))
}

/// Removes a file, and what a [`write`] that was killed left of it.
fn remove_with_new(path: &Path) -> Result<()> {
    remove_file(path)?;
    remove_file(&path.with_extension("new"))
}

/// The mark of a node whose settings files were changed and whose server was not told yet.
pub(super) const UNREAD: &str = "unread";

/// Whether a file holds this text, and only we or root could have written it.
#[must_use]
pub(super) fn holds(path: &Path, text: &str) -> bool {
    trust::read(path).is_ok_and(|old| old == text)
}

/// Sees that only we or root could have written what compose is given.
///
/// # Errors
/// What somebody else could have written.
pub(super) fn check_trusted(compose: &Path) -> Result<()> {
    if trust::check_dir(compose)? {
        for name in ["compose.yaml", ".env"].into_iter().chain(RUN_THERE.map(|(name, _)| name)) {
            trust::read_if_there(&compose.join(name))?;
        }
    }
    Ok(())
}

/// A line of `.env`, quoted where its reader would see more than letters in it.
pub(super) fn variable(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '@');
    if value.chars().all(plain) { format!("{name}={value}\n") } else { format!("{name}='{value}'\n") }
}

/// Writes a file that the servers may read, in one step, unless it holds that text.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    if holds(path, text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        // Whatever the caller's umask: the servers' user in the container is somebody else.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_may_do_what_a_node_may_and_no_more() {
        assert!(super::super::data_dir::CONFINED.contains(&("--cap-drop", "ALL")));
        let added: Vec<_> = super::super::data_dir::CONFINED.iter().filter(|(name, _)| *name == "--cap-add").collect();
        let list = added.iter().map(|(_, capability)| *capability).collect::<Vec<_>>().join(", ");
        let option = super::super::data_dir::CONFINED.last().unwrap().1;
        let text = format!("  cap_drop: [ALL]\n  cap_add: [{list}]\n  security_opt: [\"{option}\"]\n");
        assert!(BY_HAND.contains(&text), "{text}");
    }

    #[test]
    fn whatever_the_file_is_ports_are_published_on_loopback_only_and_nothing_comes_back_by_itself() {
        let of_lab = render(&[("primary".to_owned(), 15432), ("standby_1".to_owned(), 15433)]).unwrap();
        for text in [BY_HAND, &of_lab] {
            let ports: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("ports: ")).collect();
            assert!(ports.len() == 2 && ports.iter().all(|at| at.starts_with("[\"127.0.0.1:")), "{ports:?}");
            assert!(text.contains("\n  restart: \"no\"") && !text.contains("restart: a"));
        }
    }

    #[test]
    fn what_compose_is_given_could_have_been_written_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        for name in ["compose.yaml", ".env"].into_iter().chain(RUN_THERE.map(|(name, _)| name)) {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            mode(&path, 0o644);
            check_trusted(dir.path()).unwrap();
            mode(&path, 0o666);
            let said = format!("{:#}", check_trusted(dir.path()).unwrap_err());
            assert!(said.contains("can write") && said.contains(name), "{said}");
            mode(&path, 0o644);
        }
        mode(dir.path(), 0o777);
        assert!(check_trusted(dir.path()).is_err(), "one of them could be exchanged");
        mode(dir.path(), 0o755);
    }

    #[test]
    fn a_node_of_a_lab_is_what_it_is_by_hand() {
        let text = render(&[("primary".to_owned(), 15432), ("standby_1".to_owned(), 15433)]).unwrap();
        let of_hand = BY_HAND.split_once("\n  primary:\n").unwrap().1.split_once("\n\n").unwrap().0;
        let of_lab = text.split_once("\n  primary:\n").unwrap().1.split_once("\n\n").unwrap().0;
        let of_hand = of_hand.replace("${UNDERSTUDY_PORT:-15432}", "15432");
        assert_eq!(
            of_hand.replace(
                "- secrets:/secrets",
                "- ./passfile:/secrets/passfile:ro\n      - ./verifiers:/secrets/verifiers:ro"
            ),
            of_lab
        );
        assert!(text.contains("aliases: [standby_1.replication]") && text.contains("127.0.0.1:15433:5432"));
        assert!(text.contains("x-node: &node\n") && text.contains("internal: true"));
    }
}
