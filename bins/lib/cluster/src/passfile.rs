//! Password files, as libpq reads them (PostgreSQL manual, "The Password File").

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::secret::Secret;

/// Where servers put their sockets: Debian's and Red Hat's place, and PostgreSQL's own.
pub(crate) const SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// One line of a password file. `*` in a field but the password matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Host name, address or socket directory.
    pub host: String,
    /// Port.
    pub port: String,
    /// Database; for replication connections `replication`.
    pub dbname: String,
    /// User.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// The password that a file holds for this connection; `None` if it has no line for it.
///
/// # Errors
/// If the file cannot be read, or others may read it or could have written it.
pub fn find(file: &Path, host: &str, port: u16, dbname: &str, user: &str) -> Result<Option<Secret>> {
    find_in(file, host, port, dbname, user, true)
}

/// As [`find`], of the lines that name this very host and port: whoever wrote a cluster file may have picked both, and the file.
///
/// # Errors
/// As [`find`].
pub fn find_exactly(file: &Path, host: &str, port: u16, dbname: &str, user: &str) -> Result<Option<Secret>> {
    find_in(file, host, port, dbname, user, false)
}

fn find_in(file: &Path, host: &str, port: u16, dbname: &str, user: &str, any_place: bool) -> Result<Option<Secret>> {
    let text = program::trust::read_private(file).with_context(|| format!("passfile {}", file.display()))?;
    // A socket's directory is looked up as it is, and libpq's own as `localhost`: which one that is differs from build to build.
    let is_usual = SOCKET_DIRS.contains(&host);
    let matches = |field: &str, value: &str| field == "*" || field == value;
    let is_place = |field: &str, value: &str| field == value || (any_place && field == "*");
    let is_host = |field: &str| is_place(field, host) || (any_place && is_usual && field == "localhost");
    Ok(parse(&text).into_iter().find_map(|entry| {
        let fits = is_host(&entry.host)
            && is_place(&entry.port, &port.to_string())
            && matches(&entry.dbname, dbname)
            && matches(&entry.user, user);
        fits.then_some(entry.password)
    }))
}

/// The entries of a password file; comments and lines with too few fields are left out, as libpq does.
#[must_use]
pub fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => fields.last_mut()?.push(chars.next()?),
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    let [host, port, dbname, user, password] = <[String; 5]>::try_from(fields).ok()?;
    Some(Entry { host, port, dbname, user, password: Secret::new(password) })
}

/// The text of a password file with these entries.
#[must_use]
pub fn render(entries: &[Entry]) -> String {
    let escape = |field: &str| field.replace('\\', "\\\\").replace(':', "\\:");
    let mut text = String::new();
    for e in entries {
        let fields = [&e.host, &e.port, &e.dbname, &e.user].map(|field| escape(field)).join(":");
        writeln!(text, "{fields}:{}", escape(e.password.reveal())).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn the_first_line_that_fits_wins() {
        let file = file("# comment\nother:*:*:*:no\n*:5432:db:me:first\n*:*:*:*:second\n", 0o600);
        let found = |port, user| find(file.path(), "h", port, "db", user).unwrap().unwrap();
        assert_eq!(found(5432, "me").reveal(), "first");
        assert_eq!(found(5433, "me").reveal(), "second");
        assert_eq!(find(file.path(), "other", 1, "x", "y").unwrap().unwrap().reveal(), "no");
    }

    #[test]
    fn a_password_is_for_its_user_and_address_and_for_nobody_else() {
        let file = file("h:5432:db:me:of-h\nlocalhost:5432:db:me:of-here\n", 0o600);
        let found = |host, port, dbname, user| {
            find(file.path(), host, port, dbname, user).unwrap().map(|found| found.reveal().to_owned())
        };
        assert_eq!(found("h", 5432, "db", "me").as_deref(), Some("of-h"));
        for [host, dbname, user] in [["g", "db", "me"], ["h", "other", "me"], ["h", "db", "you"], ["/mine", "db", "me"]]
        {
            assert_eq!(found(host, 5432, dbname, user), None, "{user} at {host}, {dbname}");
        }
        assert_eq!(found("h", 5433, "db", "me"), None);
        assert_eq!(found(SOCKET_DIRS[0], 5432, "db", "me").as_deref(), Some("of-here"), "libpq's own directory");
    }

    #[test]
    fn a_line_for_any_address_is_for_none_that_a_cluster_file_names() {
        let text =
            "*:5432:db:me:any-host\nh:*:db:me:any-port\n*:*:*:*:any\nlocalhost:5432:db:me:here\nh:5432:*:*:this\n";
        let file = file(text, 0o600);
        let found = |host, port| find_exactly(file.path(), host, port, "db", "me").unwrap();
        assert_eq!(found("h", 5432).map(|found| found.reveal().to_owned()).as_deref(), Some("this"));
        assert_eq!((found("h", 5433), found("g", 5432)), (None, None));
        assert_eq!(found("/tmp", 5432), None, "where everybody may put a socket");
    }

    #[test]
    fn colons_and_backslashes_survive() {
        let entry = Entry {
            host: "::1".into(),
            port: "5432".into(),
            dbname: r"a\b".into(),
            user: "u:v".into(),
            password: Secret::new(r"p:\w"),
        };
        assert_eq!(parse(&render(std::slice::from_ref(&entry))), [entry]);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let file = file("*:*:*:*:x\n", 0o644);
        let error = format!("{:#}", find(file.path(), "h", 1, "d", "u").unwrap_err());
        assert!(error.contains("passfile") && error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = find(Path::new("/no/such/passfile"), "h", 1, "d", "u").unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/passfile"), "{error:#}");
    }
}
