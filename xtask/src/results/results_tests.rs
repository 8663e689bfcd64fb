//! What is written of the samples, read back by somebody else's rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail};
use program::judged::JudgedRun;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use report::drill::DrillRow;
use report::reasons::Reason;
use report::verdict::Verdict::{self, Broken, Held, Unknown};
use serde_json::Value;

use super::{Args, Asked, Begun, Format, Outcome, Results, Why, github, outcome};
use crate::cargo::workspace;
use crate::drilled::Drilled;

fn asked() -> Asked {
    Asked { fault: "kill".to_owned(), sync: "on".to_owned(), standbys: 1 }
}

fn sample(name: &str, number: Option<u64>) -> Drilled {
    Drilled::of(&JudgedRun::read(&workspace().join("reports/samples").join(name)), number, number != Some(1))
}

/// Of these drills, with these reasons beside them.
fn of(drills: Vec<Drilled>, of_all: Vec<Reason>) -> Outcome {
    let beside = of_all.iter().map(|reason| Why { drill: None, reason: reason.clone() });
    let own = drills
        .iter()
        .flat_map(|drill| drill.reasons.iter().map(|reason| Why { drill: drill.number, reason: reason.clone() }));
    Outcome {
        verdict: drills.iter().map(|drill| drill.verdict).fold(Held, Verdict::join),
        reasons: beside.chain(own).collect(),
        of_all,
        drills,
        said: "verdict   as it is".to_owned(),
        ..Outcome::unknown(&asked(), String::new())
    }
}

fn because(verdict: Verdict, why: &str) -> Reason {
    Reason { step: None, verdict, why: why.to_owned() }
}

fn cases(outcome: &Outcome) -> Vec<TestCase> {
    let text = Format::Junit.text(outcome, Path::new("drill.xml")).unwrap();
    Report::deserialize_from_str(&text).unwrap().test_suites.remove(0).test_cases
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&Format::Json.text(outcome, Path::new("drill.json")).unwrap()).unwrap()
}

/// The samples of a page of metrics, after each rule of the format was seen to be kept: name with its labels, and value.
fn metrics(outcome: &Outcome) -> Vec<(String, f64)> {
    let text = Format::Openmetrics.text(outcome, Path::new("/metrics/nightly.prom")).unwrap();
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let (mut families, mut seen, mut samples) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut family = String::new();
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("a help").0.to_owned();
            assert!(families.insert(family.clone()), "{family} is there twice");
            assert_eq!(lines.next(), Some(&*format!("# TYPE {family} gauge")));
            let unit = lines.next_if(|line| line.starts_with("# UNIT "));
            let unit = unit.map(|line| line.strip_prefix(&format!("# UNIT {family} ")).expect("its own"));
            assert!(unit.is_none_or(|unit| family.ends_with(&format!("_{unit}"))), "{family}");
            assert!(unit.is_some() || !family.ends_with("_seconds"), "{family}");
            assert!(lines.peek().is_some_and(|line| line.starts_with(&family)), "{family} has no value");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let labels = series.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        assert_eq!(
            read_labels(labels).unwrap()[..3].iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
            ["drill", "fault", "sync"]
        );
        assert!(seen.insert(series.to_owned()), "{series} is there twice");
        samples.push((series.to_owned(), value.parse().expect(line)));
    }
    samples
}

/// Names and values, character by character.
fn read_labels(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut rest = text.strip_prefix('{').ok_or_else(|| anyhow!("no {{: {text}"))?.chars();
    let mut labels = Vec::new();
    loop {
        let name: String = rest.by_ref().take_while(|c| *c != '=').collect();
        anyhow::ensure!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        anyhow::ensure!(rest.next() == Some('"'), "a value has no quote");
        let mut value = String::new();
        loop {
            match rest.next().ok_or_else(|| anyhow!("a value without an end"))? {
                '"' => break,
                '\n' => bail!("a value of several lines"),
                '\\' => match rest.next() {
                    Some('n') => value.push('\n'),
                    Some(c @ ('"' | '\\')) => value.push(c),
                    other => bail!("\\{other:?}"),
                },
                c => value.push(c),
            }
        }
        anyhow::ensure!(labels.iter().all(|(other, _)| *other != name), "{name} twice");
        labels.push((name, value));
        match rest.next() {
            Some(',') => {}
            Some('}') if rest.next().is_none() => return Ok(labels),
            other => bail!("{other:?} behind a value"),
        }
    }
}

fn value(metrics: &[(String, f64)], begin: &str) -> Option<f64> {
    metrics.iter().find(|(series, _)| series.starts_with(begin)).map(|(_, value)| *value)
}

#[test]
fn a_drill_that_held_passes_and_its_figures_are_those_of_its_rows() {
    let outcome = of(vec![sample("drill-held", None)], Vec::new());
    let row = outcome.drills[0].takeovers[0].clone();
    let [case] = &cases(&outcome)[..] else { panic!("one case") };
    assert!(matches!(case.status, TestCaseStatus::Success { .. }), "{case:?}");
    assert_eq!(case.name.as_str(), "kill of the primary, sync on, 1 standby");
    assert!(case.system_out.as_ref().is_some_and(|said| said.as_str().contains("verdict   held")));
    let json = json(&outcome);
    assert_eq!(
        (&json["verdict"], &json["schema"], &json["reasons"]),
        (&"held".into(), &1.into(), &Value::Array(vec![]))
    );
    let again: DrillRow = serde_json::from_value(json["drills"][0]["takeovers"][0].clone()).unwrap();
    assert_eq!(again, row);
    assert!(json["drills"][0]["takeovers"][0]["outage_us"].is_u64());
    assert!(
        json["drills"][0]["lag"][0]["p99_us"].is_u64() && json["drills"][0]["comparison"]["missing"] == 0,
        "{json}"
    );
    let metrics = metrics(&outcome);
    let outage = value(&metrics, "pg_understudy_outage_seconds{").unwrap();
    assert!((outage * 1e6 - row.outage_us.unwrap() as f64).abs() < 0.5, "{outage}");
    assert_eq!(value(&metrics, "pg_understudy_lost_writes{"), Some(0.0));
    assert_eq!(
        value(&metrics, "pg_understudy_drill_verdict{drill=\"nightly\",fault=\"kill\",sync=\"on\",verdict=\"held\"}"),
        Some(1.0)
    );
    assert!(
        metrics.iter().all(|(series, _)| !series.contains(&row.run)),
        "a run's name would be a new series each time"
    );
    assert!(metrics.iter().all(|(series, _)| !series.contains("run_verdict") && !series.contains("at_least")));
}

#[test]
fn broken_is_a_failure_and_unknown_an_error_each_with_its_reasons() {
    let unread =
        Drilled { verdict: Unknown, reasons: vec![because(Unknown, "no read")], ..sample("drill-held", Some(3)) };
    let drills = vec![sample("drill-held", Some(1)), sample("drill-broken", Some(2)), unread];
    let outcome = of(drills, vec![because(Unknown, "run-4 has no row")]);
    assert_eq!(outcome.verdict, Broken);
    let cases = cases(&outcome);
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names[0], "run 1 (warm-up): kill of the primary, sync on, 1 standby");
    assert_eq!((names[1].split_once(':').unwrap().0, names[3]), ("run 2", "all of it"));
    let told = |case: &TestCase| match &case.status {
        TestCaseStatus::NonSuccess { kind, message, description, .. } => {
            (*kind, message.clone().unwrap().into_string(), description.clone().unwrap().into_string())
        }
        other => panic!("{other:?}"),
    };
    let (kind, message, all) = told(&cases[1]);
    assert!(kind == NonSuccessKind::Failure && message.contains("acknowledged writes are lost"), "{message}");
    assert!(all.starts_with("broken: "), "{all}");
    assert_eq!(told(&cases[2]), (NonSuccessKind::Error, "no read".to_owned(), "unknown: no read".to_owned()));
    assert_eq!(told(&cases[3]).0, NonSuccessKind::Error);
    let json = json(&outcome);
    assert_eq!(json["reasons"][0]["drill"], Value::Null);
    assert!(json["reasons"].as_array().unwrap().iter().any(|why| why["drill"] == 2 && why["verdict"] == "broken"));
    let metrics = metrics(&outcome);
    let of_run = |run: u32| metrics.iter().filter(|(series, _)| series.contains(&format!("run=\"{run}\""))).count();
    assert!([1, 2, 3].map(of_run).iter().all(|count| *count > 20), "{metrics:?}");
    let lines = github::annotations(&outcome);
    assert!(lines[0].starts_with("::error title=failover drill broken::run 2: "), "{lines:?}");
    assert_eq!(lines.len(), outcome.reasons.len());
}

#[test]
fn what_was_not_seen_is_absent_and_never_0() {
    let mut drill = sample("drill-held", None);
    let row = &mut drill.takeovers[0];
    (row.outage_kind, row.lost, row.floor_us) = (Some(report::words::OutageKind::AtLeast), None, None);
    drill.lag.iter_mut().flatten().for_each(|lag| lag.open_us = Some(7_000_000));
    drill.comparison.as_mut().unwrap().missing = None;
    let outcome = of(vec![drill], Vec::new());
    let metrics = metrics(&outcome);
    for name in ["outage_seconds", "lost_writes", "raw_floor_seconds", "visible_lag_p50_seconds", "missing_rows"] {
        assert_eq!(value(&metrics, &format!("pg_understudy_{name}{{")), None, "{name}");
    }
    assert_eq!(value(&metrics, "pg_understudy_visible_lag_at_least_seconds{"), Some(7.0));
    assert!(value(&metrics, "pg_understudy_outage_at_least_seconds{").is_some());
    let json = json(&outcome);
    assert_eq!(json["drills"][0]["takeovers"][0]["lost"], Value::Null);
    assert_eq!(json["drills"][0]["comparison"]["missing"], Value::Null);
}

/// A server says its version, and errors are full of others' words.
#[test]
fn nothing_that_others_say_breaks_a_format() {
    const FOREIGN: &str = "a\"b\\c\nd,e}]]>&<f>\u{1b}[2J::error::%\r```";
    let mut drill = sample("drill-broken", None);
    drill.takeovers[0].pg_version = FOREIGN.to_owned();
    drill.lag.as_mut().unwrap()[0].standby = FOREIGN.to_owned();
    drill.reasons = vec![because(Broken, FOREIGN)];
    drill.said = FOREIGN.to_owned();
    let mut outcome = of(vec![drill], vec![because(Unknown, FOREIGN)]);
    outcome.said = FOREIGN.to_owned();
    assert_eq!(cases(&outcome).len(), 2);
    assert_eq!(json(&outcome)["drills"][0]["takeovers"][0]["pg_version"], FOREIGN);
    let lag = metrics(&outcome).into_iter().find(|(series, _)| series.contains("visible_lag_p99")).unwrap().0;
    let labels = read_labels(&lag[lag.find('{').unwrap()..]).unwrap();
    assert_eq!(labels.last().unwrap(), &("standby".to_owned(), FOREIGN.to_owned()));
    for line in github::annotations(&outcome) {
        assert!(!line.contains(['\n', '\r']) && line.contains("%0A") && line.contains("%25"), "{line:?}");
    }
    let summary = github::summary(&outcome);
    let (_, code) = summary.split_once("\n\n").unwrap();
    assert!(code.trim_end().lines().all(|line| line.starts_with("    ")) && !code.contains('\u{1b}'), "{summary:?}");
    let many = of(Vec::new(), vec![because(Unknown, "one of them"); 40]);
    let lines = github::annotations(&many);
    assert!(lines.len() == 10 && lines[9].contains("and 31 more reasons"), "{lines:?}");
}

fn args(dir: &Path) -> Args {
    let file = |name: &str| Some(dir.join(name));
    Args { junit: file("drill.xml"), json: file("drill.json"), openmetrics: file("drill.prom") }
}

#[test]
fn files_say_unknown_from_the_begin_to_the_end_and_metrics_stay_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    for name in ["drill.xml", "drill.json", "drill.prom"] {
        fs::write(dir.path().join(name), "of the last time\n").unwrap();
    }
    let results = Results::begin(&args(dir.path()), asked()).unwrap();
    assert!(
        read("drill.json").contains("has not ended")
            && read("drill.xml").contains("<error message=\"the drill has not")
    );
    assert_eq!(read("drill.prom"), "of the last time\n");
    let said = results.end(None, Err(anyhow!("no server\nto be found"))).unwrap_err();
    assert_eq!(said.to_string(), "no server\nto be found");
    let json: Value = serde_json::from_str(&read("drill.json")).unwrap();
    assert_eq!((&json["verdict"], &json["reasons"][0]["why"]), (&"unknown".into(), &"no server\nto be found".into()));
    assert!(json["run"].is_null() && json["took_us"].is_null() && json["drills"] == Value::Array(vec![]));
    assert!(read("drill.prom").contains("verdict=\"unknown\"} 1\n") && !read("drill.prom").contains("outage"));
}

#[test]
fn what_cannot_be_written_is_refused_and_the_others_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let prom = fs::canonicalize(dir.path()).unwrap().join("no/drill.prom");
    let refused = Args { openmetrics: Some(prom), ..args(dir.path()) };
    let said = format!("{:#}", Results::begin(&refused, asked()).err().unwrap());
    assert!(said.starts_with("--openmetrics ") && said.contains("no: make it first"), "{said}");
    let json = fs::read_to_string(dir.path().join("drill.json")).unwrap();
    assert!(json.contains("nothing was drilled: --openmetrics"), "{json}");
    let twice = Args { junit: Some(dir.path().join("one")), json: Some(dir.path().join("one")), openmetrics: None };
    assert!(format!("{:#}", Results::begin(&twice, asked()).err().unwrap()).contains("name two files"));
}

/// How the program ends, and what its files say, is one verdict.
#[test]
fn the_worst_that_is_known_is_the_verdict() {
    let begun = |name: &str| {
        let dir = workspace().join("reports/samples").join(name);
        let run = program::run::Run { name: "r".to_owned(), clock: program::clock::Clock::starting_now() };
        Some(Begun { run, dir, judged: None })
    };
    let of = |name, held| outcome(&asked(), begun(name), &held);
    assert_eq!(of("drill-held", Ok(Held)).verdict, Held);
    assert_eq!(of("drill-broken", Ok(Held)).verdict, Broken);
    let beside = of("drill-held", Ok(Broken));
    assert!(
        beside.verdict == Broken && beside.reasons[0].reason.why.contains("a program ended as broken"),
        "{beside:?}"
    );
    let left = of("drill-held", Err(anyhow!("the lab was not taken down")));
    assert!(left.verdict == Unknown && left.drills.len() == 1 && left.reasons.len() == 1, "{left:?}");
    let none = of("bench", Err(anyhow!("no server")));
    assert!(none.verdict == Unknown && none.drills.is_empty() && none.reasons.len() == 1, "{none:?}");
}
