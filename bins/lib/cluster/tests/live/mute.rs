//! Who takes a connection and never says a word does not hold anybody up.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cluster::blocking::Blocking;
use cluster::connect::connect;
use cluster::conninfo::Conninfo;
use cluster::session::Session;

/// More than the second that the conninfo allows, and far less than for ever.
const BOUND: Duration = Duration::from_secs(5);

#[test]
fn a_mute_server_is_given_up_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for sslmode in ["disable", "require"] {
        let text = format!("host=127.0.0.1 port={port} user=u dbname=d connect_timeout=1 sslmode={sslmode}");
        let info = Conninfo::from_argument(&text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ways: [(&str, &dyn Fn() -> Option<anyhow::Error>); 3] = [
            ("connect", &|| runtime.block_on(connect(&info, "test")).err()),
            ("a blocking session", &|| Blocking::open(&info, "test").err()),
            ("a session", &|| Session::open("mute", &info, "test").err()),
        ];
        for (name, way) in ways {
            let begun = Instant::now();
            let error = format!("{:#}", way().expect(name));
            assert!(begun.elapsed() < BOUND, "{name}, sslmode={sslmode}: {:?}", begun.elapsed());
            assert!(error.contains("no answer within"), "{name}, sslmode={sslmode}: {error}");
        }
    }
}

#[test]
fn a_refusal_comes_at_once_and_says_where() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let info = Conninfo::from_argument(&format!("host=127.0.0.1 port={port} user=u dbname=d")).unwrap();
    let begun = Instant::now();
    let error = format!("{:#}", Blocking::open(&info, "test").err().unwrap());
    assert!(begun.elapsed() < BOUND && error.contains(&format!("u@127.0.0.1:{port}/d")), "{error}");
}
