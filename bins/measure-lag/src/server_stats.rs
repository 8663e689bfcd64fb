//! The server's own figures: the primary's statistics of its standbys, and which of them belong to which standby.

use anyhow::Result;
use tokio_postgres::Row;

use cluster::server_error::describe;

/// The primary's statistics of one standby. A figure that the primary does not give stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerStats {
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

/// The names under which a standby streams, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReceiverNames {
    /// Its slot on the primary, if it has one and we were told.
    pub(crate) slot: Option<String>,
    /// The `application_name` that its walreceiver gives, if there is one and we were told.
    pub(crate) application: Option<String>,
}

impl ServerStats {
    /// A row of `lag_server_stats.sql`.
    pub(crate) fn read(row: &Row) -> Result<ServerStats> {
        let text = |at: usize| row.try_get::<_, Option<String>>(at).map_err(describe);
        // A negative gap is none: the standby passed the position between two reads of the same query.
        let number = |at: usize| {
            row.try_get::<_, Option<i64>>(at).map(|n| n.map(|n| u64::try_from(n).unwrap_or(0))).map_err(describe)
        };
        Ok(ServerStats {
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

/// The statistics of one standby. Its slot identifies it best, since a slot has one walsender; else the name that its
/// walreceiver gives, if no other walsender bears the same. A slot or a name that the standby did not say is taken to be
/// `name`: the one in the cluster file, `None` if we generated it.
pub(crate) fn of_standby<'a>(
    all: &'a [ServerStats],
    name: Option<&str>,
    receiver: Option<&ReceiverNames>,
) -> Option<&'a ServerStats> {
    let slot = receiver.map_or(name, |receiver| receiver.slot.as_deref());
    let by_slot = all.iter().find(|stats| slot.is_some() && stats.slot.as_deref() == slot);
    if by_slot.is_some_and(|stats| stats.application.is_some()) {
        return by_slot;
    }
    let application = receiver.and_then(|receiver| receiver.application.as_deref()).or(name);
    let mut named = all.iter().filter(|stats| application.is_some() && stats.application.as_deref() == application);
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        _ => by_slot,
    }
}

#[cfg(test)]
mod tests {
    use super::{ReceiverNames, ServerStats, of_standby};

    fn walsender(application: &str, slot: Option<&str>) -> ServerStats {
        ServerStats { application: Some(application.into()), slot: slot.map(Into::into), ..ServerStats::default() }
    }

    fn receiver(slot: Option<&str>, application: Option<&str>) -> ReceiverNames {
        ReceiverNames { slot: slot.map(Into::into), application: application.map(Into::into) }
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
        let slot = ServerStats { slot: Some("node2".into()), slot_kept_bytes: Some(7), ..ServerStats::default() };
        let found = of_standby(std::slice::from_ref(&slot), Some("node2"), None).unwrap();
        assert_eq!((found.slot_kept_bytes, found.replay_gap_bytes), (Some(7), None));
        // It streams without the slot, under its name.
        let all = [slot, walsender("node2", None)];
        assert_eq!(of_standby(&all, Some("node2"), Some(&receiver(Some("node2"), Some("node2")))), Some(&all[1]));
    }
}
