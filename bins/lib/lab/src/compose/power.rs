//! Starting, stopping, killing and freezing containers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::wait::until_true;

use super::{ComposeLab, LOOK, process};
use crate::ports;
use crate::power::{FirstAct, Power, State};
use crate::state::NodeState;

/// Time for a fast shutdown: it writes a checkpoint and waits until standbys have received it.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Time for a killed container to be gone. The kernel needs milliseconds.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

impl Power for ComposeLab {
    fn power(&self, node: &str) -> Result<State> {
        Ok(match self.runs(node)? {
            true if self.is_paused(&self.container(node)?)? => State::Frozen,
            true => State::On,
            false => State::Off,
        })
    }

    fn start(&self, node: &str) -> Result<()> {
        self.finish_kill()?;
        let port = NodeState::read(&self.node_dir(node)?)?.port;
        if !self.runs(node)? {
            ports::check_free(node, port)?;
        }
        if let Err(error) = self.engine.order(&["start", &self.container(node)?]) {
            ports::check_free(node, port)?; // taken in between
            return Err(error);
        }
        self.wait_accepts(node).map(drop)
    }

    fn stop(&self, node: &str) -> Result<()> {
        if !self.runs(node)? {
            return Ok(());
        }
        let (id, seconds) = (self.container(node)?, STOP_DEADLINE.as_secs().to_string());
        let said = self.engine.output(&["stop", "--time", &seconds, &id], STOP_DEADLINE + Duration::from_secs(10))?;
        ensure!(said.status.success(), "node {node} does not stop: {}", said.why());
        Ok(())
    }

    fn kill(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        let id = self.container(node)?;
        let said = self.engine.order(&["inspect", "--format", "{{.State.Running}} {{.State.Pid}}", &id])?;
        let pid = said.strip_prefix("true ");
        let pid = pid.with_context(|| format!("node {node} does not run: there is nothing to kill"))?;
        let first = process::first_of_container(pid, &id)?;
        first_act();
        // Not `stop`, which is a clean shutdown. With its first process, all of a container's processes end.
        let killing = self.engine.begin(&["kill", "--signal", "KILL", &id])?;
        let Some(first) = first else {
            killing.finish().with_context(|| format!("node {node}"))?;
            return until_true(&format!("node {node} to be gone"), GONE_DEADLINE, LOOK, || Ok(!self.runs(node)?));
        };
        // The engine puts a container away before it says that it is dead, some 0.3 s late; the kernel says it at once.
        first.wait_gone(Instant::now() + GONE_DEADLINE).with_context(|| format!("node {node}"))?;
        *self.lock_killing() = Some(killing);
        Ok(())
    }

    fn freeze(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        let id = self.container(node)?;
        ensure!(self.runs(node)?, "node {node} does not run: there is nothing to freeze");
        first_act();
        let paused = self.engine.order(&["pause", &id]);
        if paused.is_err() || !self.is_paused(&id)? {
            let _ = self.engine.order(&["unpause", &id]); // whatever was stopped goes on
            return paused
                .and_then(|_| bail!("the engine does not say that it is paused"))
                .context(format!("node {node}"));
        }
        Ok(())
    }

    fn thaw(&self, node: &str) -> Result<()> {
        self.engine.order(&["unpause", &self.container(node)?]).map(drop)
    }
}
