//! Who has a port: `/proc/net/tcp` names the socket, `/proc/PID/fd` the process that has it open.

use std::fs;
use std::path::{Path, PathBuf};

use report::foreign::one_line;

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The holder of a port, `program (pid N)`. Another user's open files are not ours to see: then `another process`.
pub(crate) fn holder(port: u16) -> String {
    let sockets = sockets(port);
    let found = sockets.iter().find_map(|inode| process_with(inode));
    found.unwrap_or_else(|| "another process".to_owned())
}

/// The inodes of the sockets with this local port, those that listen first.
fn sockets(port: u16) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(|line| socket(line, port)));
    }
    found.sort_by_key(|(listens, _)| !listens);
    found.into_iter().map(|(_, inode)| inode).collect()
}

/// Whether the socket of a line listens, and its inode: `sl local_address rem_address st … inode`, ports in hexadecimal.
fn socket(line: &str, port: u16) -> Option<(bool, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = words.get(1)?.rsplit_once(':')?;
    let inode = words.get(9).filter(|inode| **inode != "0")?; // 0: closed, and its time has not run out
    (u16::from_str_radix(local, 16) == Ok(port)).then(|| (words.get(3) == Some(&LISTENS), (*inode).to_owned()))
}

fn process_with(inode: &str) -> Option<String> {
    let link = PathBuf::from(format!("socket:[{inode}]"));
    let mut processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = processes.find(|process| pid(process).is_some() && has_open(process, &link))?;
    let pid = pid(&found)?;
    Some(named(&fs::read(found.join("comm")).ok()?, pid))
}

/// A process names itself, with any bytes that it likes.
fn named(comm: &[u8], pid: u32) -> String {
    format!("{} (pid {pid})", one_line(String::from_utf8_lossy(comm).trim()))
}

/// The number of a process; `self` is none.
fn pid(process: &Path) -> Option<u32> {
    process.file_name()?.to_str()?.parse().ok()
}

fn has_open(process: &Path, link: &Path) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(Result::ok);
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == link))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_can_show_nothing_but_a_name() {
        assert_eq!(super::named(b"postgres\n", 7), "postgres (pid 7)");
        let said = super::named(b"\x1b[2J\rheld\n\xff\xe2\x80\xaex\n", 7);
        assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        assert!(said.contains("u{1b}") && said.ends_with("(pid 7)"), "{said}");
    }
}
