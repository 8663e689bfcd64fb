//! Labs of containers, and the images that they are made of.

use crate::compose::{COMPOSE, SOON, composes, container, docker, images, label, left, made};
use crate::support::{Home, said};

/// Up, scale, restart, kill, promote, rewind, down.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_whole_life_with_every_image_and_every_compose_that_is_here() {
    let composes = composes();
    assert!(!composes.is_empty(), "neither `docker compose` nor `docker-compose`");
    for image in images() {
        for compose in &composes {
            let home = Home::new();
            let life = |more: &[&str]| {
                let mut command = home.command(&[&COMPOSE[..], &["--image", &image], more].concat());
                let said = said(command.env("UNDERSTUDY_COMPOSE", compose).spawn().unwrap());
                assert_eq!(said.code, Some(0), "{image}, {compose}: {said:?}");
                home.lab_made()
            };
            life(&[]).is_whole("node1");
            let lab = life(&["--standbys", "2"]);
            lab.is_whole("node1");
            docker(&["restart", &container(&home, "node3")]);
            life(&[]).is_whole("node1");
            lab.admin("node1").script("CREATE TABLE before AS SELECT 1 AS id").unwrap();
            let mark = cluster::catch_up::mark(&lab.admin("node1")).unwrap();
            cluster::catch_up::wait(&lab.admin("node2"), mark, SOON).unwrap();
            docker(&["kill", "--signal", "KILL", &container(&home, "node1")]);
            let promoted = lab.admin("node2");
            promoted.script("SELECT pg_promote()").unwrap();
            promoted.script("CREATE TABLE after AS SELECT 1 AS id").unwrap();
            let lab = life(&[]);
            lab.is_whole("node2");
            let rows = "SELECT (SELECT count(*) FROM before) || '+' || (SELECT count(*) FROM after)";
            assert_eq!(lab.ask_all(rows), ["1+1"; 3]);
            let label = label(&home);
            assert_eq!(home.setup(&["--down"]).code, Some(0));
            assert_eq!(left(&label), "");
        }
    }
}

/// A name for an image, and another image that it is moved to; both go when they are dropped.
struct Tag(String);

impl Tag {
    fn of(image: &str) -> Tag {
        let tag = Tag(format!("understudy-test-{}:15", std::process::id()));
        docker(&["tag", image, &tag.0]);
        tag
    }

    fn id(&self) -> String {
        docker(&["image", "inspect", "--format", "{{.Id}}", &self.0]).trim().to_owned()
    }

    /// Moves it, as a pull does where somebody has pushed a new one.
    fn move_on(&self) {
        let container = docker(&["create", &self.0, "true"]);
        docker(&["commit", "--change", "LABEL understudy.test=newer", container.trim(), &self.0]);
        docker(&["rm", container.trim()]);
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        docker(&["rmi", &self.0]);
    }
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_name_that_leads_to_another_image_by_now_changes_no_lab() {
    let (home, tag) = (Home::new(), Tag::of(&images()[0]));
    let (asked, made_of) = (["--backend", "compose", "--image", &tag.0], tag.id());
    let lab = home.made(&asked);
    let images = |home: &Home| {
        let of = |node: &str| docker(&["inspect", "--format", "{{.Id}} {{.Image}}", &container(home, node)]);
        ["node1", "node2"].map(of)
    };
    let before = images(&home);
    assert!(before.iter().all(|shown| shown.contains(&made_of)), "{before:?}");
    tag.move_on();
    assert_ne!(tag.id(), made_of);
    for args in [&asked[..], &COMPOSE] {
        let said = home.setup(args);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains(&format!("{} is another image by now; lab lab stays", tag.0)), "{said:?}");
        assert_eq!(images(&home), before, "another container, or of another image");
    }
    lab.is_whole("node1");
    // Nor are the steps run from the new one: this node is made, and that one rewound.
    docker(&["kill", "--signal", "KILL", &container(&home, "node1")]);
    lab.admin("node2").script("SELECT pg_promote()").unwrap();
    made(&home, &["--standbys", "2"]).is_whole("node2");
    let run_from = made_from(&home);
    assert!(run_from.lines().count() > 4, "containers of three nodes, and of steps: {run_from}");
    assert!(run_from.contains(&made_of) && !run_from.contains(&tag.id()), "{run_from}");
    // A new lab is made of what the name leads to now.
    let other = Home::new();
    other.made(&asked);
    assert!(images(&other).iter().all(|shown| shown.contains(&tag.id())));
}

/// The images that the lab's containers were made from in the last ten minutes, a line each, as the engine remembers.
fn made_from(home: &Home) -> String {
    let format = "{{index .Actor.Attributes \"image\"}}";
    let times = ["--since", "10m", "--until", "0s"];
    let filters = ["--filter", "event=create", "--filter", "type=container", "--filter", &label(home)];
    docker(&[&["events"], &times[..], &filters, &["--format", format]].concat())
}
