//! Whose is it: may a path be trusted, before anything of it is read further or run?
//!
//! What a file says is worth as much as those who can write it, and those who can put another one in its place. So every
//! step from `/` on is looked at, each symbolic link with its target: owner and modes. Trusted are we (the effective
//! user) and root. A directory in which everybody may write is fine on the way if it is sticky, as `/tmp` is: what lies
//! in it, only its owner can exchange. A group that may write is fine where it is its owner's own ([`crate::users`]).
//!
//! Once a path has passed, nobody else can change what it leads to: so that it may be used by its name.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::fs::{OFlags, PROC_SUPER_MAGIC, fstatfs, lgetxattr};
use rustix::io::Errno;

use crate::users;

/// Opens no link in the last place of a path, and waits for nobody: a pipe or a device would.
pub const OPEN_FLAGS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;

/// How many bytes a file of settings may have. The longest of ours has some thousand.
const MOST_BYTES: u64 = 1 << 20;

/// How many links a path may lead through: the kernel's own limit.
const MOST_LINKS: u32 = 40;

/// Reads a text file that only we or root could have written.
///
/// # Errors
/// Whose it is, or who can write it, and what to do; that it is no plain file; that it cannot be read.
pub fn read(path: &Path) -> Result<String> {
    read_if_there(path)?.with_context(|| format!("{}: there is no such file", path.display()))
}

/// As [`read`]; `None` if there is no such file.
///
/// # Errors
/// As [`read`].
pub fn read_if_there(path: &Path) -> Result<Option<String>> {
    let Some(real) = follow(path, None)? else { return Ok(None) };
    read_plain(&real).map(Some)
}

/// As [`read`], of a file with passwords: nobody else may read it either.
///
/// # Errors
/// As [`read`], or that it can be read by others.
pub fn read_private(path: &Path) -> Result<String> {
    let real = follow(path, None)?.with_context(|| format!("{}: there is no such file", path.display()))?;
    let shown = real.display();
    let file = open_plain(&real)?;
    let mode = file.metadata().with_context(|| shown.to_string())?.mode();
    ensure!(mode & 0o077 == 0, "{shown} can be read by others: run `chmod 0600 {}`", typed(&real));
    text_of(file, &real, MOST_BYTES)
}

/// Sees that only we or root can change what lies in a directory, which is no link to one. `false`: it is not there, and
/// all that is there on the way to it is as it should be.
///
/// # Errors
/// As [`read`].
pub fn check_dir(dir: &Path) -> Result<bool> {
    let dir: PathBuf = dir.components().collect(); // a slash at the end would lead through a link
    let Some(real) = follow(&dir, None)? else { return Ok(false) };
    let metadata = fs::symlink_metadata(&dir).with_context(|| dir.display().to_string())?;
    ensure!(!metadata.is_symlink(), "{} is a symbolic link: it is left alone", dir.display());
    check_closed(&real)?;
    Ok(true)
}

/// As [`check_dir`], of a directory that may be named by a link, and may be `also`'s. Returns it without links; `None`: it is
/// not there.
///
/// # Errors
/// As [`read`].
pub fn real_dir(dir: &Path, also: Option<u32>) -> Result<Option<PathBuf>> {
    let real = follow(dir, also)?;
    real.as_deref().map_or(Ok(()), check_closed)?;
    Ok(real)
}

/// Sees that it is a directory that not everybody may write to, not even if it is sticky.
fn check_closed(dir: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(dir).with_context(|| dir.display().to_string())?;
    ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", dir.display());
    ensure!(
        metadata.mode() & 0o002 == 0,
        "{}: others can write there too (mode {:04o}): name a directory of its own below it, or `chmod o-w` it",
        dir.display(),
        metadata.mode() & 0o7777
    );
    Ok(())
}

/// A program, or a directory of them, without links: only we, root or `also` could have put it there. `also` is the user
/// that it is to be run as; who runs what is his own gives nothing away.
///
/// # Errors
/// As [`read`].
pub fn of_programs(path: &Path, also: Option<u32>) -> Result<PathBuf> {
    follow(path, also)?.with_context(|| format!("{}: there is no such file or directory", path.display()))
}

/// Sees that only we or root could have put a program there, if one is there.
///
/// # Errors
/// As [`read`].
pub fn program_if_there(path: &Path) -> Result<()> {
    follow(path, None).map(drop)
}

/// The first program of this name in `PATH` that only we, root or `also` could have put there, by its name: some programs look
/// at what they were called. One that somebody else could have put there is passed over as if it were not there.
///
/// # Errors
/// If there is none; whose the first one is that was passed over.
pub fn in_path(name: &str, also: Option<u32>) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    in_dirs(std::env::split_paths(&path), name, also)
}

/// A program by its path, or by its name as [`in_path`] finds it.
///
/// # Errors
/// If it is not there, or somebody else could have put it there.
pub fn named(program: &str) -> Result<PathBuf> {
    if !program.contains('/') {
        return in_path(program, None);
    }
    of_programs(Path::new(program), None)?;
    Ok(program.into())
}

fn in_dirs(dirs: impl Iterator<Item = PathBuf>, name: &str, also: Option<u32>) -> Result<PathBuf> {
    let mut passed_over = None;
    for file in dirs.map(|dir| dir.join(name)).filter(|file| file.is_file()) {
        match of_programs(&file, also) {
            Ok(_) => return Ok(file),
            Err(error) => passed_over = passed_over.or(Some(error)),
        }
    }
    match passed_over {
        Some(error) => Err(error.context(format!("there is no {name} in PATH that may be run"))),
        None => bail!("there is no {name} in PATH"),
    }
}

/// Opens a file for reading, wherever it is, but no link, and nothing that blocks: what another user may have put there
/// is then only looked at.
///
/// # Errors
/// What the system says, or that it is no plain file.
pub fn open_plain(path: &Path) -> Result<File> {
    let shown = || path.display().to_string();
    let file = match File::options().read(true).custom_flags(OPEN_FLAGS).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            bail!("{} is a symbolic link, not a plain file", path.display())
        }
        opened => opened.with_context(shown)?,
    };
    // What the kernel tells by a file (/proc/kmsg) is read away by whoever reads it.
    let is_told = fstatfs(&file).with_context(shown)?.f_type == PROC_SUPER_MAGIC;
    let is_plain = file.metadata().with_context(shown)?.is_file() && !is_told;
    ensure!(is_plain, "{} is not a plain file", path.display());
    Ok(file)
}

/// Reads a text file that [`open_plain`] opens.
///
/// # Errors
/// As [`open_plain`], or that it is too long or no text.
pub fn read_plain(path: &Path) -> Result<String> {
    read_plain_up_to(path, MOST_BYTES)
}

/// As [`read_plain`], of a file that may have up to `most` bytes.
///
/// # Errors
/// As [`read_plain`].
pub fn read_plain_up_to(path: &Path, most: u64) -> Result<String> {
    text_of(open_plain(path)?, path, most)
}

/// As [`read_plain`]; `None` if there is no such file.
///
/// # Errors
/// As [`read_plain`].
pub fn read_plain_if_there(path: &Path) -> Result<Option<String>> {
    match read_plain(path) {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Reads a text file from stdin. Whoever names stdin has chosen what is there: nobody's owner is asked.
///
/// # Errors
/// As [`read`], of a file that is too long or no text.
pub fn text_of_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin().take(MOST_BYTES + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MOST_BYTES, "more than {MOST_BYTES} bytes are no file of ours");
    Ok(text)
}

fn text_of(file: File, path: &Path, most: u64) -> Result<String> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    let mut length = file.metadata().with_context(shown)?.len(); // what is too long is not read to see it
    if length <= most {
        file.take(most + 1).read_to_string(&mut text).with_context(shown)?;
        length = text.len() as u64; // it may have grown
    }
    ensure!(length <= most, "{}: more than {most} bytes are no file of ours", path.display());
    Ok(text)
}

/// Follows a path from `/` on, and sees at each step that nobody else could have put there what it leads to. Returns it
/// without links; `None` if it ends nowhere.
pub(crate) fn follow(path: &Path, also: Option<u32>) -> Result<Option<PathBuf>> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let mut at = PathBuf::from("/");
    let mut ahead: Vec<OsString> = Vec::new(); // the next step last
    push(&mut ahead, &path);
    let mut links = 0;
    check(&at, &fs::symlink_metadata(&at)?, also)?;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(step);
        let metadata = match fs::symlink_metadata(&next) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other.with_context(|| next.display().to_string())?,
        };
        check(&next, &metadata, also)?;
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        ensure!(links <= MOST_LINKS, "{}: too many symbolic links", path.display());
        // What /proc has for an open pipe looks like a link, and leads to no name.
        let is_odd = fs::metadata(&next).is_ok_and(|target| !target.is_file() && !target.is_dir());
        ensure!(!is_odd, "{} is not a plain file", path.display());
        let target = fs::read_link(&next).with_context(|| next.display().to_string())?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        push(&mut ahead, &target);
    }
    Ok(Some(at))
}

fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let steps = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let steps: Vec<OsString> = steps.collect();
    ahead.extend(steps.into_iter().rev());
}

/// One step: its owner, and who may write.
fn check(path: &Path, metadata: &Metadata, also: Option<u32>) -> Result<()> {
    let (owner, mode) = (metadata.uid(), metadata.mode());
    check_owner(path, owner, also)?;
    // A link has no modes; and in a sticky directory only its owner can exchange what is somebody's.
    if metadata.is_symlink() || (metadata.is_dir() && mode & 0o1000 != 0) {
        return Ok(());
    }
    // Of a device (`/dev/null`) whoever may write it says nothing by that.
    ensure!(metadata.is_file() || metadata.is_dir(), "{} is not a plain file", path.display());
    let who = match mode & 0o022 {
        0 => return Ok(()),
        0o020 if users::is_private_group(metadata.gid(), owner) && !has_list(path)? => return Ok(()),
        0o020 => "group",
        0o002 => "others",
        _ => "group and others",
    };
    let right = if who == "group" { "g-w" } else { "go-w" };
    let (shown, mode) = (path.display(), mode & 0o7777);
    bail!("{who} can write to {shown} (mode {mode:04o}), and so it may say anything: `chmod {right} {}`", typed(path))
}

/// Whether an access control list says who may do what there. What stands for the group then is the most that it lets anybody do.
fn has_list(path: &Path) -> Result<bool> {
    match lgetxattr(path, "system.posix_acl_access", &mut [0_u8; 0][..]) {
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        Ok(_) | Err(Errno::RANGE) => Ok(true),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Sees that `owner`, whose the path is, is ourselves, root or `also`.
pub(crate) fn check_owner(path: &Path, owner: u32, also: Option<u32>) -> Result<()> {
    let us = rustix::process::geteuid().as_raw();
    if owner == us || owner == 0 || Some(owner) == also { Ok(()) } else { Err(foreign(path, owner, us)) }
}

/// A path as it stands in a command that we tell people to type.
fn typed(path: &Path) -> String {
    report::foreign::for_shell(&path.to_string_lossy())
}

fn foreign(path: &Path, owner: u32, us: u32) -> anyhow::Error {
    let (shown, name) = (path.display(), users::name(owner));
    let known = name.as_ref().map_or_else(|| format!("uid {owner}"), |name| format!("{name} (uid {owner})"));
    match us {
        0 => anyhow!(
            "{shown} belongs to {known}, and root takes nobody's word but its own: do this as that user, or, if you know what \
             is in it, `chown -h root {}`",
            typed(path)
        ),
        _ => anyhow!(
            "{shown} belongs to {known}, and only what is yours or root's is taken: do this as that user, or make a copy of \
             your own"
        ),
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
