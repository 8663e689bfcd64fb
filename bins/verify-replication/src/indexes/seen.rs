//! What was seen of one index, and of one visibility map.

/// What was found of one index.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether all of it was read, and all rows looked up by it.
    pub(super) in_full: bool,
    /// Whether `amcheck` read all of it. That is not to search it: an inner page can lead a search astray all the same.
    pub(super) by_amcheck: bool,
    /// Rows that were looked up by it.
    pub(super) looked_up: u64,
    /// Rows that it does not lead to or leads to wrongly; 1 for damage that is not of rows.
    pub(super) faults: u64,
    /// What is wrong, in words.
    pub(super) remarks: Vec<String>,
    /// Why nothing can be said of it, though it was read.
    pub(super) unknown: Option<String>,
    /// Why it was not read, or not by a part of the means.
    pub(super) not_read: Option<String>,
}

/// What is known of a map.
pub(super) enum Map {
    /// It covers no page.
    Empty,
    /// Nothing: it was not looked at.
    NotRead,
    /// No fault was found.
    Sound,
    /// So many rows show a fault.
    Wrong { rows: u64, remark: String },
}
