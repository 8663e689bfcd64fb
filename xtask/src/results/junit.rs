//! `--junit`: the verdict as the report of a test run, as Jenkins, GitLab and others show it. `broken` is a failure, `unknown` an error.

use std::time::Duration;

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use report::reasons::Reason;
use report::verdict::Verdict;

use super::Outcome;

const NAME: &str = "pg-understudy";

pub(super) fn text(outcome: &Outcome) -> Result<String> {
    let mut suite = TestSuite::new("failover drill");
    let told = [("run", &outcome.run), ("folder", &outcome.folder)];
    suite.add_properties(told.into_iter().filter_map(|(name, told)| Some(Property::new(name, told.as_ref()?))));
    suite.add_property(Property::new("verdict", outcome.verdict.to_string()));
    for drill in &outcome.drills {
        let mut case =
            case(outcome, drill.number, drill.counted, drill.verdict, &drill.reasons.iter().collect::<Vec<_>>());
        if let Some(us) = drill.took_us {
            case.set_time(Duration::from_micros(us));
        }
        case.set_system_out(drill.said.as_str());
        suite.add_test_case(case);
    }
    let of_all: Vec<&Reason> = outcome.of_all.iter().collect();
    if !of_all.is_empty() {
        let verdict = of_all.iter().map(|reason| reason.verdict).fold(Verdict::Held, Verdict::join);
        suite.add_test_case(match outcome.drills.is_empty() {
            true => case(outcome, None, true, verdict, &of_all),
            false => named("all of it", verdict, &of_all),
        });
    }
    let mut report = Report::new(NAME);
    if let Some(time) = outcome.took_us.map(Duration::from_micros) {
        suite.set_time(time);
        report.set_time(time);
    }
    report.add_test_suite(suite);
    report.to_string().context("the test report")
}

/// A drill. Its name is the same each time, so that its history can be followed.
fn case(outcome: &Outcome, number: Option<u64>, counted: bool, verdict: Verdict, reasons: &[&Reason]) -> TestCase {
    let asked = &outcome.asked;
    let standbys = report::show::count(asked.standbys.into(), "standby");
    let name = format!("{} of the primary, sync {}, {standbys}", asked.fault, asked.sync);
    let warm_up = if counted { "" } else { " (warm-up)" };
    let number = number.map_or(String::new(), |number| format!("run {number}{warm_up}: "));
    named(&format!("{number}{name}"), verdict, reasons)
}

fn named(name: &str, verdict: Verdict, reasons: &[&Reason]) -> TestCase {
    let mut status = match verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::Broken => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if verdict > Verdict::Held {
        let worst = reasons.iter().find(|reason| reason.verdict == verdict).map_or("", |reason| reason.why.as_str());
        let all: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        status.set_message(worst).set_type(verdict.to_string()).set_description(all.join("\n"));
    }
    let mut case = TestCase::new(name, status);
    case.set_classname(NAME);
    case
}
