//! What the engine's client takes from its user's home. Its configuration says which engine is asked, and names programs to run;
//! beside it lie programs of its own, of which compose may be one. Compose 1 is a program in Python, which runs what it finds
//! below the home directory, too. With the home of somebody else, as `sudo -E` leaves it, that somebody would be us.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use program::trust;

/// The program that `docker compose` is.
const COMPOSE: &str = "cli-plugins/docker-compose";

/// Where it may lie beside the user's own directory.
const SYSTEM: [&str; 4] =
    ["/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker"];

/// Sees that nobody but we and root could have put there what the client would take and run.
///
/// # Errors
/// Who else could, and what to do.
pub(super) fn check() -> Result<()> {
    let home = std::env::home_dir();
    let config = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    check_these(home.as_deref(), config.as_deref()).context(
        "docker and compose would take configuration and programs from there (`sudo -H` sets HOME to root's own)",
    )
}

fn check_these(home: Option<&Path>, config: Option<&Path>) -> Result<()> {
    if let Some(home) = home {
        trust::real_dir(home, None).with_context(|| format!("HOME={}", home.display()))?;
    }
    let of_home = home.map(|home| home.join(".docker"));
    if let Some(config) = config.or(of_home.as_deref()) {
        trust::real_dir(config, None)?;
        trust::read_if_there(&config.join("config.json"))?;
        trust::real_dir(&config.join("cli-plugins"), None)?;
        trust::program_if_there(&config.join(COMPOSE))?;
    }
    SYSTEM.iter().try_for_each(|dir| trust::program_if_there(&Path::new(dir).join(COMPOSE)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    const NOBODY: u32 = 65_534;

    /// A home with all that the client might take from there.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".docker/cli-plugins")).unwrap();
        fs::write(home.path().join(".docker/config.json"), "{}").unwrap();
        fs::write(home.path().join(".docker").join(COMPOSE), "").unwrap();
        home
    }

    const PARTS: [&str; 5] =
        ["", ".docker", ".docker/config.json", ".docker/cli-plugins", ".docker/cli-plugins/docker-compose"];

    #[test]
    fn a_home_of_ours_is_fine_and_one_that_others_can_write_to_is_named() {
        let home = home();
        let (config, none) = (home.path().join(".docker"), home.path().join("none"));
        let check_all = || check_these(Some(home.path()), None).and_then(|()| check_these(None, Some(&config)));
        check_all().unwrap();
        check_these(Some(&none), Some(&none)).unwrap();
        for part in PARTS.map(|part| home.path().join(part).components().collect::<PathBuf>()) {
            let right = fs::metadata(&part).unwrap().permissions();
            fs::set_permissions(&part, Permissions::from_mode(right.mode() | 0o002)).unwrap();
            let said = format!("{:#}", check_all().unwrap_err());
            assert!(said.contains("others can write") && said.contains(part.to_str().unwrap()), "{said}");
            fs::set_permissions(&part, right).unwrap();
        }
        check_all().unwrap();
    }

    /// What is not there yet can be put there between this look and docker's own.
    #[test]
    fn a_directory_that_others_can_write_to_is_named_also_while_it_is_empty() {
        for (part, below) in [("", ".docker"), (".docker", "cli-plugins"), (".docker/cli-plugins", "docker-compose")] {
            let home = home();
            let (dir, below) = (home.path().join(part), home.path().join(part).join(below));
            let removed = if below.is_dir() { fs::remove_dir_all(&below) } else { fs::remove_file(&below) };
            removed.unwrap();
            if part == ".docker" {
                fs::remove_file(dir.join("config.json")).unwrap();
            }
            check_these(Some(home.path()), None).unwrap();
            fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
            let said = format!("{:#}", check_these(Some(home.path()), None).unwrap_err());
            assert!(said.contains("others can write"), "{part}: {said}");
        }
    }

    #[test]
    fn as_root_nothing_of_another_users_home_is_taken() {
        if !rustix::process::geteuid().is_root() {
            return; // nothing can be given away
        }
        for part in PARTS {
            let home = home();
            chown(home.path().join(part), Some(NOBODY), None).unwrap();
            let said = format!("{:#}", check_these(Some(home.path()), None).unwrap_err());
            assert!(said.contains("belongs to "), "{part}: {said}");
        }
    }
}
