//! How a program is told which cluster it works on.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use program::trust;

use crate::conninfo::Conninfo;
use crate::file::{ClusterFile, LATEST, Login, LoginKind, NodeSection, labs_home};
use crate::protection::Protection;
use crate::{of_lab, passfile};

/// Where `--help` shows the arguments of this file.
const HEADING: &str = "Which cluster";

/// The variable that names the cluster file if the option is not given.
const VARIABLE: &str = "UNDERSTUDY_CLUSTER";

/// Which cluster to work on: a cluster file, or connection strings.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// The cluster file that `setup` wrote; `-` reads it from stdin. Without it: the one in the environment variable
    /// UNDERSTUDY_CLUSTER, else the lab that `setup` made last
    #[arg(help_heading = HEADING, long, value_name = "FILE", conflicts_with_all = ["primary", "standby"])]
    pub cluster: Option<PathBuf>,
    /// Instead of a file: how to reach the primary, as libpq's key=value or URI, its environment included
    #[arg(help_heading = HEADING, long, value_name = "CONNINFO", requires = "standby")]
    pub primary: Option<String>,
    /// How to reach a standby; once for each
    #[arg(help_heading = HEADING, long, value_name = "CONNINFO", requires = "primary")]
    pub standby: Vec<String>,
}

/// A cluster to talk to.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its nodes. Which of them is the primary has to be asked.
    pub nodes: Vec<Node>,
    /// Its file, if it was given by one.
    pub file: Option<ClusterFile>,
}

/// A node to talk to.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name: `primary`, `standby1`, … where only connection strings were given.
    pub name: String,
    reach: Reach,
    /// The database, where it is another one than that which was named.
    database: Option<String>,
}

#[derive(Clone, Debug)]
enum Reach {
    File(NodeSection),
    Conninfo(Box<Conninfo>),
}

impl ClusterArgs {
    /// Reads the arguments. Connects to nothing.
    ///
    /// # Errors
    /// If there is no such cluster, or something in the file or a connection string cannot be.
    pub fn open(&self) -> Result<Cluster> {
        if let Some(primary) = &self.primary {
            return from_conninfos(primary, &self.standby);
        }
        // Not read by clap: a variable that is set for the whole session must not conflict with --primary.
        let set = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = match self.cluster.as_ref().or(set.as_ref()) {
            Some(path) if path.as_os_str() == "-" => {
                let text = trust::text_of_stdin().context("cluster file on stdin")?;
                // `setup | other --cluster -` hands on a path; a file's content is fine too.
                let path = text.trim();
                match path.lines().count() == 1 && path.starts_with('/') {
                    true => ClusterFile::read(path.as_ref())?,
                    false => ClusterFile::parse(&text).context("cluster file on stdin")?,
                }
            }
            Some(path) => ClusterFile::read(path)?,
            None => {
                let latest = labs_home(rustix::process::geteuid().is_root())?.join(LATEST);
                if !latest.exists() {
                    bail!("no cluster: run `setup` first, or give --cluster FILE or --primary and --standby");
                }
                ClusterFile::read(&latest)?
            }
        };
        Ok(Cluster::from_file(file))
    }
}

fn from_conninfos(primary: &str, standbys: &[String]) -> Result<Cluster> {
    let node = |name: String, option: &str, text: &str| -> Result<Node> {
        let info = Conninfo::from_argument(text).with_context(|| option.to_owned())?;
        Ok(Node { name, reach: Reach::Conninfo(Box::new(info)), database: None })
    };
    let mut nodes = vec![node("primary".to_owned(), "--primary", primary)?];
    for (index, standby) in standbys.iter().enumerate() {
        nodes.push(node(format!("standby{}", index + 1), "--standby", standby)?);
    }
    Ok(Cluster { nodes, file: None })
}

impl Cluster {
    /// The cluster that a file describes.
    #[must_use]
    pub fn from_file(file: ClusterFile) -> Cluster {
        let node = |section: &NodeSection| Node {
            name: section.name.clone(),
            reach: Reach::File(section.clone()),
            database: None,
        };
        Cluster { nodes: file.node.iter().map(node).collect(), file: Some(file) }
    }

    /// The same cluster, but another database of it; with the passwords that were found for the one that was named.
    #[must_use]
    pub fn in_database(&self, database: &str) -> Cluster {
        let node = |node: &Node| Node { database: Some(database.to_owned()), ..node.clone() };
        Cluster { nodes: self.nodes.iter().map(node).collect(), file: self.file.clone() }
    }

    /// How to reach `node` with a login of this kind. Where connection strings were given, their user is used for all kinds.
    ///
    /// # Errors
    /// If the login's password cannot be found.
    pub fn info(&self, node: &Node, kind: LoginKind) -> Result<Conninfo> {
        let info = match (&node.reach, &self.file) {
            (Reach::Conninfo(info), _) => (**info).clone(),
            (Reach::File(section), Some(file)) => {
                let login = match kind {
                    LoginKind::Admin => &file.roles.admin,
                    LoginKind::Application => &file.roles.application,
                    LoginKind::Monitor => &file.roles.monitor,
                };
                login_info(section, login, file.protection())?
            }
            (Reach::File(_), None) => bail!("node {} has no cluster file", node.name),
        };
        Ok(match &node.database {
            Some(database) => Conninfo { dbname: database.clone(), ..info },
            None => info,
        })
    }

    /// The node of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name == name).with_context(|| format!("there is no node {name}"))
    }

    /// Refuses a primary that is not the one named with `--primary`.
    ///
    /// # Errors
    /// If `--primary` leads to a standby.
    pub fn check_primary(&self, found: &Node) -> Result<()> {
        ensure!(
            self.file.is_some() || found.name == "primary",
            "--primary leads to a standby; the node out of recovery is {}",
            found.name
        );
        Ok(())
    }
}

/// How to reach a node as this login.
///
/// # Errors
/// If its password cannot be found.
pub fn login_info(section: &NodeSection, login: &Login, protection: Protection) -> Result<Conninfo> {
    let file = &login.passfile;
    let password = passfile::find_exactly(file, &section.host, section.port, &section.dbname, &login.user)?;
    let protection = of_lab::protect(file, protection)?;
    Ok(Conninfo {
        host: section.host.clone(),
        hostaddr: None,
        port: section.port,
        dbname: section.dbname.clone(),
        user: login.user.clone(),
        password,
        protection,
        options: None,
        connect_timeout: crate::conninfo::CONNECT_TIMEOUT,
        tcp_user_timeout: None,
    })
}
