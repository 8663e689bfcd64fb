//! Errors of the server: the write failed, and the session goes on.

use std::fs::File;

use lab::conf::SyncMode;
use report::ledger::{Event, Key, Ledger, Outcome};

use crate::support::{PRIMARY, Pair, events};

/// Refuses every fifth write of a worker as it is made, and every seventh at its commit.
const REFUSE: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = TG_ARGV[0]; END $$;
    -- As if the key were there: to the client that proves that an earlier attempt did commit.
    CREATE TRIGGER known BEFORE INSERT ON understudy.ledger
        FOR EACH ROW WHEN (NEW.worker = 2 AND NEW.seq = 8) EXECUTE FUNCTION refuse('23505');
    CREATE TRIGGER fifth BEFORE INSERT ON understudy.ledger
        FOR EACH ROW WHEN (NEW.seq % 5 = 0) EXECUTE FUNCTION refuse('23514');
    CREATE CONSTRAINT TRIGGER seventh AFTER INSERT ON understudy.ledger DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.seq % 7 = 0) EXECUTE FUNCTION refuse('40001');";

#[test]
fn what_the_server_refuses_has_failed_and_is_not_there() {
    let pair = Pair::new(SyncMode::On);
    let admin = pair.admin(PRIMARY);
    admin.script(REFUSE).unwrap();
    let path = pair.new_file();
    let mut command = pair.command();
    command.env("UNDERSTUDY_RUN", "mine").arg("--ledger").arg(&path);
    command.args(["--rate", "300", "--clients", "3", "--duration", "500ms"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(ledger.complete && ledger.run == "mine");
    assert!(ledger.writes.len() >= 150, "{}", ledger.writes.len());
    for (key, write) in &ledger.writes {
        let expected = match key {
            Key { worker: 2, seq: 8 } => Outcome::Unknown,
            Key { seq, .. } if seq % 5 == 0 || seq % 7 == 0 => Outcome::Failed,
            _ => Outcome::Acked,
        };
        assert_eq!(write.outcome, expected, "{key:?}");
    }
    pair.judge(PRIMARY, &ledger);
    let rows = events(&path);
    let of = |event| rows.iter().filter(move |row| row.event == event);
    assert_eq!((of(Event::Connected).count(), of(Event::Disconnected).count()), (3, 0), "the sessions went on");
    for row in of(Event::Failed).chain(of(Event::Unknown)) {
        let seq = row.seq.unwrap();
        let expected = match seq {
            8 => "23505",
            seq if seq % 5 == 0 => "23514",
            _ => "40001",
        };
        assert_eq!(row.sqlstate.as_deref(), Some(expected), "seq {seq}");
    }

    // Not one ack: nothing was found out about the servers. The rest of the ledger is good all the same.
    admin.script("REVOKE INSERT ON understudy.ledger FROM understudy_app").unwrap();
    let load = pair.load(&["--rate", "100", "--clients", "2", "--duration", "200ms"]);
    let path = load.ledger.clone();
    let ended = load.ended();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("no write was acknowledged"), "{}", ended.stderr);
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(ledger.complete && ledger.count(Outcome::Failed) == ledger.writes.len() as u64);
    assert!(pair.rows(PRIMARY, &ledger.run).is_empty());
}
