//! Where the servers of a lab can be reached: at 127.0.0.1 by those who know a password, and by servers and tools in directories
//! that nobody else can enter.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use cluster::args::login_info;
use cluster::session::Session;

use crate::compose::{container, docker};
use crate::support::{Home, Lab};

/// The sockets that a process has open, by their inodes.
fn sockets(pid: &str) -> BTreeSet<String> {
    let links =
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())).collect()
}

/// Where a process listens, as the kernel's tables have it: `ADDRESS:PORT` in hexadecimal, the address's bytes as they lie in
/// memory; and the paths of its Unix sockets.
fn listens(pid: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let own = sockets(pid);
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let rows = |name: &str, inode: usize| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        table(name)
            .lines()
            .map(words)
            .filter(|words| words.get(inode).is_some_and(|inode| own.contains(inode)))
            .collect()
    };
    // sl local remote state … inode; a socket that listens is in state 0A.
    let tcp = ["tcp", "tcp6"].iter().flat_map(|name| rows(name, 9));
    let tcp = tcp.filter(|words| words[3] == "0A").map(|words| words[1].clone()).collect();
    (tcp, rows("unix", 6).iter().filter_map(|words| words.get(7).cloned()).collect())
}

#[test]
fn local_servers_listen_on_127_0_0_1_and_in_a_directory_that_they_alone_can_enter() {
    let home = Home::new();
    let lab = home.made(&[]);
    for section in &lab.file().node {
        let (tcp, unix) = listens(&lab.pids()[&section.name]);
        assert_eq!(tcp, BTreeSet::from([format!("0100007F:{:04X}", section.port)]), "{}", section.name);
        let node = lab.dir().join(&section.name);
        let socket = node.join("socket").join(format!(".s.PGSQL.{}", section.port));
        assert_eq!(unix, BTreeSet::from([socket.display().to_string()]), "{}", section.name);
        let [dir, data] = ["socket", "data"].map(|name| fs::metadata(node.join(name)).unwrap());
        assert_eq!((dir.mode() & 0o777, dir.uid()), (0o700, data.uid()), "{}", section.name);
    }
}

/// With their right passwords, which `setup` itself has.
#[test]
fn the_roles_of_wal_and_of_pg_rewind_are_refused_on_tcp() {
    let home = Home::new();
    let lab = home.made(&[]);
    let file = lab.file();
    let refused = |login| {
        let info = login_info(&file.node[0], login, file.protection()).unwrap();
        assert!(info.password.is_some(), "{}", login.user);
        format!("{:#}", Session::open("node1", &info, "test").err().expect("a refusal"))
    };
    for login in [&file.roles.replication, &file.roles.rewind] {
        let said = refused(login);
        assert!(said.contains("pg_hba.conf rejects connection") && said.contains(&login.user), "{said}");
    }
}

fn inspect(id: &str, format: &str) -> String {
    docker(&["inspect", "--format", format, id]).trim().to_owned()
}

fn of_containers(home: &Home) -> Lab {
    home.made(&["--backend", "compose"])
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn compose_publishes_ports_on_127_0_0_1_only_and_wal_has_a_network_of_its_own() {
    let home = Home::new();
    let lab = of_containers(&home);
    let project = &lab.file().compose.as_ref().unwrap().project;
    for section in &lab.file().node {
        let id = container(&home, &section.name);
        let published = "{{range $port, $at := .NetworkSettings.Ports}}{{range $at}}{{$port}} {{.HostIp}}:{{.HostPort}};{{end}}{{end}}";
        assert_eq!(inspect(&id, published), format!("5432/tcp 127.0.0.1:{};", section.port));
        let networks = inspect(&id, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}");
        assert_eq!(networks, format!("{project}_clients {project}_replication"));
        assert_eq!(inspect(&id, "{{.HostConfig.RestartPolicy.Name}}"), "no", "it comes back by itself");
        // Of this machine it has two things to read, and nothing to write to.
        let mounts = "{{range .Mounts}}{{if .RW}}{{.Type}} {{.Destination}};{{end}}{{end}}";
        let written = inspect(&id, mounts);
        assert!(written.split(';').all(|mount| !mount.starts_with("bind")), "{written}");
        assert!(written.contains("volume /var/lib/postgresql"), "{written}");
    }
    let internal = ["clients", "replication"].map(|name| inspect(&format!("{project}_{name}"), "{{.Internal}}"));
    assert_eq!(internal, ["false", "true"]);
}

/// An id can be copied; so all that a lab has bears its directory, too.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn compose_gives_everything_both_labels() {
    let home = Home::new();
    let lab = of_containers(&home);
    let id = fs::read_to_string(home.lab().join("pg-understudy.lab")).unwrap();
    let both = format!("{} {}", id.trim(), home.lab().canonicalize().unwrap().display());
    let project = &lab.file().compose.as_ref().unwrap().project;
    let labels = "{{index .Labels \"pg-understudy.lab\"}} {{index .Labels \"pg-understudy.dir\"}}";
    for node in ["node1", "node2"] {
        assert_eq!(inspect(&container(&home, node), &labels.replace(".Labels", ".Config.Labels")), both);
    }
    for name in ["replication", "clients"] {
        assert_eq!(docker(&["network", "inspect", "--format", labels, &format!("{project}_{name}")]).trim(), both);
    }
    assert_eq!(docker(&["volume", "inspect", "--format", labels, &format!("{project}_nodes")]).trim(), both);
}
