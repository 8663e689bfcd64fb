//! Taking a lab of containers down: everything with its label, and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::engine::Engine;
use super::{DIR, label};
use crate::down::Removed;
use crate::local::process;
use crate::marker::LabId;

/// How often is looked for something new: an order that a killed set-up had given may still be carried out.
const ROUNDS: u32 = 10;

/// Removes the containers, networks and volumes of the lab in `dir`, whose lock is held, and its files.
pub(crate) fn down(dir: &Path, id: &LabId) -> Result<Removed> {
    let compose = dir.join(DIR);
    // A killed set-up may have left compose at work.
    process::kill_clients_below(&compose)?;
    let engine = Engine::find().with_context(|| format!("the containers of {} are still there", dir.display()))?;
    let label = label(id);
    let mut removed = Removed::default();
    for _ in 0..ROUNDS {
        let containers = engine.containers(&label)?;
        removed.processes += u32::try_from(containers.iter().filter(|c| c.runs && !c.service.is_empty()).count())?;
        removed.nodes += u32::try_from(containers.iter().filter(|c| !c.service.is_empty()).count())?;
        remove(&engine, &["rm", "--force", "--volumes"], &containers.into_iter().map(|c| c.id).collect::<Vec<_>>())?;
        remove(&engine, &["network", "rm"], &named(&engine, "network", &label)?)?;
        remove(&engine, &["volume", "rm", "--force"], &named(&engine, "volume", &label)?)?;
        if is_gone(&engine, &label)? {
            fs::remove_dir_all(&compose).with_context(|| format!("cannot remove {}", compose.display()))?;
            return Ok(removed);
        }
    }
    bail!("something with the label {label} keeps coming back: `docker ps --all --filter label={label}` shows it")
}

fn named(engine: &Engine, kind: &str, label: &str) -> Result<Vec<String>> {
    let said = engine.order(&[kind, "ls", "--quiet", "--filter", &format!("label={label}")])?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn remove(engine: &Engine, order: &[&str], what: &[String]) -> Result<()> {
    if what.is_empty() {
        return Ok(());
    }
    let args: Vec<&str> = order.iter().copied().chain(what.iter().map(String::as_str)).collect();
    match engine.order(&args) {
        Err(error) if format!("{error:#}").contains("No such") || format!("{error:#}").contains("in progress") => {
            Ok(())
        }
        other => other.map(drop),
    }
}

fn is_gone(engine: &Engine, label: &str) -> Result<bool> {
    let none = engine.containers(label)?.is_empty();
    Ok(none && named(engine, "network", label)?.is_empty() && named(engine, "volume", label)?.is_empty())
}
