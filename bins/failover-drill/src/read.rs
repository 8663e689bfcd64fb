//! What is read from the servers: the rows of the run, on the new primary and in the old one's data directory; settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::ident::literal;
use cluster::server_error::describe;
use cluster::session::Session;
use futures_util::TryStreamExt as _;
use lab::data_dir::DataDir;
use program::run::Run;
use program::sink::Sink;
use report::ledger::Key;
use report::reads::Present;
use report::settings::SettingRow;

/// Time for the final read: ten million rows take some ten seconds.
const READ_DEADLINE: Duration = Duration::from_secs(600);

/// The rows of the run on a server.
pub(crate) fn present(session: &Session, run: &Run) -> Result<Present> {
    session.script(cluster::sql!("final_read_settings"))?;
    session.within(READ_DEADLINE, async {
        let mut present = Present::default();
        let rows = session.client().query_raw(cluster::sql!("final_read"), [&run.name]).await.map_err(describe)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(describe)? {
            let (worker, seq): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            let key = Key { worker: u32::try_from(worker)?, seq: u64::try_from(seq)? };
            present.add(&run.name, key, row.try_get(2)?);
        }
        Ok(present)
    })
}

/// The rows of the run in the data directory of a node that is down.
pub(crate) fn alone(backend: &dyn DataDir, node: &str, cluster: &Cluster, run: &Run) -> Result<Present> {
    let dbname = cluster.info(cluster.node(node)?, LoginKind::Admin)?.dbname;
    let query = format!("SELECT worker, seq, payload FROM understudy.ledger WHERE run = {}", literal(&run.name));
    let text = backend.query_alone(node, &dbname, &query)?;
    let mut present = Present::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [worker, seq, payload] = fields[..] else { anyhow::bail!("not a row of the ledger's table: {line}") };
        let key = Key { worker: worker.parse()?, seq: seq.parse()? };
        present.add(&run.name, key, payload);
    }
    Ok(present)
}

/// Writes `settings.csv`.
pub(crate) fn settings(dir: &Path, run: &Run, sessions: &BTreeMap<String, Session>) -> Result<()> {
    let mut sink = Sink::create_new(&dir.join("settings.csv"))?;
    for (node, session) in sessions {
        for row in session.rows(cluster::sql!("settings"), &[]).context("cannot read the settings")? {
            sink.row(&SettingRow {
                run: run.name.clone(),
                node: node.clone(),
                name: row.try_get(0)?,
                value: row.try_get(1)?,
                source: row.try_get(2)?,
            })?;
        }
    }
    Ok(())
}
