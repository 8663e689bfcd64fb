//! The server's own figures: what the primary knows of its standbys, and which of it belongs to which standby.

use anyhow::Result;
use tokio_postgres::Row;

use cluster::connect::describe;

/// What the primary says of one standby. Everything may be missing, and then stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// The walsender's `application_name`; `None` for a slot without a walsender.
    pub(crate) application: Option<String>,
    /// The slot's name; `None` for a walsender without a slot.
    pub(crate) slot: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) sync_state: Option<String>,
    pub(crate) write_lag_us: Option<u64>,
    pub(crate) flush_lag_us: Option<u64>,
    pub(crate) replay_lag_us: Option<u64>,
    pub(crate) sent_gap_bytes: Option<u64>,
    pub(crate) write_gap_bytes: Option<u64>,
    pub(crate) flush_gap_bytes: Option<u64>,
    pub(crate) replay_gap_bytes: Option<u64>,
    pub(crate) slot_kept_bytes: Option<u64>,
}

/// Under which names a standby streams, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// Its slot on the primary, if it has one and we were told.
    pub(crate) slot: Option<String>,
    /// The `application_name` that its walreceiver gives, if there is one and we were told.
    pub(crate) application: Option<String>,
}

impl Figures {
    /// A row of `lag_figures.sql`.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn read(row: &Row) -> Result<Figures> {
        let text = |at: usize| row.try_get::<_, Option<String>>(at).map_err(describe);
        // A position that was passed between two reads of the same query is a gap of nothing, not a negative one.
        let number = |at: usize| {
            row.try_get::<_, Option<i64>>(at).map(|n| n.map(|n| u64::try_from(n).unwrap_or(0))).map_err(describe)
        };
        Ok(Figures {
            application: text(0)?,
            slot: text(1)?,
            state: text(2)?,
            sync_state: text(3)?,
            write_lag_us: number(4)?,
            flush_lag_us: number(5)?,
            replay_lag_us: number(6)?,
            sent_gap_bytes: number(7)?,
            write_gap_bytes: number(8)?,
            flush_gap_bytes: number(9)?,
            replay_gap_bytes: number(10)?,
            slot_kept_bytes: number(11)?,
        })
    }
}

/// The figures of one standby. Its slot tells it best: a slot has one walsender. Then the name that its walreceiver
/// gives, if just one walsender bears it: of two that cannot be told apart, neither counts. What the standby did not say
/// is taken to be its `name`, unless that was made up here.
pub(crate) fn of_standby<'a>(
    all: &'a [Figures],
    name: Option<&str>,
    receiver: Option<&Receiver>,
) -> Option<&'a Figures> {
    let slot = receiver.map_or(name, |receiver| receiver.slot.as_deref());
    let by_slot = all.iter().find(|figures| slot.is_some() && figures.slot.as_deref() == slot);
    if by_slot.is_some_and(|figures| figures.application.is_some()) {
        return by_slot;
    }
    let application = receiver.and_then(|receiver| receiver.application.as_deref()).or(name);
    let mut named = all.iter().filter(|figures| application.is_some() && figures.application.as_deref() == application);
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => by_slot,
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Receiver, of_standby};

    fn walsender(application: &str, slot: Option<&str>) -> Figures {
        Figures { application: Some(application.into()), slot: slot.map(Into::into), ..Figures::default() }
    }

    fn receiver(slot: Option<&str>, application: Option<&str>) -> Receiver {
        Receiver { slot: slot.map(Into::into), application: application.map(Into::into) }
    }

    #[test]
    fn a_slot_tells_two_walsenders_of_one_name_apart() {
        let all = [walsender("walreceiver", Some("a")), walsender("walreceiver", Some("b"))];
        let found = of_standby(&all, None, Some(&receiver(Some("b"), Some("walreceiver")))).unwrap();
        assert_eq!(found.slot.as_deref(), Some("b"));
    }

    #[test]
    fn without_slots_only_a_name_of_ones_own_will_do() {
        let told = receiver(None, Some("walreceiver"));
        let mut all = vec![walsender("walreceiver", None), walsender("node2", None)];
        assert_eq!(of_standby(&all, Some("node2"), None), Some(&all[1]));
        assert_eq!(of_standby(&all, None, Some(&told)), Some(&all[0]));
        assert_eq!(of_standby(&all, None, None), None);
        all.push(walsender("walreceiver", None));
        assert_eq!(of_standby(&all, None, Some(&told)), None);
    }

    #[test]
    fn somebody_elses_slot_is_not_taken_for_its_name() {
        let all = [walsender("other", Some("node2")), walsender("mine", None)];
        assert_eq!(of_standby(&all, Some("node2"), Some(&receiver(None, Some("mine")))), Some(&all[1]));
    }

    #[test]
    fn a_slot_without_a_walsender_still_says_what_it_keeps() {
        let slot = Figures { slot: Some("node2".into()), slot_kept_bytes: Some(7), ..Figures::default() };
        let found = of_standby(std::slice::from_ref(&slot), Some("node2"), None).unwrap();
        assert_eq!((found.slot_kept_bytes, found.replay_gap_bytes), (Some(7), None));
        // It streams without the slot, under its name.
        let all = [slot, walsender("node2", None)];
        assert_eq!(of_standby(&all, Some("node2"), Some(&receiver(Some("node2"), Some("node2")))), Some(&all[1]));
    }
}
