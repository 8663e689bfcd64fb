//! What the client knows of one write, from what the server answered (docs/figures.md, "The outcome of one write").

use report::ledger::Outcome;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// The function of the server that reports the end of a sync wait before the standby has answered.
const SYNC_WAIT_ROUTINE: &str = "SyncRepWaitForLSN";

/// Whether a notice says that the server stopped waiting for its standby. The answer that follows looks like an ack, but
/// confirms the local commit only.
pub(crate) fn gave_up_sync_wait(notice: &DbError) -> bool {
    notice.routine() == Some(SYNC_WAIT_ROUTINE)
}

/// The outcome of a write that was answered up to ReadyForQuery without an error.
pub(crate) fn of_answer(gave_up_sync_wait: bool) -> Outcome {
    if gave_up_sync_wait { Outcome::AckedLocal } else { Outcome::Acked }
}

/// The outcome of a write that ended in an error. `session_lives`: ReadyForQuery came after it.
///
/// Only an ERROR of a server that goes on proves that nothing was committed. FATAL, a lost connection, and the
/// SQLSTATEs that themselves say "unknown" do not.
pub(crate) fn of_error(error: Option<&DbError>, session_lives: bool) -> Outcome {
    let Some(error) = error else { return Outcome::Unknown };
    let refused = error.parsed_severity() == Some(Severity::Error);
    if refused && session_lives && !says_unknown(error.code()) { Outcome::Failed } else { Outcome::Unknown }
}

/// 08xxx: connection trouble on the server's side; 40003: "statement completion unknown"; 23505 on the ledger's own
/// key: an earlier attempt did commit.
fn says_unknown(state: &SqlState) -> bool {
    state.code().starts_with("08")
        || *state == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        || *state == SqlState::UNIQUE_VIOLATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_ack_unless_the_server_stopped_waiting() {
        assert_eq!(of_answer(false), Outcome::Acked);
        assert_eq!(of_answer(true), Outcome::AckedLocal);
    }

    #[test]
    fn without_the_servers_word_nothing_is_known() {
        assert_eq!(of_error(None, true), Outcome::Unknown);
    }

    #[test]
    fn some_states_say_themselves_that_they_do_not_know() {
        for code in ["08000", "08006", "40003", "23505"] {
            assert!(says_unknown(&SqlState::from_code(code)), "{code}");
        }
        for code in ["40001", "57014", "53300", "25006", "23502"] {
            assert!(!says_unknown(&SqlState::from_code(code)), "{code}");
        }
    }
}
