//! Who has a port of this machine, as far as the system tells it to us.

use std::fs;
use std::path::Path;

/// The states of a connection in `/proc/net/tcp` that keep nobody from listening: TIME_WAIT and CLOSE.
const HARMLESS: [&str; 2] = ["06", "07"];

/// The processes that have a port, with pid and program; other words where that cannot be known.
pub(crate) fn holder(port: u16) -> String {
    let sockets = sockets(port);
    let mut names: Vec<String> = Vec::new();
    for process in entries(Path::new("/proc")) {
        let is_holder = entries(&process.join("fd")).iter().any(|fd| {
            let target = fs::read_link(fd).unwrap_or_default();
            sockets.iter().any(|socket| target.as_os_str() == socket.as_str())
        });
        if is_holder {
            let pid = process.file_name().unwrap_or_default().display().to_string();
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            names.push(format!("pid {pid} ({})", name.trim()));
        }
    }
    if names.is_empty() { "a process that is not ours to see".to_owned() } else { names.join(" and ") }
}

/// The sockets that have a local port, as links in `/proc/PID/fd` show them.
fn sockets(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let ending = format!(":{port:04X}");
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter_map(|row| {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
        let columns: Vec<&str> = row.split_whitespace().collect();
        let has = columns.get(1)?.ends_with(&ending) && !HARMLESS.contains(columns.get(3)?);
        has.then(|| columns.get(9).map(|inode| format!("socket:[{inode}]")))?
    })
    .collect()
}

fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let is_number = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<u64>().is_ok());
    let paths = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.file_name().is_some_and(is_number)).collect()
}
