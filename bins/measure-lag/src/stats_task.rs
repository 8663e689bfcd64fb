//! The task that asks the primary for its own figures, on a session of its own: a beat never waits for them.

use std::convert::Infallible;
use std::rc::Rc;

use anyhow::Result;
use cluster::connect::describe;
use program::alarm::Alarm;
use tokio_postgres::Statement;

use crate::board::Board;
use crate::door::Door;
use crate::figures::Figures;
use crate::shared::Shared;
use cluster::sql;

/// How soon the first figures are asked for again while there is no primary yet.
const FIRST_US: u64 = 1_000;

/// A session on the primary.
struct Gauge {
    node: usize,
    door: Door,
    statement: Statement,
}

/// Asks once in an interval, half an interval away from the beats, until the task is dropped.
pub(crate) async fn gauge(shared: Rc<Shared>) -> Result<Infallible> {
    let alarm = Alarm::new(shared.clock)?;
    let mut gauge = None;
    let mut warned = false;
    while shared.board(|board| board.primary().is_none()) {
        alarm.pause(FIRST_US).await?;
    }
    loop {
        // A failure is no news: the beats meet it as well, and say so.
        gauge = ask(&shared, gauge, &mut warned).await.unwrap_or_default();
        shared.board(Board::figures_asked);
        alarm.until(shared.next_tick_us() + shared.interval_us / 2).await?;
    }
}

async fn ask(shared: &Shared, gauge: Option<Gauge>, warned: &mut bool) -> Result<Option<Gauge>> {
    let Some(primary) = shared.board(|board| board.primary()) else { return Ok(None) };
    let gauge = match gauge.filter(|gauge| gauge.node == primary) {
        Some(gauge) => gauge,
        None => open(shared, primary, warned).await?,
    };
    let rows = gauge.door.rows(&gauge.statement).await?;
    let figures = rows.iter().map(Figures::read).collect::<Result<_>>()?;
    shared.board(|board| {
        if board.primary() == Some(primary) {
            board.set_figures(figures, shared.clock.now_us());
        }
    });
    Ok(Some(gauge))
}

async fn open(shared: &Shared, node: usize, warned: &mut bool) -> Result<Gauge> {
    let door = Door::open(&shared.infos[node]).await?;
    let may: bool = door.row(sql!("lag_monitor"), &[]).await?.try_get(0).map_err(describe)?;
    if !may && !std::mem::replace(warned, true) {
        let user = &shared.infos[node].user;
        shared.progress.warn(&format!(
            "{user} may not see the server's own figures, so their columns stay empty: GRANT pg_monitor TO {}",
            cluster::ident::quote(user)
        ));
    }
    let statement = door.prepare(sql!("lag_figures")).await?;
    Ok(Gauge { node, door, statement })
}
