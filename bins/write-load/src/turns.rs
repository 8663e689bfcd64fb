//! Turns to open a session: a few at a time, and the client whose write has been due for longest comes first.
//!
//! After a takeover all clients want a session at once, and most of them have nothing to write yet. If those came first,
//! overdue writes would wait for them, and the outage would include the load's own queue. So the very first one is alone, too:
//! two that prove their password at once on one thread would both have theirs later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::finder::Finder;

/// How many sessions are opened at a time. So the first client writes before the last one connects; a server on two cores is
/// not faster with more.
const OPENED_AT_ONCE: u32 = 2;

/// A turn. When it is dropped, the next client gets one.
pub(crate) type Turn = OwnedSemaphorePermit;

/// The clients that wait for a turn.
pub(crate) struct Turns {
    /// By the time at which the write is due, then by the client's number.
    waiting: RefCell<BTreeMap<(u64, u32), oneshot::Sender<Turn>>>,
    another: Notify,
}

impl Turns {
    /// Begins to give turns as soon as a primary is known.
    pub(crate) fn start(finder: &Rc<Finder>) -> Rc<Turns> {
        let turns = Rc::new(Turns { waiting: RefCell::default(), another: Notify::new() });
        tokio::task::spawn_local(give(turns.clone(), finder.clone()));
        turns
    }

    /// Waits for a turn; `scheduled_us`: when the client's write is due, `None`: now.
    pub(crate) async fn take(&self, scheduled_us: Option<u64>, client: u32) -> Result<Turn> {
        let (give, given) = oneshot::channel();
        self.waiting.borrow_mut().insert((scheduled_us.unwrap_or(0), client), give);
        self.another.notify_one();
        given.await.context("no turn to connect")
    }
}

async fn give(turns: Rc<Turns>, finder: Rc<Finder>) {
    let free = Arc::new(Semaphore::new(OPENED_AT_ONCE as usize));
    loop {
        while turns.waiting.borrow().is_empty() {
            turns.another.notified().await;
        }
        // Not if somebody still waits for an answer of the last primary: that may take a while.
        let alone = if finder.knows() { None } else { free.clone().try_acquire_many_owned(OPENED_AT_ONCE).ok() };
        let turn = match alone {
            Some(turn) => turn,
            None => match free.clone().acquire_owned().await {
                Ok(turn) => turn,
                Err(_) => return, // cannot happen: it is never closed
            },
        };
        finder.find().await;
        // The client is chosen only now: when there is a primary, all clients that waited for it have asked for a turn.
        if let Some((_, first)) = turns.waiting.borrow_mut().pop_first() {
            let _ = first.send(turn); // a client that has ended drops it, and the next one gets it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_longest_to_write_connects_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let took = tokio::task::LocalSet::new().block_on(&runtime, async {
            let finder = Rc::new(Finder::of(2));
            let turns = Turns::start(&finder);
            let took = Rc::new(RefCell::new(Vec::new()));
            let clients = [(Some(50), 0), (Some(40), 1), (Some(10), 2), (None, 4), (Some(40), 3)];
            let mut all = tokio::task::JoinSet::new();
            for (scheduled_us, client) in clients {
                let (turns, took) = (turns.clone(), took.clone());
                all.spawn_local(async move {
                    let _turn = turns.take(scheduled_us, client).await.unwrap();
                    took.borrow_mut().push(client);
                    tokio::task::yield_now().await;
                });
            }
            tokio::task::yield_now().await;
            assert!(took.borrow().is_empty(), "no primary is known");
            finder.found(1);
            all.join_all().await;
            took.take()
        });
        assert_eq!(took, [4, 2, 1, 3, 0]);
    }

    #[test]
    fn the_first_session_on_a_new_primary_is_opened_alone_and_the_others_two_at_a_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let at_once = tokio::task::LocalSet::new().block_on(&runtime, async {
            let finder = Rc::new(Finder::of(2));
            let turns = Turns::start(&finder);
            let (open, at_once) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(Vec::new())));
            let mut all = tokio::task::JoinSet::new();
            for client in 0..5 {
                let (turns, open, at_once) = (turns.clone(), open.clone(), at_once.clone());
                all.spawn_local(async move {
                    let turn = turns.take(None, client).await.unwrap();
                    *open.borrow_mut() += 1;
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    at_once.borrow_mut().push(*open.borrow());
                    *open.borrow_mut() -= 1;
                    drop(turn);
                });
            }
            tokio::task::yield_now().await;
            finder.found(1);
            all.join_all().await;
            at_once.take()
        });
        assert_eq!(at_once, [1, 2, 1, 2, 1], "each says how many were open when it was done");
    }
}
