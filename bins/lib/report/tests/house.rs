//! The arrows of ARCHITECTURE.md and the other rules of the house that a machine can see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each package and the packages of ours that it may depend on (`[dependencies]`).
const ARROWS: [(&str, &[&str]); 12] = [
    ("bins/lib/report", &[]),
    ("bins/lib/program", &["report"]),
    ("bins/lib/cluster", &["program", "report"]),
    ("bins/lib/lab", &["cluster", "program", "report"]),
    ("bins/setup", &["lab", "cluster", "program", "report"]),
    ("bins/failover-drill", &["lab", "cluster", "program", "report"]),
    ("bins/seed-data", &["cluster", "program", "report"]),
    ("bins/write-load", &["cluster", "program", "report"]),
    ("bins/measure-lag", &["cluster", "program", "report"]),
    ("bins/verify-replication", &["cluster", "program", "report"]),
    ("bins/draw-report", &["program", "report"]),
    ("xtask", &["program", "report"]),
];

/// Whoever links one of these talks to PostgreSQL.
const POSTGRES: [&str; 3] = ["postgres", "tokio-postgres", "tokio-postgres-rustls"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().expect("the workspace")
}

fn manifest(dir: &str) -> toml::Table {
    let path = workspace().join(dir).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dependencies(dir: &str) -> BTreeSet<String> {
    let manifest = manifest(dir);
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.keys().cloned().collect()
}

fn name(dir: &str) -> &str {
    dir.rsplit('/').next().unwrap_or(dir)
}

/// All `.rs` and `.sql` files of ours: path within the workspace, and text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> = ["bins", "xtask", "sql"].map(|dir| workspace().join(dir)).to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "sql") {
                let text = std::fs::read_to_string(&path).expect("a text file");
                found.push((path.strip_prefix(workspace()).expect("below it").display().to_string(), text));
            }
        }
    }
    assert!(found.len() > 100, "the sources were not found");
    found
}

#[test]
fn the_arrows_point_one_way() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(dir, _)| name(dir)).collect();
    for (dir, allowed) in ARROWS {
        for dependency in dependencies(dir).iter().filter(|dependency| ours.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{dir} must not depend on {dependency}");
        }
    }
}

#[test]
fn every_member_of_the_workspace_has_its_arrows_here() {
    let root = manifest("");
    let members = root["workspace"]["members"].as_array().expect("a list");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(members, ARROWS.iter().map(|(dir, _)| *dir).collect());
}

#[test]
fn every_package_takes_the_shared_lints() {
    for (dir, _) in ARROWS {
        assert_eq!(manifest(dir)["lints"]["workspace"].as_bool(), Some(true), "{dir}");
    }
    let root = manifest("");
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

#[test]
fn only_cluster_and_what_lies_above_it_links_postgres() {
    for dir in ["bins/lib/report", "bins/lib/program", "xtask"] {
        for client in POSTGRES {
            assert!(!dependencies(dir).contains(client), "{dir} must not link {client}");
        }
    }
}

#[test]
fn report_is_pure() {
    for dependency in ["tokio", "rustix", "signal-hook", "indicatif", "jiff", "xshell", "clap", "rand"] {
        assert!(!dependencies("bins/lib/report").contains(dependency), "report must not link {dependency}");
    }
    let forbidden = ["std::fs", "std::net", "std::process", "std::env", "std::thread", "Instant", "SystemTime"];
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("bins/lib/report/src")) {
        for word in forbidden {
            assert!(!text.contains(word), "{path} has {word}: no clock, no file, no process in here");
        }
    }
}

#[test]
fn only_program_knows_the_date() {
    for (dir, _) in ARROWS {
        let knows = dependencies(dir).contains("jiff");
        assert!(!knows || dir == "bins/lib/program", "{dir} must not depend on jiff: rows share the run's clock");
    }
    for (path, text) in sources().iter().filter(|(path, _)| !path.ends_with("house.rs")) {
        assert!(!text.contains("SystemTime"), "{path}: figures come from the run's monotonic clock");
    }
}

#[test]
fn no_process_is_ended_by_its_name() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.ends_with("house.rs")) {
        for tool in ["pkill", "killall"] {
            assert!(!text.contains(tool), "{path} has {tool}: processes are proven ours, by pidfd and directory");
        }
    }
}

/// The part of a source file that is not its tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

/// What runs of ours: no tests, nor what helps them.
fn running() -> impl Iterator<Item = (String, String)> {
    let of_tests = |path: &str| path.contains("/tests/") || path.ends_with("_tests.rs") || path.contains("/scratch");
    let files = sources().into_iter().filter(move |(path, _)| path.ends_with(".rs") && !of_tests(path));
    files.map(|(path, text)| (path, without_tests(&text).to_owned()))
}

/// By its number only where it is a child of ours that nobody has reaped: the number is its own until then.
#[test]
fn no_process_is_signalled_by_a_bare_number() {
    let own_children = ["bins/lib/program/src/child.rs", "bins/lib/program/src/tool.rs", "xtask/src/cargo.rs"];
    let mut found = BTreeSet::new();
    for (path, text) in running() {
        for call in ["kill_process", "kill_current_process_group", "Command::new(\"kill\")", "cmd!(sh, \"kill "] {
            if text.contains(call) {
                assert!(own_children.contains(&path.as_str()), "{path} has {call}: signals go through a pidfd");
                found.insert(path.clone());
            }
        }
    }
    assert_eq!(found.len(), own_children.len(), "{found:?}");
}

/// The one script is a constant, which gets its words as arguments.
#[test]
fn no_shell_is_between_us_and_a_tool() {
    for (path, text) in running() {
        let count = ["Command::new(\"sh\")", "Command::new(\"bash\")", "\"/bin/sh\"", "cmd!(sh, \"sh "]
            .map(|shell| text.matches(shell).count())
            .iter()
            .sum::<usize>();
        assert_eq!(count, usize::from(path == "bins/lib/lab/src/account.rs"), "{path}: arguments are a list");
    }
}

/// What is read in the rooms where files are believed: by `program::trust`, but for what the kernel says and what was written by
/// us in a directory of ours.
#[test]
fn no_file_is_opened_without_the_question_whose_it_is() {
    let known = [
        ("bins/lib/lab/src/compose/process.rs", 2), // /proc
        ("bins/lib/lab/src/holder.rs", 2),
        ("bins/lib/lab/src/local/memory.rs", 1),
        ("bins/lib/lab/src/mounts.rs", 1),
        ("bins/lib/lab/src/ports.rs", 1),
        ("bins/lib/lab/src/process.rs", 3),
    ];
    for (path, text) in running() {
        let rooms = ["bins/lib/cluster/src", "bins/lib/lab/src", "bins/setup/src"];
        if rooms.iter().any(|room| path.starts_with(room)) {
            let ways = ["fs::read_to_string(", "fs::read(", "File::open(", "io::read_to_string("];
            let count = ways.iter().map(|way| text.matches(way).count()).sum::<usize>();
            let allowed = known.iter().find(|(file, _)| *file == path).map_or(0, |(_, count)| *count);
            assert_eq!(count, allowed, "{path} opens files: is it known whose they are (program::trust)?");
        }
    }
}

#[test]
fn only_the_raw_floor_promotes_by_pg_ctl() {
    let callers: Vec<String> =
        running().filter(|(_, text)| text.contains(".pg_ctl_promote(")).map(|(path, _)| path).collect();
    assert_eq!(callers, ["bins/failover-drill/src/floor.rs"]);
}

/// Tests beside the code that they test do not count; those in files of their own do.
#[test]
fn no_file_is_longer_than_one_subject_needs() {
    for (path, text) in sources().iter().filter(|(path, _)| path.ends_with(".rs")) {
        let lines = without_tests(text).lines().count();
        assert!(lines <= 350, "{path} has {lines} lines: it has more than one subject");
    }
}

#[test]
fn postgresqls_own_words_win() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.ends_with("house.rs")) {
        for (number, line) in text.lines().enumerate() {
            let own = line.contains("wal_level") || line.contains("session_replication_role");
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
            let wrong = words.find(|word| {
                ["master", "masters", "slave", "slaves"].contains(&word.as_str())
                    || (["replica", "replicas"].contains(&word.as_str()) && !own)
            });
            assert_eq!(wrong, None, "{path} line {}: say primary and standby", number + 1);
        }
        let stem = Path::new(path).file_stem().expect("a name").to_string_lossy().into_owned();
        for vague in ["utils", "util", "common", "helpers", "helper", "misc", "manager"] {
            assert_ne!(stem, vague, "{path}: a file is named after its subject");
        }
    }
}
