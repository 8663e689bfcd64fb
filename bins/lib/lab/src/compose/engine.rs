//! The container engine, by its command line: `docker`, and compose in whichever version is there.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::wait::{Attempt, until};
use program::tool::{self, Output, TimedOut};
use program::trust;

use super::client;
use crate::marker::LabId;

/// Time for the engine to say who it is. One that hangs must not hang the choice of a backend.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Time for one order to the engine: milliseconds, and seconds where a disk is slow.
pub(super) const ORDER_DEADLINE: Duration = Duration::from_secs(60);

/// Time for the engine to carry out an order on the way out, and how often one is looked at that nobody waits for.
const LAST_DEADLINE: Duration = Duration::from_secs(10);
const REMOVE_LOOK: Duration = Duration::from_millis(10);

/// Between two looks at what is being removed.
const PAUSE: Duration = Duration::from_millis(200);

/// Time for an image to come over the network.
const PULL_DEADLINE: Duration = Duration::from_secs(1_800);

/// Names the compose command where it is neither `docker compose` nor `docker-compose`, or where both are there.
const COMPOSE_VARIABLE: &str = "UNDERSTUDY_COMPOSE";

/// An engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Its version.
    pub version: String,
    /// The words of the compose command.
    compose: Vec<String>,
    /// Where its clients work, and the lab that they work for: that is how `down` finds one that was left over.
    dir: PathBuf,
    lab: String,
}

/// A container of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// Its id.
    pub(super) id: String,
    /// The compose service that it belongs to; empty for a step of ours.
    pub(super) service: String,
    /// Whether it runs.
    pub(super) runs: bool,
}

/// An order that the engine is at. Dropped, its client is ended; the engine goes on.
#[derive(Debug)]
pub struct Order {
    name: String,
    child: Child,
}

impl Order {
    /// Waits until the engine has carried it out, also after a signal: what was begun is not left half done.
    ///
    /// # Errors
    /// If it has not in time, or refuses.
    pub fn finish(mut self) -> Result<()> {
        let ended = tool::wait_in_any_case(&mut self.child, ORDER_DEADLINE)?;
        let ended = ended.with_context(|| format!("docker {} took longer than {ORDER_DEADLINE:?}", self.name))?;
        ensure!(ended.success(), "docker {} failed ({ended})", self.name);
        Ok(())
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Engine {
    /// The engine of this machine.
    ///
    /// # Errors
    /// If there is none, or compose is missing, or somebody else could have a say in what its client does; the error says what
    /// to do. With [`TimedOut`] below, it is not known
    /// whether they are there: they did not answer in time.
    pub fn find() -> Result<Engine> {
        client::check()?;
        let asked = docker(&["version", "--format", "{{.Server.Version}}"])
            .and_then(|command| tool::run(command, ANSWER_DEADLINE));
        let version = asked.map_err(|error| {
            let why = match error.is::<TimedOut>() {
                true => "the Docker engine is there or was, and does not answer in time",
                false => "no Docker engine answers (is it installed and running, and may you use it?)",
            };
            error.context(why)
        })?;
        Ok(Engine { version, compose: find_compose()?, dir: PathBuf::from("/"), lab: String::new() })
    }

    /// The same, with its clients working in `dir` for the lab `id`.
    #[must_use]
    pub fn at(self, dir: &Path, id: &LabId) -> Engine {
        Engine { dir: dir.to_owned(), lab: id.as_str().to_owned(), ..self }
    }

    fn docker(&self, args: &[&str]) -> Result<Command> {
        let mut command = docker(args)?;
        command.current_dir(&self.dir).env("UNDERSTUDY_LAB", &self.lab);
        Ok(command)
    }

    /// Gives the engine an order; its stdout.
    ///
    /// # Errors
    /// What the engine says.
    pub fn order(&self, args: &[&str]) -> Result<String> {
        tool::run(self.docker(args)?, ORDER_DEADLINE).with_context(|| format!("docker {}", args.first().unwrap_or(&"")))
    }

    /// As [`Engine::order`], also after a signal: for what must not be left as it is, such as a container that is paused.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn order_in_any_case(&self, args: &[&str]) -> Result<String> {
        tool::run_in_any_case(self.docker(args)?, LAST_DEADLINE)
            .with_context(|| format!("docker {}", args.first().unwrap_or(&"")))
    }

    /// Begins an order that somebody else can see the effect of before the engine says so.
    ///
    /// # Errors
    /// If it cannot be begun.
    pub fn begin(&self, args: &[&str]) -> Result<Order> {
        let mut command = self.docker(args)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Order { name: args.join(" "), child: command.spawn().context("cannot run docker")? })
    }

    /// As [`Engine::order`], however it ends.
    ///
    /// # Errors
    /// If it cannot be run or takes too long.
    pub fn output(&self, args: &[&str], deadline: Duration) -> Result<Output> {
        self.output_with_stdin(args, Stdio::null(), deadline)
    }

    /// The same with something on stdin.
    ///
    /// # Errors
    /// As [`Engine::output`].
    pub(super) fn output_with_stdin(&self, args: &[&str], stdin: Stdio, deadline: Duration) -> Result<Output> {
        let mut command = self.docker(args)?;
        tool::output_with_stdin(&mut command, stdin, deadline)
            .with_context(|| format!("docker {}", args.first().unwrap_or(&"")))
    }

    /// Runs compose on the file in its directory.
    ///
    /// # Errors
    /// What compose says.
    pub fn compose(&self, project: &str, env: &[(&str, &str)], args: &[&str], deadline: Duration) -> Result<()> {
        let (program, words) = self.compose.split_first().context("no compose command")?;
        let mut command = Command::new(trust::named(program)?);
        command.args(words).args(["-p", project, "-f", "compose.yaml"]).args(args).current_dir(&self.dir);
        command.envs(env.iter().copied());
        tool::run(command, deadline).map(drop).with_context(|| format!("compose {}", args.join(" ")))
    }

    /// Removes a container. One that is being removed already, by the order of a set-up that was killed, is waited for.
    ///
    /// # Errors
    /// If it is still there; what the engine says of it.
    pub(super) fn remove(&self, id: &str) -> Result<()> {
        let same = format!("id={id}");
        until(&format!("container {id} to be gone"), ORDER_DEADLINE, PAUSE, || {
            match self.order(&["rm", "--force", "--volumes", id]) {
                Err(error) if !self.order(&["ps", "--all", "--quiet", "--filter", &same])?.is_empty() => Err(error),
                _ => Ok(Attempt::Done(())),
            }
        })
    }

    /// Removes a container, also after a signal. Whatever goes wrong, `down` finds it by its label.
    pub fn remove_now(&self, name: &str) {
        let Ok(mut order) = self.begin(&["rm", "--force", "--volumes", name]) else { return };
        let end = Instant::now() + LAST_DEADLINE;
        while matches!(order.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(REMOVE_LOOK); // not `stop::pause`: it is a signal that may have brought us here
        }
    }

    /// The compose command, for messages.
    #[must_use]
    pub fn compose_command(&self) -> String {
        self.compose.join(" ")
    }

    /// All containers with the labels of a lab, running or not.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn containers(&self, filters: &[String]) -> Result<Vec<Container>> {
        let format = "{{.ID}} {{.State}} {{.Label \"com.docker.compose.service\"}}";
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let said = self.order(&[&["ps", "--all", "--no-trunc", "--format", format], &filters[..]].concat())?;
        let of_line = |line: &str| {
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            let (id, state) = (words.next()?, words.next()?);
            Some(Container {
                id,
                service: words.next().unwrap_or_default(),
                runs: state == "running" || state == "paused",
            })
        };
        Ok(said.lines().filter_map(of_line).collect())
    }

    /// Whether an image is on this machine.
    #[must_use]
    pub fn has_image(&self, image: &str) -> bool {
        self.image_id(image).is_ok()
    }

    /// The engine's id of an image on this machine.
    ///
    /// # Errors
    /// If there is none of that name.
    pub(super) fn image_id(&self, image: &str) -> Result<String> {
        self.order(&["image", "inspect", "--format", "{{.Id}}", image])
    }

    /// Fetches an image.
    ///
    /// # Errors
    /// If no registry has it or none can be reached.
    pub fn pull(&self, image: &str) -> Result<()> {
        tool::run(docker(&["pull", "--quiet", image])?, PULL_DEADLINE)
            .map(drop)
            .with_context(|| format!("image {image}"))
    }
}

/// The engine's client, run as ourselves: one that nobody else could have put in the path.
fn docker(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(trust::in_path("docker", None)?);
    command.args(args);
    Ok(command)
}

fn find_compose() -> Result<Vec<String>> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let asked = std::env::var(COMPOSE_VARIABLE).unwrap_or_default();
    let candidates = if asked.trim().is_empty() {
        vec![words("docker compose"), words("docker-compose")]
    } else {
        vec![words(&asked)]
    };
    if let Some(found) = first_that_runs(&candidates, ANSWER_DEADLINE)? {
        return Ok(found);
    }
    if !asked.trim().is_empty() {
        bail!("{COMPOSE_VARIABLE}={asked}: it does not run");
    }
    bail!("Docker answers, but there is neither `docker compose` nor `docker-compose`: install the compose plugin")
}

/// The first of some compose commands that says its version; `None` if none of them is there. That one was too slow to
/// say it proves nothing: if no other does, this is the error.
fn first_that_runs(candidates: &[Vec<String>], deadline: Duration) -> Result<Option<Vec<String>>> {
    let mut slow = None;
    for candidate in candidates {
        let (program, words) = candidate.split_first().context("no compose command")?;
        let Ok(program) = trust::named(program) else { continue }; // it is not there, or may be anybody's
        let mut command = Command::new(program);
        command.args(words).arg("version");
        match tool::run(command, deadline) {
            Ok(_) => return Ok(Some(candidate.clone())),
            Err(error) if error.is::<TimedOut>() => {
                let why = format!(
                    "`{} version` does not answer in time: try again on a quieter machine",
                    candidate.join(" ")
                );
                slow = slow.or(Some(error.context(why)));
            }
            Err(_) => program::stop::check()?, // it is not there
        }
    }
    slow.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that runs a script; `version` comes after it.
    fn script(text: &str) -> Vec<String> {
        ["sh", "-c", text, "sh"].map(str::to_owned).to_vec()
    }

    /// Longer than a shell needs to start, shorter than anybody waits for `sleep`.
    const DEADLINE: Duration = Duration::from_secs(2);

    #[test]
    fn a_compose_that_is_too_slow_is_not_one_that_is_missing() {
        let (missing, slow, there) = (script("exit 127"), script("sleep 600"), script("echo $1"));
        let error = first_that_runs(&[missing.clone(), slow.clone()], DEADLINE).unwrap_err();
        assert!(error.is::<TimedOut>() && error.to_string().contains("does not answer in time"), "{error:#}");
        assert_eq!(first_that_runs(&[slow, there.clone()], DEADLINE).unwrap(), Some(there));
        assert_eq!(first_that_runs(&[missing, vec!["no-such-compose".to_owned()]], DEADLINE).unwrap(), None);
    }
}
