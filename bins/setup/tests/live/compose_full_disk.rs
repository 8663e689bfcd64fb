//! Labs of containers whose disk is full.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::compose::{COMPOSE, SOON, composes, container, docker, label, made};
use crate::support::Home;

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_full_disk_is_shown_by_the_tool_that_failed_of_it() {
    let home = Home::new();
    made(&home, &[]);
    let remove_containers = || docker(&["rm", "--force", &container(&home, "node1"), &container(&home, "node2")]);
    // No data directory fits into the first; into the second, one does.
    for (mb, why) in [(8, "node node1: initdb failed"), (ROOM_FOR_ONE_MB, "node node2: pg_basebackup failed")] {
        remove_containers();
        empty(&volume_of(&home), &home);
        let small = SmallVolume::instead_of(&home, mb);
        let begun = Instant::now();
        home.refused(&COMPOSE, &[why, "No space left on device"]);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        // With room, the same lab comes up.
        remove_containers();
        drop(small);
        made(&home, &[]).is_whole("node1");
    }
}

/// A new data directory takes 40 MB, its WAL another 16 or 32, and a base backup that again.
const ROOM_FOR_ONE_MB: u32 = 85;

/// The name of the lab's volume.
fn volume_of(home: &Home) -> String {
    let name = docker(&["volume", "ls", "--quiet", "--filter", &label(home)]);
    name.trim().to_owned()
}

/// Removes all that is in a volume: whoever has it has no data directory.
fn empty(volume: &str, home: &Home) {
    let state = std::fs::read_to_string(home.lab().join("lab.toml")).unwrap();
    let image = state.lines().find_map(|line| line.strip_prefix("image = ")).unwrap().trim_matches('"');
    let mount = format!("{volume}:/volume");
    docker(&["run", "--rm", "--entrypoint", "sh", "--volume", &mount, image, "-c", "rm -rf /volume/*"]);
}

/// A volume with little room at the place of a lab's, whose containers are gone.
struct SmallVolume {
    name: String,
    /// Where it lies, if it is a mount over the lab's own volume.
    mounted: Option<String>,
}

impl SmallVolume {
    fn instead_of(home: &Home, mb: u32) -> SmallVolume {
        let (name, size) = (volume_of(home), format!("size={mb}m"));
        if !composes().contains(&"docker compose") {
            // Compose 1.29 refuses a volume with options of its own.
            let path = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]).trim().to_owned();
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("{size},mode=0755"), "tmpfs", &path])
                .status();
            assert!(mount.is_ok_and(|mounted| mounted.success()), "this test needs compose 2, or root");
            return SmallVolume { name, mounted: Some(path) };
        }
        docker(&["volume", "rm", &name]);
        // With the labels that compose gave it.
        let project = format!("com.docker.compose.project={}", name.trim_end_matches("_nodes"));
        let labels = [
            label(home).trim_start_matches("label=").to_owned(),
            project,
            "com.docker.compose.volume=nodes".to_owned(),
        ];
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        let small = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", &format!("o={size}")];
        docker(&[&["volume", "create"], &labels[..], &small, &[&name]].concat());
        SmallVolume { name, mounted: None }
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let gone = match &self.mounted {
            Some(path) => Command::new("umount").arg(path).status(),
            None => Command::new("docker").args(["volume", "rm", &self.name]).stdout(Stdio::null()).status(),
        };
        assert!(std::thread::panicking() || gone.is_ok_and(|gone| gone.success()), "{} is still there", self.name);
    }
}
