//! Labs of containers and `--set`.

use crate::compose::{COMPOSE, left, made};
use crate::support::{Home, wait_for};

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_refused_setting_is_taken_back_from_containers_and_a_new_lab_leaves_nothing() {
    let home = Home::new();
    let of_home = format!("label=pg-understudy.dir={}/lab", home.path().canonicalize().unwrap().display());
    home.refused(&[&COMPOSE[..], &["--set", "nosuch=1"]].concat(), &["nosuch", "Nothing of the new lab is left"]);
    assert_eq!((home.names(), left(&of_home)), (vec![], String::new()));
    let lab = made(&home, &[]);
    assert!(!left(&of_home).is_empty());
    let files = || {
        ["node1", "node2"].map(|node| {
            std::fs::read_to_string(home.lab().join("compose/nodes").join(node).join("postgresql.conf")).unwrap()
        })
    };
    let before = files();
    for (wrong, word) in [("nosuch=1", "nosuch"), ("log_destination=csvlog", "--set log_destination")] {
        home.refused(&[&COMPOSE[..], &["--set", wrong]].concat(), &[word]);
        assert_eq!(files(), before);
    }
    wait_for("the servers to have read it", || {
        lab.ask_all("SELECT count(*)::text FROM pg_file_settings WHERE error IS NOT NULL") == ["0", "0"]
    });
    made(&home, &[]).is_whole("node1");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn settings_that_a_killed_set_up_only_wrote_are_read() {
    let home = Home::new();
    let asked = ["--set", "work_mem=7MB"];
    made(&home, &asked);
    let node = home.lab().join("compose/nodes/node1");
    let settings = std::fs::read_to_string(node.join("postgresql.conf")).unwrap();
    let lab = made(&home, &["--set", "work_mem=default"]);
    assert_eq!(lab.ask("node1", "SHOW work_mem"), "4MB");
    std::fs::write(node.join("postgresql.conf"), settings).unwrap();
    std::fs::write(node.join("unread"), "").unwrap();
    made(&home, &asked);
    wait_for("the server to have read them", || lab.ask("node1", "SHOW work_mem") == "7MB");
    assert!(!node.join("unread").exists());
}
