//! `compose/compose.yaml` and `compose/node.sh` as people use them, without `setup`.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::compose::{composes, docker, images, left};
use crate::support::wait_for;

/// Without `setup`: the file that people use, and what happens when it is brought up again after a takeover.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn an_overtaken_primary_is_fenced_and_comes_back_as_a_standby() {
    let hand = ByHand::new();
    hand.compose(&["up", "--detach", "--scale", "standby=2"]);
    wait_for("both standbys to stream", || hand.ask("primary", STREAMING) == "2");
    let all = docker(&["exec", &hand.container("primary"), "getent", "ahosts", "standby"]);
    assert_eq!(all.lines().filter(|line| line.contains("STREAM")).count(), 2, "{all}");
    docker(&["kill", "--signal", "KILL", &hand.container("primary")]);
    let promoted = hand.container("standby");
    docker(&["exec", &promoted, "sh", "/understudy/node.sh", "promote"]);
    hand.compose(&["up", "--detach", "--scale", "standby=2"]);
    wait_for("the old primary to be fenced", || docker(&["logs", &hand.container("primary")]).contains("FENCED"));
    assert!(!hand.answers("primary"), "two writable servers");
    // A rewind that did not come to its end leaves blocks of two servers, which nobody may start.
    let in_vain = ["run", "--rm", "--no-deps", "-T", "primary", "tool", "pg_rewind"];
    let nowhere = ["--target-pgdata=/var/lib/postgresql/primary/data", "--source-server=host=nowhere.invalid"];
    assert!(!hand.run(&[&in_vain[..], &nowhere].concat()).status.success());
    docker(&["restart", &hand.container("primary")]);
    wait_for("it to be fenced", || docker(&["logs", &hand.container("primary")]).contains("a rewind was begun"));
    assert!(!hand.answers("primary"), "a half-rewound server runs");
    let host = docker(&["inspect", "--format", "{{.Name}}", &promoted]);
    hand.compose(&["run", "--rm", "--no-deps", "-T", "primary", "rejoin", host.trim().trim_start_matches('/')]);
    wait_for("the old primary to stream", || hand.answers("primary") && hand.ask("primary", RECEIVES) == "1");
    assert_eq!(hand.ask("primary", "SELECT pg_is_in_recovery()"), "t");
}

/// A volume may hold anything, and only an empty one is made a node.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn files_of_somebody_else_where_the_data_would_be_are_left_alone() {
    let hand = ByHand::new();
    hand.compose(&["up", "--no-start", "primary"]);
    let (primary, thesis) = (hand.container("primary"), "/var/lib/postgresql/primary/data/thesis");
    let in_its_volume = |script: &str| {
        docker(&["run", "--rm", "--volumes-from", &primary, "--entrypoint", "sh", &hand.image, "-c", script])
    };
    in_its_volume(&format!(
        "mkdir -p $(dirname {thesis}); echo years >{thesis}; chown -R postgres: $(dirname {thesis})"
    ));
    docker(&["start", &primary]);
    wait_for("it to end", || docker(&["inspect", "--format", "{{.State.Running}}", &primary]).trim() == "false");
    let (code, said) = (docker(&["inspect", "--format", "{{.State.ExitCode}}", &primary]), docker(&["logs", &primary]));
    assert!(
        code.trim() == "1" && said.contains("holds files, but no PostgreSQL data: it is left alone"),
        "{code} {said}"
    );
    assert_eq!(in_its_volume(&format!("ls /var/lib/postgresql/primary/data; cat {thesis}")), "thesis\nyears\n");
}

/// A standby of a primary that no compose file of its own knows: another machine's, say.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_joins_a_primary_by_host_port_user_and_password_file() {
    let hand = ByHand::new();
    hand.compose(&["up", "--detach", "primary"]);
    wait_for("the primary to answer", || hand.answers("primary"));
    hand.ask("primary", "CREATE ROLE joiner REPLICATION LOGIN PASSWORD 'sesame'");
    let given = tempfile::tempdir().unwrap();
    for (name, password) in [("right", "sesame"), ("wrong", "simsalabim")] {
        std::fs::write(given.path().join(name), format!("*:*:*:joiner:{password}\n")).unwrap();
    }
    let joins = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'far'
        AND usename = 'joiner'";
    let far = Far::new(&hand, given.path(), "right");
    wait_for("it to stream", || hand.ask("primary", joins) == "1" && far.in_it("pg_isready -h 127.0.0.1"));
    let shown = "PGPASSWORD=sesame psql -XqAt -h 127.0.0.1 -U joiner -d postgres -c 'SHOW work_mem' | grep -qx 7MB";
    assert!(far.in_it(shown), "PGSQL_WORK_MEM of its environment");
    // Another start keeps its data.
    assert!(far.in_it("touch /var/lib/postgresql/far/data/still_there"));
    docker(&["restart", &far.name]);
    wait_for("it to stream again", || hand.ask("primary", joins) == "1");
    assert!(far.in_it("test -e /var/lib/postgresql/far/data/still_there"));
    drop(far);

    hand.ask("primary", "SELECT pg_drop_replication_slot('far')");
    let far = Far::new(&hand, given.path(), "wrong");
    wait_for("it to end", || docker(&["inspect", "--format", "{{.State.ExitCode}}", &far.name]).trim() == "1");
    let said = docker(&["logs", &far.name]);
    assert!(said.contains("password authentication failed for user \"joiner\""), "{said}");
    assert!(!said.contains("simsalabim"), "{said}");
    // Put right, it is read at the next start.
    std::fs::copy(given.path().join("right"), given.path().join("wrong")).unwrap();
    docker(&["start", &far.name]);
    wait_for("it to stream at last", || hand.ask("primary", joins) == "1");
}

/// A container that compose knows nothing of, gone when dropped.
struct Far {
    name: String,
}

impl Far {
    /// Joins the primary of `hand` with the password in `passfile`.
    fn new(hand: &ByHand, given: &std::path::Path, passfile: &str) -> Far {
        let name = format!("{}_far", hand.project);
        let compose = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../compose").canonicalize().unwrap();
        let [compose, given] =
            [(&*compose, "/understudy"), (given, "/given")].map(|(dir, place)| format!("{}:{place}:ro", dir.display()));
        let network = format!("{}_replication", hand.project);
        let mut args = vec!["run", "--detach", "--init", "--name", &name, "--network", &network];
        args.extend(["--volume", &compose, "--volume", &given, "--volume", "/var/lib/postgresql"]);
        let passfile = format!("UNDERSTUDY_PRIMARY_PASSFILE=/given/{passfile}");
        for variable in [
            "UNDERSTUDY_NODE=far",
            "UNDERSTUDY_PRIMARY_HOST=primary.replication",
            "UNDERSTUDY_PRIMARY_PORT=5432",
            "UNDERSTUDY_PRIMARY_USER=joiner",
            &passfile,
            "PGSQL_WORK_MEM=7MB",
        ] {
            args.extend(["--env", variable]);
        }
        args.extend(["--entrypoint", "sh", &hand.image, "/understudy/node.sh"]);
        docker(&args);
        Far { name }
    }

    /// Whether a command in it succeeds.
    fn in_it(&self, command: &str) -> bool {
        Command::new("docker").args(["exec", &self.name, "sh", "-c", command]).output().unwrap().status.success()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

const STREAMING: &str =
    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name LIKE 'standby%'";
const RECEIVES: &str = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";

/// A project of `compose/compose.yaml`, gone when dropped.
struct ByHand {
    project: String,
    words: Vec<String>,
    image: String,
    port: String,
}

impl ByHand {
    fn new() -> ByHand {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let words = composes().first().expect("a compose command").split(' ').map(str::to_owned).collect();
        ByHand {
            project: format!("hand_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)),
            words,
            port: lab::scratch::first_port().to_string(),
            image: images().swap_remove(0),
        }
    }

    fn compose(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "compose {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.words[0]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compose/compose.yaml");
        command.args(&self.words[1..]).args(["-p", &self.project, "-f", file]).args(args).stdin(Stdio::null());
        command.env("UNDERSTUDY_IMAGE", &self.image).env("UNDERSTUDY_PORT", &self.port);
        command.output().unwrap()
    }

    /// The first container of a service.
    fn container(&self, service: &str) -> String {
        let labels = ["project", "service"].map(|name| format!("label=com.docker.compose.{name}="));
        let (project, service) = (format!("{}{}", labels[0], self.project), format!("{}{service}", labels[1]));
        let one = "label=com.docker.compose.container-number=1";
        let args = ["ps", "--all", "--quiet", "--filter", &project, "--filter", &service, "--filter", one];
        docker(&args).trim().to_owned()
    }

    fn psql(&self, service: &str, sql: &str) -> std::process::Output {
        let psql = format!(
            "PGPASSFILE=/secrets/passfile psql -XqAt -h 127.0.0.1 -U understudy_admin -d postgres -c \"{sql}\""
        );
        Command::new("docker").args(["exec", &self.container(service), "sh", "-c", &psql]).output().unwrap()
    }

    fn answers(&self, service: &str) -> bool {
        self.psql(service, "SELECT 1").status.success()
    }

    fn ask(&self, service: &str, sql: &str) -> String {
        String::from_utf8(self.psql(service, sql).stdout).unwrap().trim().to_owned()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let down = self.run(&["down", "--volumes", "--remove-orphans"]);
        let label = format!("label=com.docker.compose.project={}", self.project);
        assert!(std::thread::panicking() || (down.status.success() && left(&label).is_empty()), "{}", left(&label));
    }
}
