//! What a set-up needs of containers: the lab's volume, the files of its nodes, what compose makes of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use cluster::peer::ServerUser;

use super::{ComposeLab, PORT, file, host, process};
use crate::account::Account;
use crate::converge::{Data, Job, Site};
use crate::state::LabState;
use crate::{conf, files};

/// Time for compose to make networks, volumes and containers.
const UP_DEADLINE: Duration = Duration::from_secs(300);

impl Site for ComposeLab {
    fn begin(&self, nodes: &[String]) -> Result<()> {
        self.labels.check_not_moved(&self.engine)?;
        // The lock is ours: whatever still works here was left by a set-up that was killed.
        process::kill_clients_below(&self.compose_dir(), &self.id)?;
        for step in self.engine.containers(&self.labels.filters())?.iter().filter(|c| c.service.is_empty()) {
            self.engine.remove(&step.id)?;
        }
        // Nodes that have lost their containers (`docker system prune`, say) still have their data, which have to be seen.
        let mut lost = false;
        for node in nodes {
            lost |= self.find_container(node)?.is_none();
        }
        if lost && self.compose_dir().join("compose.yaml").exists() {
            self.compose(&["up", "--no-start", "--no-recreate"])?;
        }
        Ok(())
    }

    /// Asked in a container of its own: nodes may be stopped.
    fn data(&self, nodes: &[String]) -> Result<BTreeMap<String, Data>> {
        let mut data = BTreeMap::new();
        for node in nodes {
            if self.find_container(node)?.is_none() {
                continue;
            }
            for line in self.step_done(node, &["state"])?.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let [name, is, timeline] = words[..] else { bail!("the lab's volume holds {line:?}") };
                if nodes.iter().any(|node| node == name) {
                    data.insert(name.to_owned(), Data { is_standby: is == "standby", timeline: timeline.parse()? });
                }
            }
            break; // it sees the volume of all of them
        }
        Ok(data)
    }

    fn make(&self, names: &[String], job: &Job<'_>) -> Result<()> {
        let dir = self.compose_dir();
        // First: who is told later to follow somebody needs the password for that node.
        let hosts: Vec<String> = names.iter().flat_map(|name| [name.clone(), host(name)]).collect();
        job.secrets.write_for_containers(&dir.join(file::PASSFILE), &hosts, PORT)?;
        let mut nodes = Vec::new();
        for name in names {
            let node_dir = self.node_dir(name)?;
            files::make_dir(&node_dir)?;
            nodes.push((name.clone(), job.settle_port(&node_dir, name)?));
            self.configure(name, job.state)?;
        }
        job.secrets.write(&nodes.iter().map(|(_, port)| *port).collect::<Vec<_>>(), &[])?;
        file::write(&dir.join(file::NODE_SH.0), file::NODE_SH.1)?;
        file::write(&dir.join("compose.yaml"), &file::render(&nodes)?)?;
        let env: Vec<String> = self.environment().iter().map(|(name, value)| file::variable(name, value)).collect();
        Account::Own.write_private(&dir.join(".env"), &env.concat())?; // the lab's id is in it
        self.compose(&["up", "--no-start"])
    }

    fn configure(&self, name: &str, state: &LabState) -> Result<()> {
        let text = conf::postgresql_conf(&conf::Node {
            name,
            listen: "*",
            port: PORT,
            conf: &Path::new("/understudy/nodes").join(name),
            socket: Path::new("/tmp"),
            sync: state.sync,
            settings: &state.settings,
        })?;
        file::write(&self.node_dir(name)?.join("pg_hba.conf"), file::PG_HBA)?;
        self.write_conf(name, "postgresql.conf", &text)
    }

    fn remove(&self, name: &str) -> Result<()> {
        if self.find_container(name)?.is_some() {
            self.step_done(name, &["remove"])?;
            self.engine.remove(&self.container(name)?)?;
            self.forget_containers();
        }
        // Last, so that an interrupted removal is gone on with.
        file::remove_node(&self.node_dir(name)?)
    }

    fn server_user(&self) -> ServerUser {
        ServerUser::Engine // who listens on this machine for a container: root, or ourselves
    }

    /// It may be fenced.
    fn runs_without_server(&self) -> bool {
        true
    }

    fn promote_by_hand(&self) -> &'static str {
        "`docker exec CONTAINER sh /understudy/node.sh promote`"
    }

    fn restart_by_hand(&self, name: &str) -> Result<String> {
        let id = self.container(name)?;
        Ok(format!("docker restart {}", &id[..12.min(id.len())]))
    }
}

impl ComposeLab {
    /// What the compose file leaves open.
    fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("UNDERSTUDY_IMAGE", &self.image),
            ("UNDERSTUDY_LAB", self.id.as_str()),
            ("UNDERSTUDY_DIR", self.labels.dir()),
            // Nobody waits for it here, and each check starts a process in a container.
            ("UNDERSTUDY_HEALTH_INTERVAL", "30s"),
        ]
    }

    fn compose(&self, words: &[&str]) -> Result<()> {
        self.labels.check_not_in_the_way(&self.engine, &self.project)?;
        let done = self.engine.compose(&self.project, &self.environment(), words, UP_DEADLINE);
        self.forget_containers();
        done
    }
}
