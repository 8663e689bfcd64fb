//! File systems that the servers' user has put into a lab. By FUSE anybody may mount one over a directory of his own, in which
//! his program answers, or does not: whoever only looks at it waits for him. So it is asked before whether there is one, of the
//! kernel, which answers by itself.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use report::foreign;

/// The kernel's list of what is mounted (proc(5)).
const LIST: &str = "/proc/self/mountinfo";

/// How long the kernel's list may be: each container of a machine has some twenty mounts of 200 bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Sees that nobody but we and root has a file system of his own in `dir` or below it.
///
/// # Errors
/// Where one is, and what to do.
pub(crate) fn check_none_of_others(dir: &Path) -> Result<()> {
    let Ok(dir) = dir.canonicalize() else { return Ok(()) }; // it is not there yet
    let mut list = Vec::new(); // names of places may hold anything
    let read = File::open(LIST).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut list)).context(LIST)?;
    ensure!((read as u64) < MOST_BYTES, "{LIST}: there are more mounts than can be looked at");
    let us = rustix::process::geteuid().as_raw();
    let of_others = list
        .split(|byte| *byte == b'\n')
        .filter_map(of_somebody)
        .find(|(at, owner)| ![0, us].contains(owner) && at.starts_with(&dir));
    let Some((at, owner)) = of_others else { return Ok(()) };
    let shown = at.to_string_lossy();
    bail!(
        "user {owner} has mounted a file system over {}, and whoever looks at it waits for him: `umount --lazy {}`, then try again",
        foreign::one_line(&shown),
        foreign::for_shell(&shown)
    )
}

/// Where a line of `mountinfo` (proc(5)) says that a file system by FUSE is, and whose it is.
fn of_somebody(line: &[u8]) -> Option<(PathBuf, u32)> {
    let mut words = line.split(|byte| *byte == b' ');
    let at = words.nth(4)?;
    let options = std::str::from_utf8(words.skip_while(|word| *word != b"-").nth(3)?).ok()?;
    let owner = options.split(',').find_map(|option| option.strip_prefix("user_id="))?;
    Some((OsString::from_vec(unescaped(at)).into(), owner.parse().ok()?))
}

/// A path as the kernel writes it there: what would end a word or a line is `\` and three octal digits.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    const ESCAPES: [(&[u8], u8); 4] = [(b"\\040", b' '), (b"\\011", b'\t'), (b"\\012", b'\n'), (b"\\134", b'\\')];
    let mut plain = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        let escape = ESCAPES.iter().find_map(|(escape, byte)| Some((*byte, text.strip_prefix(*escape)?)));
        let (byte, rest) = escape.unwrap_or((*first, rest));
        plain.push(byte);
        text = rest;
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn whose_a_file_system_is_and_where() {
        let of = |line: &str| of_somebody(line.as_bytes()).map(|(at, owner)| (at.display().to_string(), owner));
        let fuse = r"61 29 0:47 / /labs/my\040lab/node1/data rw,nosuid - fuse.x x rw,user_id=101,group_id=101";
        assert_eq!(of(fuse), Some(("/labs/my lab/node1/data".to_owned(), 101)));
        assert_eq!(
            of("61 29 0:47 / /mnt rw shared:1 propagate_from:2 - fuse x rw,user_id=0,group_id=0"),
            Some(("/mnt".to_owned(), 0))
        );
        assert_eq!(of("29 1 254:0 / / rw,relatime - ext4 /dev/vda rw"), None);
        let odd = b"61 29 0:47 / /m\xff\\134040 rw - fuse x rw,user_id=7";
        let (at, owner) = of_somebody(odd).unwrap();
        assert_eq!((std::os::unix::ffi::OsStrExt::as_bytes(at.as_os_str()), owner), (&b"/m\xff\\040"[..], 7));
    }

    /// As `fusermount3` would do it for `nobody`: with a program that never answers.
    #[test]
    fn as_root_a_file_system_of_another_user_is_named_before_anybody_waits_for_him() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            return; // nobody can mount one for another user, or nobody can mount one at all
        }
        let lab = tempfile::tempdir().unwrap();
        let at = lab.path().join("node1/data");
        fs::create_dir_all(&at).unwrap();
        check_none_of_others(lab.path()).unwrap();
        let script = "exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=65534,group_id=65534,allow_other x \"$1\"; \
                      echo; exec sleep 600";
        let mut command = Command::new("sh");
        let mut holder =
            command.args(["-c", script, "sh"]).arg(&at).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let said = check_none_of_others(lab.path());
        let beside = check_none_of_others(&lab.path().join("node1"));
        let elsewhere = check_none_of_others(tempfile::tempdir().unwrap().path());
        // Nor does who asks whose the lab's data are: on a thread, for it would wait for ever.
        let (dir, tell) = (lab.path().to_owned(), std::sync::mpsc::channel());
        std::thread::spawn(move || tell.0.send(crate::account::Account::of_lab(&dir).is_err()));
        let is_asked_first = tell.1.recv_timeout(std::time::Duration::from_secs(30));
        holder.kill().unwrap(); // with it goes what would answer
        holder.wait().unwrap();
        assert!(Command::new("umount").arg("--lazy").arg(&at).status().unwrap().success());
        let said = said.unwrap_err().to_string();
        assert!(said.contains("user 65534") && said.contains(&format!("`umount --lazy {}`", at.display())), "{said}");
        assert!(beside.is_err() && elsewhere.is_ok() && is_asked_first == Ok(true));
        check_none_of_others(lab.path()).unwrap();
    }
}
