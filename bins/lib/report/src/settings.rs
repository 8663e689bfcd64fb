//! `settings.csv`: the settings that the claims of a run depend on.

use serde::{Deserialize, Serialize};

/// One setting of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The node's name.
    pub node: String,
    /// The setting's name.
    pub name: String,
    /// Its value, as `SHOW` prints it.
    pub value: String,
    /// Where it comes from (`source` of `pg_settings`).
    pub source: String,
}
