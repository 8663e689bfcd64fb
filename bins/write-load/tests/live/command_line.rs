//! What the program refuses, and that nobody can hold it up.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{output_of, write_load};

/// Could not find out: exit code 2, a reason that holds `reason`, and not a word on stdout.
fn refused(args: &[&str], reason: &str) {
    let output = write_load().args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stderr.contains(reason), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[test]
fn bad_arguments_are_refused_by_name() {
    for option in ["--duration", "--op-timeout", "--max-behind"] {
        for time in ["-1", "0", "0s", "NaN", "10", ""] {
            refused(&[&format!("{option}={time}")], option);
        }
    }
    for rate in ["0", "-1", "fast", "NaN", ""] {
        refused(&[&format!("--rate={rate}")], "--rate");
    }
    for clients in ["0", "-1", "5001", "x"] {
        refused(&[&format!("--clients={clients}")], "--clients");
    }
    refused(&["--synchronous-commit", "maybe"], "--synchronous-commit");
    refused(&["--arrivals", "never"], "--arrivals");
    refused(&["--primary", "host=h"], "--standby");
    refused(&["--primary", "host=h password=hunter2", "--standby", "host=i"], "passfile");
    refused(&["--cluster", "/no/such/cluster.toml"], "/no/such/cluster.toml");
}

#[test]
fn a_mute_server_does_not_hold_it_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mute = format!("host=127.0.0.1 port={port} user=u dbname=d connect_timeout=1");
    let begun = Instant::now();
    let child = write_load().args(["--primary", &mute, "--standby", &mute, "--duration", "1s"]).spawn().unwrap();
    let output = output_of(child);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no primary within") && stderr.contains("no answer"), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
