//! Starting, stopping, killing and freezing containers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
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
        // Also after a signal: a drill that is interrupted ends what it has frozen.
        let asked = ["inspect", "--format", "{{.State.Running}} {{.State.Pid}}", &id];
        let said = self.engine.order_in_any_case(&asked)?;
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
        // A signal must not come between the order and the knowledge of what became of it.
        let paused = self.engine.order_in_any_case(&["pause", &id]).and_then(|_| {
            let paused = self.engine.order_in_any_case(&["inspect", "--format", "{{.State.Paused}}", &id])?;
            ensure!(paused == "true", "the engine does not say that it is paused");
            Ok(())
        });
        if paused.is_err() {
            let _ = self.thaw(node); // whatever was stopped goes on
        }
        paused.with_context(|| format!("node {node}"))
    }

    fn thaw(&self, node: &str) -> Result<()> {
        // Also after a signal: else a drill that is interrupted would leave it frozen.
        self.engine.order_in_any_case(&["unpause", &self.container(node)?]).map(drop)
    }
}
