//! Connection service files, as libpq reads them (PostgreSQL manual, "The Connection Service File").

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Where the machine's own service file is: it is built into libpq, and this is Debian's place.
const SYSTEM_DIR: &str = "/etc/postgresql-common";

/// The parameters of a service.
///
/// # Errors
/// If none has it, or one could have been written by somebody else, or cannot be read.
pub fn find(service: &str) -> Result<Vec<(String, String)>> {
    find_in(&service_files(), service)
}

fn find_in(files: &[PathBuf], service: &str) -> Result<Vec<(String, String)>> {
    for file in files {
        // It says whom to talk to, and with which password file.
        let Some(text) = program::trust::read_if_there(file).context("service file")? else { continue };
        if let Some(found) = section(&text, service).with_context(|| format!("service file {}", file.display()))? {
            return Ok(found);
        }
    }
    let looked: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    bail!("service `{service}` is not in {}", looked.join(" or "))
}

fn service_files() -> Vec<PathBuf> {
    let own = match std::env::var_os("PGSERVICEFILE") {
        Some(file) => Some(PathBuf::from(file)),
        None => std::env::home_dir().map(|home| home.join(".pg_service.conf")),
    };
    let system = std::env::var_os("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_DIR.into());
    own.into_iter().chain([PathBuf::from(system).join("pg_service.conf")]).collect()
}

fn section(text: &str, service: &str) -> Result<Option<Vec<(String, String)>>> {
    let mut found: Option<Vec<(String, String)>> = None;
    let lines = text.lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (name == service).then(Vec::new);
        } else if let Some(parameters) = &mut found {
            let (key, value) =
                line.split_once('=').with_context(|| format!("line {}: it is not name=value", at + 1))?;
            parameters.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{find_in, section};

    const TEXT: &str = "# mine\n[a]\nhost=one\nport = 5433\n[b]\nhost=two\n";

    #[test]
    fn takes_the_section_of_that_name_and_no_more() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(section(TEXT, "a").unwrap().unwrap(), [pair("host", "one"), pair("port", "5433")]);
        assert_eq!(section(TEXT, "b").unwrap().unwrap(), [pair("host", "two")]);
        assert_eq!(section(TEXT, "c").unwrap(), None);
        assert!(section("[a]\nnonsense\n", "a").is_err());
    }

    /// It would say whom to talk to.
    #[test]
    fn a_file_that_others_can_write_to_is_refused_and_not_passed_by() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["none", "theirs", "ours"].map(|name| dir.path().join(name));
        for file in &files[1..] {
            fs::write(file, TEXT).unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(find_in(&files, "b").unwrap(), [("host".to_owned(), "two".to_owned())]);
        assert!(find_in(&files, "c").unwrap_err().to_string().contains("ours"));
        fs::set_permissions(&files[1], Permissions::from_mode(0o606)).unwrap();
        let said = format!("{:#}", find_in(&files, "b").unwrap_err());
        assert!(said.contains("can write") && said.contains("theirs"), "{said}");
    }
}
