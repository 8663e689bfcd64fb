//! The files of a lab of containers: `compose.yaml`, `node.sh`, and the configuration of each node.
//!
//! ```text
//! HOME/LAB/                        pg-understudy.lab (marker), lab.toml, cluster.toml, lock, passfile (0600)
//! HOME/LAB/compose/                compose.yaml, node.sh, .env; passfile (0600, for use in containers)
//! HOME/LAB/compose/nodes/NODE/     node.toml; postgresql.conf, pg_hba.conf, follow.conf, sync.conf (no secret in them)
//! ```

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use program::trust;

use crate::files::remove_file;
use crate::state::COMPOSE_DIR;

/// The file for people, from which a lab's is made.
const BY_HAND: &str = include_str!("../../../../../compose/compose.yaml");

/// What runs in every container.
pub(super) const NODE_SH: (&str, &str) = ("node.sh", include_str!("../../../../../compose/node.sh"));

/// The containers' password file.
pub(super) const PASSFILE: &str = "passfile";

/// Files that former versions wrote for a lab and for a node: they go with it.
const FORMER: [&str; 3] = ["postgresql.base.conf", "by-hand.sh", "verifiers"];
const FORMER_OF_NODE: [&str; 1] = ["settings.conf"];

/// Who may connect to a node: everybody on the lab's own networks, with a password. Ports are published on 127.0.0.1 only.
pub(super) const PG_HBA: &str = "\
# Written by pg-understudy's setup.
local  all          all           scram-sha-256
host   replication  all     all   scram-sha-256
host   all          all     all   scram-sha-256
";

/// The name of a node in a lab that was made before names stayed when roles change; the others were `standby_1`, ….
const FORMER_NODE: &str = "primary";

/// `compose.yaml` of a lab: one service for each node, with a port that stays. By hand, `--scale` gives standbys whatever
/// port is free, and another one after a restart. One volume has a directory for each node, so that each sees who else was
/// promoted, also one that came later than its container.
pub(super) fn render(nodes: &[(String, u16)]) -> Result<String> {
    let (head, rest) = BY_HAND.split_once("\nservices:\n").context("compose.yaml has no services")?;
    let (_, tail) = rest.split_once("\nnetworks:\n").context("compose.yaml has no networks")?;
    let (networks, volumes) = tail.split_once("\nvolumes:\n").context("compose.yaml has no volumes")?;
    let labels = volumes.lines().next().and_then(|line| line.trim().strip_prefix("primary: "));
    let labels = labels.context("compose.yaml has no volume primary")?;
    let (_, head) = head.split_once("\nx-node:").context("compose.yaml has no x-node")?;
    let mut text = format!("# Written by pg-understudy's setup, which writes it anew.\n\nx-node:{head}\nservices:\n");
    for (name, port) in nodes {
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
      - nodes:/var/lib/postgresql
      - .:/understudy:ro
      - ./passfile:/secrets/passfile:ro

"
        )?;
    }
    Ok(format!("{text}networks:\n{networks}\nvolumes:\n  nodes: {labels}\n"))
}

/// Refuses a lab that a former version made, whose nodes have other names and lie elsewhere.
///
/// # Errors
/// What to do.
pub(super) fn check_names(dir: &Path) -> Result<()> {
    let lab = dir.file_name().unwrap_or_default().display();
    ensure!(
        !dir.join(COMPOSE_DIR).join("nodes").join(FORMER_NODE).exists(),
        "{}: an older version made this lab, and called its containers primary and standby_1, not node1 and node2: take it \
         down (`setup --down --name {lab}`), then set it up again",
        dir.display()
    );
    Ok(())
}

/// Removes a node's directory with what was written there; what somebody else put there stays, and is named.
///
/// # Errors
/// If something else is in it.
pub(super) fn remove_node(dir: &Path) -> Result<()> {
    let names = ["node.toml", "postgresql.conf", "pg_hba.conf", "follow.conf", "sync.conf", UNREAD];
    remove(dir, &[&names[..], &FORMER_OF_NODE].concat())
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
    remove(compose, &[&["compose.yaml", ".env", NODE_SH.0, PASSFILE], &FORMER[..]].concat())
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
        for name in ["compose.yaml", ".env", NODE_SH.0] {
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
        let of_lab = render(&[("node1".to_owned(), 15432), ("node2".to_owned(), 15433)]).unwrap();
        for text in [BY_HAND, &of_lab] {
            let ports: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("ports: ")).collect();
            assert!(ports.len() == 2 && ports.iter().all(|at| at.starts_with("[\"127.0.0.1:")), "{ports:?}");
            assert!(text.contains("\n  restart: \"no\"") && !text.contains("restart: a"));
        }
    }

    #[test]
    fn a_lab_of_a_former_version_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let lab = dir.path().join("old");
        fs::create_dir_all(lab.join("compose/nodes/node1")).unwrap();
        check_names(&lab).unwrap();
        fs::create_dir_all(lab.join("compose/nodes/primary")).unwrap();
        let said = check_names(&lab).unwrap_err().to_string();
        assert!(said.contains("`setup --down --name old`"), "{said}");
    }

    #[test]
    fn what_compose_is_given_could_have_been_written_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        for name in ["compose.yaml", ".env", NODE_SH.0] {
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
        mode(dir.path(), 0o1777);
        assert!(check_trusted(dir.path()).is_err(), "one that is missing could be made");
        mode(dir.path(), 0o755);
    }

    #[test]
    fn a_node_of_a_lab_is_what_it_is_by_hand() {
        let text = render(&[("node1".to_owned(), 15432), ("node2".to_owned(), 15433)]).unwrap();
        let of_hand = BY_HAND.split_once("\n  primary:\n").unwrap().1.split_once("\n\n").unwrap().0;
        let of_lab = text.split_once("\n  node1:\n").unwrap().1.split_once("\n\n").unwrap().0;
        let mut of_hand = of_hand.to_owned();
        for (by_hand, in_lab) in [
            ("${UNDERSTUDY_PORT:-15432}", "15432"),
            ("- secrets:/secrets", "- ./passfile:/secrets/passfile:ro"),
            ("      - standby:/peers:ro\n", ""),
            ("- primary:/var", "- nodes:/var"),
            ("NODE: primary", "NODE: node1"),
            ("[primary.replication]", "[node1.replication]"),
        ] {
            assert!(of_hand.contains(by_hand), "{by_hand}");
            of_hand = of_hand.replace(by_hand, in_lab);
        }
        assert_eq!(of_hand, of_lab);
        let volumes = |text: &str| text.split_once("\nvolumes:\n").unwrap().1.lines().next().unwrap().to_owned();
        assert_eq!(volumes(BY_HAND).replace("primary:", "nodes:"), volumes(&text));
        assert!(text.contains("aliases: [node2.replication]") && text.contains("127.0.0.1:15433:5432"));
        assert!(text.contains("x-node: &node\n") && text.contains("internal: true"));
    }
}
