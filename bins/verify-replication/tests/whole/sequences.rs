//! A standby's sequence may be ahead by what the WAL explains, and by nothing more.

use report::verdict::Verdict::{Broken, Held};

use crate::{Lab, Sets};

#[test]
fn a_sequence_that_the_wal_cannot_have_brought_there_is_broken() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    let names = ["ahead", "cached", "far", "just_beyond", "stepped", "unbegun", "down", "renewed"];
    for name in names {
        primary.script(&format!("CREATE SEQUENCE {name}")).unwrap();
    }
    primary
        .script("ALTER SEQUENCE cached CACHE 50; ALTER SEQUENCE down INCREMENT -3 MINVALUE -1000000 START -1")
        .unwrap();
    primary.script("SELECT nextval('ahead'), nextval('cached'), nextval('just_beyond'), nextval('stepped')").unwrap();
    primary.script("SELECT setval('down', -1), nextval('down'), nextval('far')").unwrap();
    for _ in 0..40 {
        primary.script("SELECT nextval('ahead'), nextval('renewed')").unwrap();
    }
    let live = lab.verify(&[]);
    assert_eq!((live.code, live.of("node2").0), (Some(0), Held), "{}", live.stderr);
    let copy = lab.promote("node2");
    let stands = |name: &str| copy.value::<i64>(&format!("SELECT last_value FROM {name}"), &[]).unwrap();
    assert_eq!((stands("ahead"), stands("just_beyond")), (66, 33), "they are ahead by what was logged in advance");
    let same = lab.verify(&["--at-rest"]);
    assert_eq!((same.code, same.of("node2").0), (Some(0), Held), "{}", same.stderr);
    let turned = lab.verify_pair("node2", "node1", &["--at-rest"]);
    assert_eq!((turned.code, turned.of("standby1").0), (Some(0), Held), "{}", turned.stderr);

    let change = "SELECT setval('far', 1000000000000), setval('just_beyond', 34), setval('unbegun', 5, false);
        ALTER SEQUENCE stepped INCREMENT 2";
    copy.script(change).unwrap();
    let said = lab.verify(&["--at-rest"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for name in names {
        let row = said.row(&format!("sequence public.{name}"), "node2");
        let wrong = ["far", "just_beyond", "unbegun", "stepped"].contains(&name);
        let expected = if wrong { (Broken, Some(1)) } else { (Held, Some(0)) };
        assert_eq!((row.verdict, row.different), expected, "{name}: {}", said.stderr);
    }
    assert!(said.stderr.contains("sequence public.far on node2: it stands at 1000000000000 there, at 1 here"));
}

/// While a sequence is used, set back and forth, and altered, it is never called wrong.
#[test]
fn a_sequence_in_use_is_never_broken() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE SEQUENCE used; CREATE SEQUENCE jumps").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let session = lab.on("node1");
        scope.spawn(|| {
            let session = session;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                session.script("SELECT nextval('used') FROM generate_series(1, 50)").unwrap();
                session.script("SELECT setval('jumps', 1); SELECT setval('jumps', 1000)").unwrap();
                session.script("ALTER SEQUENCE jumps INCREMENT 2; ALTER SEQUENCE jumps INCREMENT 1").unwrap();
            }
        });
        let _sets = Sets(&done);
        for _ in 0..10 {
            let said = lab.verify(&["--table", "used", "--table", "jumps"]);
            assert_eq!(said.row("sequence public.used", "node2").verdict, Held, "{}", said.stderr);
            assert_ne!(said.row("sequence public.jumps", "node2").verdict, Broken, "{}", said.stderr);
        }
    });
}
