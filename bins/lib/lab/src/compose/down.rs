//! Taking a lab of containers down: everything with its labels, and nothing else.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::wait::{Attempt, until};

use super::engine::Engine;
use super::file;
use super::labels::Labels;
use super::process;
use crate::backend::Removed;
use crate::marker::LabId;
use crate::state::COMPOSE_DIR;

/// Time for everything to be gone: the engine kills, unmounts and removes, and may be busy with an order of before.
const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Removes the containers, networks and volumes of the lab in `dir`, whose lock is held, and its files.
pub(crate) fn down(dir: &Path, id: &LabId) -> Result<Removed> {
    let compose = dir.join(COMPOSE_DIR);
    // A killed set-up may have left compose at work.
    process::kill_clients_below(&compose, id)?;
    let engine = Engine::find().with_context(|| format!("the containers of {} are still there", dir.display()))?;
    let (labels, mut removed) = (Labels::of(dir, id)?, Removed::default());
    let mut empty_looks = 0;
    until(&format!("everything with the labels {} to be gone", labels.both().join(" and ")), DEADLINE, PAUSE, || {
        let containers = engine.containers(&labels.filters())?;
        removed.processes += u32::try_from(containers.iter().filter(|c| c.runs && !c.service.is_empty()).count())?;
        removed.nodes += u32::try_from(containers.iter().filter(|c| !c.service.is_empty()).count())?;
        let ids: Vec<String> = containers.into_iter().map(|c| c.id).collect();
        let (networks, volumes) = (named(&engine, "network", &labels)?, named(&engine, "volume", &labels)?);
        if ids.is_empty() && networks.is_empty() && volumes.is_empty() {
            empty_looks += 1;
            // Twice: an order that a killed set-up had given may still be carried out.
            return Ok(if empty_looks > 1 { Attempt::Done(()) } else { Attempt::NotYet("nothing".to_owned()) });
        }
        empty_looks = 0;
        remove(&engine, &["rm", "--force", "--volumes"], &ids)?;
        remove(&engine, &["network", "rm"], &networks)?;
        remove(&engine, &["volume", "rm", "--force"], &volumes)?;
        Ok(Attempt::NotYet("it was removed just now".to_owned()))
    })?;
    labels.check_not_moved(&engine)?;
    file::remove_all(&compose)?;
    Ok(removed)
}

fn named(engine: &Engine, kind: &str, labels: &Labels) -> Result<Vec<String>> {
    let filters = labels.filters();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let said = engine.order(&[&[kind, "ls", "--quiet"], &filters[..]].concat())?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn remove(engine: &Engine, order: &[&str], what: &[String]) -> Result<()> {
    if what.is_empty() {
        return Ok(());
    }
    let args: Vec<&str> = order.iter().copied().chain(what.iter().map(String::as_str)).collect();
    engine.order(&args).map(drop)
}
