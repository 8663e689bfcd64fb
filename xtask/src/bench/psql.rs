//! psql, as benchmarks talk to the nodes of their lab: as the administrator, with a deadline for each script.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use program::{tool, trust};

/// Time for one script.
const DEADLINE: Duration = Duration::from_secs(180);

/// One of PostgreSQL's programs for clients, run as ourselves, root if we are: it reads the lab's passwords. So it is one that
/// nobody else could have put in the path.
///
/// # Errors
/// If there is none.
pub(super) fn client(name: &str) -> Result<Command> {
    let program = trust::in_path(name, None)
        .with_context(|| format!("{name} is needed, which comes with PostgreSQL's client or contrib package"))?;
    let mut command = Command::new(program);
    command.env("PGREQUIREAUTH", "scram-sha-256");
    Ok(command)
}

/// A psql that stops at the first error, without anybody's start-up file.
///
/// # Errors
/// As [`client`].
pub(super) fn psql_to(conninfo: &str) -> Result<Command> {
    let mut command = client("psql")?;
    command.args(["-XqAt", "--set", "ON_ERROR_STOP=1", conninfo]).env("PGOPTIONS", "-c client_min_messages=warning");
    Ok(command)
}

/// A node of the lab.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// The port that its socket is named after.
    pub(super) port: u16,
    /// The directory of its socket. Nobody else can enter it: on a port that is free for a moment anybody can listen, and before
    /// version 16 libpq tells its password to whoever asks for it.
    pub(super) socket: PathBuf,
    /// Where the lab's passwords are.
    pub(super) passfile: PathBuf,
}

impl Server {
    /// A node of the lab of a cluster file, whose first node, number 0, is at `first_port`.
    pub(super) fn of(cluster: &str, first_port: u16, number: u16) -> Server {
        let cluster = Path::new(cluster);
        let socket = cluster.with_file_name(format!("node{}", number + 1)).join("socket");
        Server { port: first_port + number, socket, passfile: cluster.with_file_name("passfile") }
    }

    /// Its data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.socket.with_file_name("data")
    }

    /// How `user` connects, for libpq and for programs of ours.
    pub(super) fn conninfo(&self, database: &str, user: &str) -> String {
        let Server { port, socket, passfile } = self;
        let (socket, passfile) = (socket.display(), passfile.display());
        format!("host={socket} port={port} dbname={database} user={user} connect_timeout=10 passfile={passfile}")
    }

    /// A psql of the administrator.
    ///
    /// # Errors
    /// As [`client`].
    pub(super) fn psql(&self, database: &str) -> Result<Command> {
        psql_to(&self.conninfo(database, "understudy_admin"))
    }

    /// Runs a statement, and returns what psql prints.
    ///
    /// # Errors
    /// If the server refuses it, or the deadline passes.
    pub(super) fn ask(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.psql(database)?;
        command.args(["--command", sql]);
        tool::run(command, DEADLINE).with_context(|| format!("in the database {database}: {sql}"))
    }

    /// Runs a script, which is kept in `file`, and returns what psql prints.
    ///
    /// # Errors
    /// As [`Server::ask`]; the error shows the line.
    pub(super) fn script(&self, database: &str, file: &Path, text: &str) -> Result<String> {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let input = File::open(file).with_context(|| file.display().to_string())?;
        let said = tool::output_with_stdin(&mut self.psql(database)?, input.into(), DEADLINE)?;
        anyhow::ensure!(said.status.success(), "psql -d {database} -f {}: {}", file.display(), said.why());
        Ok(said.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::Server;

    /// libpq before version 16 tells its password to whoever has a port and asks for it.
    #[test]
    fn a_benchmarks_psql_goes_to_the_socket_that_nobody_else_can_put_there() {
        let node = Server::of("/home/lab/cluster.toml", 15432, 1);
        for psql in [node.psql("understudy").unwrap(), super::psql_to(&node.conninfo("understudy", "me")).unwrap()] {
            let words: Vec<_> = psql.get_args().map(|word| word.to_str().unwrap()).collect();
            let conninfo = words.iter().find(|word| word.contains("dbname=")).unwrap();
            assert!(conninfo.starts_with("host=/home/lab/node2/socket port=15433 "), "{conninfo}");
            assert!(conninfo.ends_with(" passfile=/home/lab/passfile") && !conninfo.contains("password"), "{conninfo}");
            assert!(words[0].starts_with("-X"), "nobody's start-up file");
            assert!(
                psql.get_envs().any(|(name, value)| name == "PGREQUIREAUTH" && value == Some("scram-sha-256".as_ref()))
            );
        }
    }
}
