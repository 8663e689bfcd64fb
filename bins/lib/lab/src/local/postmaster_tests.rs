//! Which process counts as a data directory's postmaster, and which is left alone.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use super::super::bed_for_tests::{Lab, end};
use super::*;
use crate::marker::{self, LabId};

#[test]
fn a_pid_file_that_names_a_stranger_is_stale() {
    let lab = Lab::new();
    let stranger = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(lab.data().join("postmaster.pid"), format!("{}\n", stranger.id())).unwrap();
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none(), "it works elsewhere");
    clear_stale_pid_file(&lab.data(), &lab.ours).unwrap();
    assert!(!lab.data().join("postmaster.pid").exists());
    end(stranger);
}

#[test]
fn a_dead_process_that_nobody_reaped_does_not_live() {
    let lab = Lab::new();
    let mut child = lab.run(&lab.dir.path().join("bin/postgres"));
    let postmaster = Postmaster::of(&lab.data(), &lab.ours).unwrap().expect("it lives and works there");
    child.kill().unwrap();
    postmaster.process.wait_gone(Instant::now() + GONE).unwrap();
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none(), "a zombie is no postmaster");
    child.wait().unwrap();
}

/// The servers' user can have its server take in the orphans of others.
#[test]
fn as_root_a_child_of_another_user_is_none_of_the_servers() {
    if !rustix::process::geteuid().is_root() {
        return; // there is nobody else to be
    }
    let mut command = Command::new("sh");
    command.args(["-c", "setpriv --reuid=65534 sleep 60 & sleep 60 & wait"]).stdin(Stdio::null());
    let mut parent = command.spawn().unwrap();
    let pin = || Process::pin(Pid::from_child(&parent)).unwrap().unwrap();
    let of = |owner| Postmaster { process: pin(), data: "/".into(), owner }.children().unwrap();
    let both = || Ok((of(0).len(), of(65_534).len()) == (1, 1));
    let seen = until_true("both to run", GONE, LOOK, both);
    of(0).iter().chain(&of(65_534)).for_each(|child| child.signal(Signal::KILL).unwrap());
    parent.wait().unwrap();
    seen.unwrap();
}

/// As one that ends: it has no program any more, and is there for another moment.
#[test]
fn who_is_not_proven_and_then_gone_is_no_stranger() {
    let lab = Lab::new();
    for has_file in [true, false] {
        let mut child = lab.run(&lab.dir.path().join("elsewhere/postgres"));
        if !has_file {
            fs::remove_file(lab.data().join("postmaster.pid")).unwrap();
            fs::create_dir(lab.data().join("postmaster.pid")).unwrap();
        }
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill().unwrap();
            child
        });
        let find = if has_file { Postmaster::of } else { Postmaster::to_end };
        assert!(find(&lab.data(), &lab.ours).unwrap().is_none());
        ending.join().unwrap().wait().unwrap();
    }
}

#[test]
fn who_works_there_and_is_not_the_labs_server_is_left_alone_by_name() {
    let lab = Lab::new();
    let refused = |word: &str| {
        let said = Postmaster::of(&lab.data(), &lab.ours).err().expect(word).to_string();
        assert!(said.contains(word) && said.contains("left alone"), "{said}");
        assert!(clear_stale_pid_file(&lab.data(), &lab.ours).is_err(), "{word}");
    };
    for program in [lab.dir.path().join("elsewhere/postgres"), "/bin/sh".into()] {
        let child = lab.run(&program);
        refused("is not the lab's `postgres`");
        end(child);
    }
    let child = lab.run(&lab.dir.path().join("bin/postgres"));
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_some());
    // Replaced on the disk, as by an upgrade, it still is.
    fs::remove_file(lab.dir.path().join("bin/postgres")).unwrap();
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_some());
    let kept = lab.dir.path().join("kept");
    fs::rename(lab.data(), &kept).unwrap();
    std::os::unix::fs::symlink(&kept, lab.data()).unwrap();
    refused("symbolic link");
    fs::remove_file(lab.data()).unwrap();
    fs::rename(&kept, lab.data()).unwrap();
    fs::remove_file(lab.data().join(marker::FILE)).unwrap();
    refused("does not bear this lab's marker");
    let pipe = lab.data().join(marker::FILE);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused("not a plain file");
    refused(&child.id().to_string());
    marker::put(&lab.data(), &LabId::new()).unwrap();
    refused("another lab's marker");
    end(child);
}

/// Nothing that the servers' user puts in place of `postmaster.pid` keeps a lab from being taken down.
#[test]
fn a_server_whose_pid_file_is_no_plain_file_is_found_by_where_it_works() {
    let lab = Lab::new();
    let child = lab.run(&lab.dir.path().join("bin/postgres"));
    let file = lab.data().join("postmaster.pid");
    let found = || Postmaster::to_end(&lab.data(), &lab.ours).unwrap().map(|found| found.process.pid);
    let its = Pid::from_raw(child.id().cast_signed());
    assert_eq!(found(), its);
    for put in ["mkdir", "mkfifo", "ln -s /dev/zero", "truncate -s 1T"] {
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
        let mut words = put.split(' ');
        let mut command = Command::new(words.next().unwrap());
        assert!(command.args(words).arg(&file).status().unwrap().success());
        let said = format!("{:#}", Postmaster::of(&lab.data(), &lab.ours).err().expect(put));
        assert!(said.contains("postmaster.pid") && said.contains("`setup --down`"), "{said}");
        assert_eq!(found(), its, "{put}");
        memory::remove_recorded(&lab.data()).unwrap();
    }
    let stranger = Command::new(lab.dir.path().join("elsewhere/postgres"))
        .args(["-c", "read wait"])
        .current_dir(lab.data())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let said = Postmaster::to_end(&lab.data(), &lab.ours).err().expect("an error").to_string();
    assert!(said.contains(&stranger.id().to_string()) && said.contains("left alone"), "{said}");
    end(stranger);
    end(child);
    assert_eq!(found(), None);
}

/// It runs the lab's own program there, and has a copy of its number in the file: anybody can be given that number, and seem to
/// stand there in a mount namespace of his own. It is no server, and holds up nothing.
#[test]
fn as_root_a_process_of_another_user_is_none_of_the_labs_and_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return; // there is nobody else to be
    }
    let lab = Lab::new();
    let open = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
    for dir in [lab.dir.path(), &lab.data()] {
        fs::set_permissions(dir, open()).unwrap();
    }
    let mut command = Command::new(lab.dir.path().join("bin/postgres"));
    command.args(["-c", "read wait"]).uid(65_534).gid(65_534).current_dir(lab.data()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    fs::write(lab.data().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none());
    assert!(child.try_wait().unwrap().is_none(), "it was ended");
    clear_stale_pid_file(&lab.data(), &lab.ours).unwrap();
    assert!(!lab.data().join("postmaster.pid").exists(), "the lab can start again");
    end(child);
}

/// Its name may hold anything: a server of the lab's all the same.
#[test]
fn a_server_whose_name_is_no_text_is_killed_with_the_others() {
    let lab = Lab::new();
    let server = lab.run(&lab.dir.path().join("bin/postgres"));
    let script = r"printf '\377' >/proc/self/comm; read wait";
    let mut command = Command::new(lab.dir.path().join("bin/postgres"));
    command.args(["-c", script]).current_dir(lab.data()).stdin(Stdio::piped());
    let mut odd = command.spawn().unwrap();
    let named = || fs::read(format!("/proc/{}/comm", odd.id())).unwrap().starts_with(b"\xff");
    until_true("its name", GONE, LOOK, || Ok(named())).unwrap();
    assert_eq!(super::super::tools::kill_below(lab.dir.path(), &lab.ours).unwrap(), 2);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&odd.wait().unwrap()), Some(9));
    end(server);
}

/// Nor below it: a tool that a server has started, say.
#[test]
fn who_works_below_a_data_directory_is_no_postmaster() {
    let lab = Lab::new();
    fs::create_dir(lab.data().join("base")).unwrap();
    let mut command = Command::new(lab.dir.path().join("bin/postgres"));
    let child =
        command.args(["-c", "read wait"]).current_dir(lab.data().join("base")).stdin(Stdio::piped()).spawn().unwrap();
    fs::write(lab.data().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
    assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none());
    end(child);
}

/// A packager may have put links in the place of programs, and a process is known by the file that it runs.
#[test]
fn a_program_that_was_reached_by_a_link_is_the_labs() {
    let lab = Lab::new();
    let linked = lab.dir.path().join("linked");
    fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(lab.dir.path().join("elsewhere/postgres"), linked.join("postgres")).unwrap();
    let child = lab.run(&linked.join("postgres"));
    assert!(Postmaster::of(&lab.data(), &lab.ours).is_err());
    assert!(Postmaster::of(&lab.data(), &lab.ours.clone().with_bin(&linked)).unwrap().is_some());
    end(child);
}

/// A server's children are killed with it, and so is what it leaves; never what is another user's, whatever it calls itself.
#[test]
fn as_root_another_users_process_is_neither_a_tool_nor_left_over_of_ours() {
    if !rustix::process::geteuid().is_root() {
        return; // there is nobody else to be
    }
    let lab = Lab::new();
    for dir in [lab.dir.path(), &lab.data()] {
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let spawn = |uid: u32| {
        let mut command = Command::new(lab.dir.path().join("bin/postgres"));
        command.args(["-c", "read wait"]).uid(uid).current_dir(lab.data()).stdin(Stdio::piped()).spawn().unwrap()
    };
    let (mut left_over, mut theirs) = (spawn(0), spawn(65_534));
    let mut server = lab.run(&lab.dir.path().join("bin/postgres"));
    let is_tool = |child: &Child| {
        let process = Process::pin(Pid::from_raw(child.id().cast_signed()).unwrap()).unwrap().unwrap();
        lab.ours.is_tool(&process)
    };
    assert!(is_tool(&left_over) && !is_tool(&theirs));
    // Held, as `wait` would close them, and so end whom only the kill is to end.
    let _stdins = [server.stdin.take(), left_over.stdin.take()];
    let reaping = std::thread::spawn(move || [server.wait().unwrap(), left_over.wait().unwrap()]);
    Postmaster::of(&lab.data(), &lab.ours).unwrap().expect("it works there").kill_all(&mut || {}).unwrap();
    for status in reaping.join().unwrap() {
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
    assert!(theirs.try_wait().unwrap().is_none(), "it was killed");
    end(theirs);
}

/// After a kill of all: what else of the owner works in the data directory, and the lab's own program below it.
#[test]
fn what_is_no_server_there_or_works_below_it_outlives_a_kill() {
    let lab = Lab::new();
    fs::create_dir(lab.data().join("base")).unwrap();
    let mut below = Command::new(lab.dir.path().join("bin/postgres"));
    let below = below.args(["-c", "read wait"]).current_dir(lab.data().join("base")).stdin(Stdio::piped());
    let others = [
        Command::new("sleep").arg("600").current_dir(lab.data()).spawn().unwrap(), // somebody's shell, say
        below.spawn().unwrap(),
    ];
    let mut server = lab.run(&lab.dir.path().join("bin/postgres"));
    let _stdin = server.stdin.take(); // `wait` would close it, and so end it
    let reaping = std::thread::spawn(move || server.wait().unwrap());
    Postmaster::of(&lab.data(), &lab.ours).unwrap().expect("it works there").kill_all(&mut || {}).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&reaping.join().unwrap()), Some(9));
    for mut other in others {
        assert!(other.try_wait().unwrap().is_none(), "it was killed");
        end(other);
    }
}

/// `psql` beside the server, say, which somebody has started in a data directory that is their own.
#[test]
fn another_program_from_beside_the_server_is_no_server() {
    let lab = Lab::new();
    fs::copy("/bin/sh", lab.dir.path().join("bin/psql")).unwrap();
    let child = lab.run(&lab.dir.path().join("bin/psql"));
    let said = Postmaster::of(&lab.data(), &lab.ours).err().expect("an error").to_string();
    assert!(said.contains("is not the lab's `postgres`") && said.contains("left alone"), "{said}");
    end(child);
}
