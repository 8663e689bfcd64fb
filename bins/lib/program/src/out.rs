//! The folder for what is measured. What is read back from there is judged: so nobody else may be able to change it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{dirs, trust};

/// Sees that only we or root can change what lies in the folder, if it is there, and what leads to it.
///
/// # Errors
/// Who else could, and what to do.
pub fn check(dir: &Path) -> Result<()> {
    real(dir, has_a_say()).map(drop)
}

/// Makes the folder, if it is not there, and returns it without links.
///
/// # Errors
/// As [`check`], or what the system says.
pub fn make(dir: &Path) -> Result<PathBuf> {
    make_for(dir, has_a_say())
}

fn make_for(dir: &Path, also: Option<u32>) -> Result<PathBuf> {
    if let Some(there) = real(dir, also)? {
        return Ok(there);
    }
    dirs::make_missing(dir, None, also).with_context(|| what_to_do(dir))?;
    real(dir, also)?.with_context(|| format!("{} is gone again", dir.display()))
}

/// Whether the folder is there for this very run: its maker says so in `run.toml`.
#[must_use]
pub fn is_of_run(dir: &Path, run: &str) -> bool {
    let told = trust::read_plain(&dir.join("run.toml")).unwrap_or_default();
    told.lines().any(|line| line == format!("run = {run:?}"))
}

fn real(dir: &Path, also: Option<u32>) -> Result<Option<PathBuf>> {
    trust::real_dir(dir, also).with_context(|| what_to_do(dir))
}

fn what_to_do(dir: &Path) -> String {
    format!("{}: name a new folder where nobody but you can write", dir.display())
}

/// Who may own the folder beside us and root: whoever has called root by `sudo` could spoil no drill but his own; and whoever
/// could have put another program in the place of this one, as in a checkout of his that root has built, needs no folder.
fn has_a_say() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let behind_sudo = || std::env::var("SUDO_UID").ok()?.parse().ok();
    behind_sudo().or_else(|| owner_of(&std::env::current_exe().ok()?))
}

/// The first user but root who owns a file, or a directory above it.
fn owner_of(file: &Path) -> Option<u32> {
    let uid = |path: &Path| Some(std::fs::symlink_metadata(path).ok()?.uid());
    file.ancestors().filter_map(uid).find(|uid| *uid != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const NOBODY: u32 = 65_534;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_of_ours_is_fine_also_below_tmp_and_by_a_link_and_one_of_everybodys_is_none() {
        let base = tempfile::tempdir().unwrap();
        let (open, link) = (base.path().join("open"), base.path().join("link"));
        fs::create_dir(&open).unwrap();
        mode(&open, 0o1777);
        let made = make(&open.join("a/b")).unwrap();
        assert!(made.is_dir());
        symlink(&made, &link).unwrap();
        assert_eq!((make(&made).unwrap(), make(&link).unwrap()), (made.clone(), made.clone()));
        check(&made.join("new")).unwrap();
        assert!(!made.join("new").exists());
        mode(&open, 0o777);
        for refused in [check(&open), check(&made), check(&open.join("new")), make(&open.join("new")).map(drop)] {
            let said = format!("{:#}", refused.unwrap_err());
            assert!(said.contains("name a new folder") && said.contains("others can write"), "{said}");
            assert!(said.contains(open.to_str().unwrap()), "{said}");
        }
        mode(&open, 0o1777);
        assert!(check(&open).is_err(), "others could make a file in it before we do");
        assert_eq!(fs::read_dir(&open).unwrap().count(), 1);
    }

    #[test]
    fn as_root_a_folder_of_another_user_is_refused_but_of_whom_sudo_has_let_in() {
        if !rustix::process::geteuid().is_root() {
            return; // nothing can be given away
        }
        let base = tempfile::tempdir().unwrap();
        let theirs = base.path().join("theirs");
        fs::create_dir_all(theirs.join("drill")).unwrap();
        chown(&theirs, Some(NOBODY), None).unwrap();
        for dir in [theirs.clone(), theirs.join("drill"), theirs.join("new")] {
            let said = format!("{:#}", make_for(&dir, None).unwrap_err());
            assert!(said.contains(dir.to_str().unwrap()) && said.contains("belongs to "), "{said}");
            assert!(said.contains("name a new folder"), "{said}");
        }
        assert!(!theirs.join("new").exists());
        assert!(make_for(&theirs.join("new/folder"), Some(NOBODY)).unwrap().is_dir());
        assert_eq!(owner_of(&theirs.join("drill")), Some(NOBODY), "it could be any program");
        assert_eq!(owner_of(Path::new("/bin/sh")), None);
    }

    #[test]
    fn a_pipe_in_place_of_run_toml_says_nothing_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        fs::write(&file, "run = \"this\"\n").unwrap();
        assert!(is_of_run(dir.path(), "this") && !is_of_run(dir.path(), "that"));
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let (told, tell) = (dir.path().to_owned(), mpsc::channel());
        std::thread::spawn(move || tell.0.send(is_of_run(&told, "this")));
        assert_eq!(tell.1.recv_timeout(Duration::from_secs(30)), Ok(false));
    }
}
