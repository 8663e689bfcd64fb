//! What somebody has given a copied id, or the name of something that a lab of containers would make: it is neither removed nor
//! used, and it is named where it is in the way.

use crate::compose::{COMPOSE, docker, images, label, left, made};
use crate::support::Home;

/// Something of somebody else's in the engine, removed when dropped.
struct Planted(&'static str, String);

impl Planted {
    fn new(kind: &'static str, name: &str, labels: &[String]) -> Planted {
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        let (image, create) = (&images()[0], ["create"]);
        let (before, name_by, after) = match kind {
            "container" => (&["run", "--detach", "--entrypoint", "sleep"][..], "--name", &[image, "600"][..]),
            "volume" => (&create[..], "--driver=local", &[][..]),
            _ => (&create[..], "--driver=bridge", &[][..]),
        };
        docker(&[&[kind], before, &labels, &[name_by, name], after].concat());
        Planted(kind, name.to_owned())
    }

    /// It is there, and as it was: whoever made it anew would have made it later.
    fn is_as_it_was(&self) -> bool {
        let list: &[&str] = if self.0 == "container" { &["ls", "--all"] } else { &["ls"] };
        let named = docker(&[&[self.0], list, &["--quiet", "--filter", &format!("name={}", self.1)]].concat());
        named.lines().count() == 1 && (self.0 != "container" || self.runs())
    }

    fn runs(&self) -> bool {
        docker(&["inspect", "--format", "{{.State.Running}}", &self.1]).trim() == "true"
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let force: &[&str] = if self.0 == "network" { &[] } else { &["--force"] };
        docker(&[&[self.0, "rm"], force, &[&self.1]].concat());
    }
}

fn own_labels(home: &Home) -> [String; 2] {
    let dir = home.lab().canonicalize().unwrap().display().to_string();
    [label(home).trim_start_matches("label=").to_owned(), format!("pg-understudy.dir={dir}")]
}

/// Either alone is no proof.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn what_bears_one_label_of_a_lab_is_not_removed_with_it() {
    let home = Home::new();
    made(&home, &[]);
    let ([id, dir], of_lab) = (own_labels(&home), label(&home));
    let name = |what: &str| format!("understudy-test-{}-{what}", std::process::id());
    let (elsewhere, other) = ("pg-understudy.dir=/elsewhere".to_owned(), format!("pg-understudy.lab={:032x}", 7));
    let kinds = ["container", "volume", "network"];
    let of_other_lab = kinds.map(|kind| Planted::new(kind, &name(&format!("o{kind}")), &[other.clone(), dir.clone()]));
    let id_alone = kinds.map(|kind| Planted::new(kind, &name(&format!("i{kind}")), std::slice::from_ref(&id)));
    let copied = kinds.map(|kind| Planted::new(kind, &name(&format!("c{kind}")), &[id.clone(), elsewhere.clone()]));
    let all_there = |planted: &[Planted]| planted.iter().all(Planted::is_as_it_was);
    for way in [&COMPOSE[..], &["--down"]] {
        home.refused(way, &["with the id of the lab in", "left alone"]);
        assert!(all_there(&of_other_lab) && all_there(&id_alone) && all_there(&copied), "{way:?}");
    }
    drop(id_alone);
    home.refused(&["--down"], &["are those of /elsewhere", "left alone", "docker volume ls"]);
    assert!(all_there(&of_other_lab) && all_there(&copied));
    assert_eq!(left(&of_lab).lines().count(), copied.len(), "of the lab itself nothing is left");
    drop(copied);
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    assert!(all_there(&of_other_lab) && home.names().is_empty());
}

/// Compose takes a volume by its name, with whatever is in it.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn what_has_the_name_of_something_of_a_lab_is_named_and_not_used() {
    let home = Home::new();
    let lab = made(&home, &[]);
    let ([id, dir], of_lab) = (own_labels(&home), label(&home));
    let project = lab.file().compose.as_ref().unwrap().project.clone();
    // As `docker system prune` does it while the lab is down.
    let containers = docker(&["ps", "--all", "--quiet", "--filter", &of_lab]);
    docker(&[&["rm", "--force"], &containers.lines().collect::<Vec<_>>()[..]].concat());
    docker(&["volume", "rm", &format!("{project}_nodes")]);
    docker(&["network", "rm", &format!("{project}_replication"), &format!("{project}_clients")]);
    assert_eq!(left(&of_lab), "");
    let elsewhere = "pg-understudy.dir=/elsewhere".to_owned();
    for (kind, name) in [("volume", "nodes"), ("network", "replication"), ("network", "clients")] {
        let name = format!("{project}_{name}");
        for labels in [&[][..], std::slice::from_ref(&dir), &[id.clone(), elsewhere.clone()]] {
            let planted = Planted::new(kind, &name, labels);
            // A volume with the id is found before: the lab may have been moved.
            let reason = if kind == "volume" && labels.len() > 1 { "those of /elsewhere" } else { "is in the way" };
            let said = home.refused(&COMPOSE, &[reason, "left alone"]);
            assert!(labels.len() > 1 || said.contains(&format!("docker {kind} rm {name}")), "{said}");
            assert!(planted.is_as_it_was());
            assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &of_lab]), "", "{kind} {labels:?}: it was used");
        }
    }
    made(&home, &[]).is_whole("node1");
}
