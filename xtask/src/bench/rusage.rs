//! CPU time and memory of children, as the system accounts for them.

use anyhow::{Context as _, Result};

/// CPU time of all children of this process that have ended and were waited for, in microseconds.
///
/// `/proc/self/stat` counts in ticks of 10 ms (`USER_HZ` is 100 on every Linux): a second or more is needed for 1 %.
pub(crate) fn children_us() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    // pid (name) state …: cutime and cstime are fields 16 and 17, the 14th and 15th after the name.
    let after_name = stat.rsplit_once(')').context("/proc/self/stat has no name")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("/proc/self/stat is short")?.parse()?) };
    Ok((ticks(13)? + ticks(14)?) * 10_000)
}

/// The most memory that a child which still runs had so far (`VmHWM`), in KiB.
pub(crate) fn peak_kib(child: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}
