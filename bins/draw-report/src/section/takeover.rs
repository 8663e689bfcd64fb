//! One takeover: time line, where the outage went, each client's outage.

use anyhow::Result;
use program::judged::Drill;
use report::takeovers::Takeover;

use super::{note, section};
use crate::chart::{clients, parts, time_line};

/// # Errors
/// If a picture cannot be painted.
pub(crate) fn takeover(drill: &Drill, takeover: &Takeover, of: usize) -> Result<String> {
    let what = if takeover.fault.has_takeover() { "Takeover" } else { "Stall" };
    let heading = if of > 1 { format!("{what} {} of {of}", takeover.step) } else { what.to_owned() };
    let body = match time_line::time_line(drill, takeover)? {
        Some(picture) => picture,
        None => note("The fault was not reached: there is nothing to draw around it."),
    };
    let parts = match parts::picture(takeover)? {
        Some(picture) => format!("<h3>Where the outage went</h3>\n{picture}"),
        None if takeover.marks.t0_us.is_none() => String::new(),
        None => note("No write was acknowledged after the fault: the outage has no end to be divided by."),
    };
    let clients = clients::clients(takeover)?.map(|picture| format!("<h3>Outage per client</h3>\n{picture}"));
    Ok(section(&heading, &format!("{body}{parts}{}", clients.unwrap_or_default())))
}
