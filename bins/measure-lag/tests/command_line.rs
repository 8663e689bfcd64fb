//! What the program refuses, and that nobody can hold it up.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn measure_lag(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_measure-lag"));
    command.args(args).env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
    command.output().expect("the program can be run")
}

/// Could not find out: exit code 2, a reason that holds `reason`, and not a word on stdout.
fn refused(args: &[&str], reason: &str) {
    let output = measure_lag(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stderr.contains(reason), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[test]
fn bad_arguments_are_refused_by_name() {
    for interval in ["10", "0s", "-1s", "NaN", "2h", "1us"] {
        refused(&[&format!("--interval={interval}")], "--interval");
    }
    refused(&["--max-lag", "5"], "--max-lag");
    refused(&["--primary", "host=h"], "--standby");
    refused(&["--cluster", "/no/such/cluster.toml"], "/no/such/cluster.toml");
    refused(&["--primary", "host=h password=hunter2", "--standby", "host=i"], "passfile");
}

#[test]
fn a_mute_server_does_not_hold_it_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mute = format!("host=127.0.0.1 port={port} user=u dbname=d connect_timeout=1");
    let begun = Instant::now();
    refused(&["--primary", &mute, "--standby", &mute, "--duration", "1s"], "no answer");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn the_help_says_what_a_row_means() {
    let help = String::from_utf8(measure_lag(&["--help"]).stdout).unwrap();
    for word in ["seen", "at_least", "unreachable", "no_primary", "beat_lost", "pg_monitor", "Exit codes", "lag.csv"] {
        assert!(help.contains(word), "{word}");
    }
}
