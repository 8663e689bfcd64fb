//! Labs of containers as a former version made them, with nodes that were called after the roles that they had.

use std::fs;

use crate::compose::{COMPOSE, docker, images, label, left, made};
use crate::support::Home;

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_lab_of_a_former_version_is_refused_with_the_way_out_and_taken_down() {
    let home = Home::new();
    let lab = made(&home, &[]);
    // What that one had: containers and volumes by other names, files that are no more.
    let (compose, label) = (home.lab().join("compose"), label(&home));
    let labels = [label.trim_start_matches("label=").to_owned(), format!("pg-understudy.dir={}", lab_dir(&home))];
    let labels = ["--label", &labels[0], "--label", &labels[1]];
    let project = &lab.file().compose.as_ref().unwrap().project;
    for (service, volume) in [("primary", "primary"), ("standby_1", "standby")] {
        let volume = format!("{project}_{volume}");
        docker(&[&["volume", "create"], &labels[..], &[&volume]].concat());
        let (service, mount) =
            (format!("com.docker.compose.service={service}"), format!("{volume}:/var/lib/postgresql"));
        let of_compose = ["--label", &service, "--volume", &mount, "--entrypoint", "sleep"];
        docker(&[&["run", "--detach"], &labels[..], &of_compose, &[&images()[0], "600"]].concat());
    }
    for (now, then) in [("node1", "primary"), ("node2", "standby_1")] {
        let node = compose.join("nodes").join(then);
        fs::rename(compose.join("nodes").join(now), &node).unwrap();
        fs::rename(node.join("postgresql.conf"), node.join("settings.conf")).unwrap();
    }
    for file in ["by-hand.sh", "postgresql.base.conf", "verifiers"] {
        fs::write(compose.join(file), "").unwrap();
    }
    let before = left(&label);
    home.refused(&COMPOSE, &["an older version made this lab", "primary and standby_1", "`setup --down --name lab`"]);
    assert_eq!(left(&label), before, "nothing is touched");
    let down = home.setup(&["--down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!((left(&label).as_str(), home.names()), ("", vec![]));
}

fn lab_dir(home: &Home) -> String {
    home.lab().canonicalize().unwrap().display().to_string()
}
