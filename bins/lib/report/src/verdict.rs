//! held, broken, unknown: what a program says of what it saw.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was found out. Ordered by how verdicts join: broken > unknown > held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that was promised was seen to be so. Exit code 0.
    Held,
    /// It could not be found out. Never a pass. Exit code 2.
    Unknown,
    /// Something promised is not so: data differ, commits are lost, a threshold is passed. Exit code 1.
    Broken,
}

impl Verdict {
    /// The verdict on several things together.
    #[must_use]
    pub fn join(self, other: Verdict) -> Verdict {
        self.max(other)
    }

    /// The exit code that tells this verdict.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Held => 0,
            Verdict::Broken => 1,
            Verdict::Unknown => 2,
        }
    }

    /// The verdict that an exit code told: anything but 0 and 1 could not find out.
    #[must_use]
    pub fn from_exit_code(code: Option<i32>) -> Verdict {
        match code {
            Some(0) => Verdict::Held,
            Some(1) => Verdict::Broken,
            _ => Verdict::Unknown,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Held => "held",
            Verdict::Broken => "broken",
            Verdict::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, Broken, Held, Unknown};

    #[test]
    fn broken_outweighs_unknown_and_unknown_outweighs_held() {
        assert_eq!(Held.join(Held), Held);
        assert_eq!(Held.join(Unknown), Unknown);
        assert_eq!(Unknown.join(Broken), Broken);
        assert_eq!(Broken.join(Held), Broken);
    }

    #[test]
    fn exit_codes_go_there_and_back_and_a_signal_is_unknown() {
        for verdict in [Held, Unknown, Broken] {
            assert_eq!(Verdict::from_exit_code(Some(i32::from(verdict.exit_code()))), verdict);
        }
        assert_eq!(Verdict::from_exit_code(None), Unknown);
        assert_eq!(Verdict::from_exit_code(Some(130)), Unknown);
    }
}
