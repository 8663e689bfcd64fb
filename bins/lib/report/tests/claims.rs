//! `docs/claims.md` names the tests that hold what is promised: each of them is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().expect("the workspace")
}

/// `package::file::test` of every test of ours.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut dirs: Vec<PathBuf> = ["bins", "xtask"].map(|dir| workspace().join(dir)).to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).expect("a text file");
                found.extend(names(&text).map(|test| format!("{}::{file}::{test}", package(&path))));
            }
        }
    }
    found
}

/// The package that a source file is of: the directory of its manifest.
fn package(path: &Path) -> String {
    let dir = path.ancestors().find(|dir| dir.join("Cargo.toml").exists()).expect("a manifest");
    dir.file_name().expect("a name").to_string_lossy().into_owned()
}

/// What stands below `#[test]`, perhaps with other attributes between.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let below = text.split("#[test]\n").skip(1);
    below.filter_map(|text| text.split_once("fn ")?.1.split_once('(')).map(|(name, _)| name)
}

#[test]
fn each_claim_names_tests_that_are_there() {
    let (tests, page) = (tests(), std::fs::read_to_string(workspace().join("docs/claims.md")).expect("the page"));
    let is_test = |word: &&str| word.split("::").count() == 3 && !word.contains(' ');
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |")).collect();
    assert!(rows.len() > 50 && tests.len() > 500, "the page, or the tests, were not found");
    for row in rows {
        let held_by = row.rsplit_once(" | ").expect("two columns").1;
        let named: Vec<&str> = held_by.split('`').skip(1).step_by(2).filter(is_test).collect();
        assert!(!named.is_empty() || held_by.contains("no test"), "nothing holds this: {row}");
        for test in named {
            assert!(tests.contains(test), "docs/claims.md: there is no test {test}");
        }
    }
}
