//! Whether a table has another shape by now than the layout by which it was read.

use crate::layout::Layout;
use crate::node::NodeSessions;
use crate::read_error::ReadError;

/// The node whose file or columns differed from the layout by which the table was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Here,
    /// Only the standby.
    There,
}

/// Whether the table has another shape by now than `layout` says.
pub(crate) fn changed(
    layout: &Layout,
    primary: &mut NodeSessions,
    standby: &mut NodeSessions,
) -> Result<Option<Changed>, ReadError> {
    if standby.at_rest {
        // Nobody writes, and a copy that was promoted may have rewritten the table for itself.
        return Ok(layout.has_other_columns(standby.reader())?.then_some(Changed::There));
    }
    if layout.is_outdated(primary.reader())? {
        return Ok(Some(Changed::Here));
    }
    Ok(layout.is_outdated(standby.reader())?.then_some(Changed::There))
}
