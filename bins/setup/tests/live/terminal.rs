//! A real terminal, as root has one: what runs as the servers' user can neither type there nor print there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use lab::account::Account;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Home, POLL_EVERY, SETUP_DEADLINE};

/// Types a line into every terminal that it can get at, prints there, and writes down what it could do. It stands for each of
/// PostgreSQL's programs. The number is TIOCSTI's; Perl is a part of every Debian.
const PROBE: &str = r#"#!/usr/bin/perl
my @done;
sub attack {
    my ($name, $terminal) = @_;
    my $typed = 1;
    for my $letter (split //, "echo typed by a stranger\n") { ioctl($terminal, 0x5412, my $byte = $letter) or $typed = 0 }
    push @done, "typed at $name" if $typed;
    -t $terminal and syswrite($terminal, "printed by a stranger\n") and push @done, "printed at $name";
}
if (open(my $own, '+<', '/dev/tty')) { attack('/dev/tty', $own) }
for my $number (0 .. 63) { if (open(my $inherited, '+<&', $number)) { attack($number, $inherited) } }
my ($name) = $0 =~ m|([^/]*)$|;
open(my $trace, '>>', 'TRACE') or die;
print $trace "$name as $>: @done\n";
print "$name (PostgreSQL) 15.1\n";
"#;

/// Puts it in the place of all programs that a lab needs; whoever it runs as may write to `trace`.
fn probes(bin: &Path, trace: &Path) {
    fs::create_dir(bin).unwrap();
    fs::write(trace, "").unwrap();
    fs::set_permissions(trace, Permissions::from_mode(0o666)).unwrap();
    for name in ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"] {
        fs::write(bin.join(name), PROBE.replace("TRACE", trace.to_str().unwrap())).unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }
}

/// What a run at a terminal came to.
struct Seen {
    code: String,
    /// What was there to be read for the shell, after the run.
    typed: String,
    /// All that was on the screen.
    shown: String,
    /// The session of the terminal.
    session: String,
}

/// Runs a command by a shell that has a terminal of its own, and then reads there, as a shell does.
fn at_a_terminal(command: &Command) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    let (keyboard, screen) = terminal();
    let script = "cd \"$0\"; cut -d' ' -f6 /proc/$$/stat >session; \"$@\"; echo $? >code; cat >typed";
    let mut shell = Command::new("setsid");
    shell.args(["--ctty", "sh", "-c", script]).arg(dir.path()).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let ends = || Stdio::from(screen.try_clone().unwrap());
    let mut child = shell.stdin(ends()).stdout(ends()).stderr(ends()).spawn().unwrap();
    drop((shell, screen)); // then reading ends with the last of those who have it open
    let shown = reading(&keyboard);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let ended = || Ok(read("code").ends_with('\n') || child.try_wait()?.is_some());
    cluster::wait::until_true("the run to end", SETUP_DEADLINE, POLL_EVERY, ended).unwrap();
    (&keyboard).write_all(b"\n\x04").unwrap(); // the end of a line, and of what is typed
    assert!(child.wait().unwrap().success());
    drop(keyboard);
    let [code, typed, session] = ["code", "typed", "session"].map(|name| read(name).trim().to_owned());
    Seen { code, typed, shown: shown.join().unwrap(), session }
}

/// Both ends of a new terminal.
fn terminal() -> (File, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(ptsname(&keyboard, Vec::new()).unwrap().as_bytes()));
    let no_ctty = OpenptFlags::NOCTTY.bits() as i32;
    let screen = OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name).unwrap();
    (File::from(keyboard), screen)
}

/// Reads what is shown, until nobody has the terminal any more.
fn reading(keyboard: &File) -> JoinHandle<String> {
    let mut keyboard = keyboard.try_clone().unwrap();
    std::thread::spawn(move || {
        let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = keyboard.read(&mut bytes) {
            shown.extend_from_slice(&bytes[..count]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    })
}

/// Whether this machine's kernel lets a process type into the terminal of its own session.
fn typing_is_possible() -> bool {
    fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").map_or(true, |text| text.trim() == "1")
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_no_program_of_the_servers_user_reaches_our_terminal() {
    let (home, base) = (Home::new(), Home::new());
    let (bin, trace) = (base.path().join("bin"), base.path().join("trace"));
    probes(&bin, &trace);
    let Account::Other { uid, gid } = Account::for_servers().unwrap() else { panic!("this is not root") };

    // The probe is one: whoever shares the session of the shell gets there.
    let mut sharing = Command::new("setpriv");
    sharing.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    let shared = at_a_terminal(sharing.arg(bin.join("initdb")));
    assert!(shared.shown.contains("printed by a stranger"), "{}", shared.shown);
    assert_eq!(shared.typed.contains("echo typed by a stranger"), typing_is_possible(), "{}", shared.typed);

    fs::write(&trace, "").unwrap();
    let probed = at_a_terminal(&home.command(&["--pg-bin", bin.to_str().unwrap()]));
    let done = fs::read_to_string(&trace).unwrap();
    assert!(done.lines().any(|line| line.starts_with("initdb ")), "{done}: {}", probed.shown);
    for line in done.lines() {
        assert!(line.ends_with(&format!(" as {uid}: ")), "{line}");
    }
    assert_eq!((probed.code.as_str(), probed.typed.as_str()), ("2", ""));
    assert!(probed.shown.contains("error: ") && !probed.shown.contains("stranger"), "{}", probed.shown);
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_the_servers_have_a_session_without_our_terminal_and_another_user() {
    let home = Home::new();
    let made = at_a_terminal(&home.command(&[]));
    assert_eq!(made.code, "0", "{}", made.shown);
    let (lab, servers) = (home.lab_made(), Account::for_servers().unwrap().uid());
    for (node, pid) in lab.pids() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let words: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // State, parent, group, session, terminal.
        assert_ne!(words[3], made.session, "{node}");
        assert_eq!(words[4], "0", "{node} has a terminal");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(servers != 0 && uids.split_whitespace().all(|uid| uid == servers.to_string()), "{node}: {uids}");
    }
}
