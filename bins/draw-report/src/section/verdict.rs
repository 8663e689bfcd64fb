//! The verdict, in words, with its reasons.

use report::verdict::Verdict;
use report::words::Fault;

use crate::html;
use crate::run::Run;

/// What a verdict means for whoever asked. Of standbys that were not compared it says nothing.
fn sentence(verdict: Verdict, compared: bool) -> &'static str {
    match verdict {
        Verdict::Held if compared => {
            "Nothing that was acknowledged is missing beyond what was allowed, and the standbys hold the same data."
        }
        Verdict::Held => {
            "Nothing that was acknowledged is missing beyond what was allowed. The standbys were not compared."
        }
        Verdict::Broken => "A promise was broken: see why.",
        Verdict::Unknown => "It could not be found out: see why. This is not a pass.",
    }
}

/// The verdict, the reasons, and what was drilled.
pub(crate) fn verdict(run: &Run) -> String {
    let verdict = run.judged.verdict();
    let reasons = run.judged.reasons();
    let reasons: String = reasons.iter().map(|why| format!("<li>{}</li>\n", html::text(&why.to_string()))).collect();
    let reasons = if reasons.is_empty() { reasons } else { format!("<ul class=\"reasons\">{reasons}</ul>\n") };
    format!(
        "<div class=\"verdict {verdict}\" data-verdict=\"{verdict}\"><strong>{verdict}</strong> {}</div>\n{reasons}{}",
        sentence(verdict, run.judged.standbys.is_some()),
        drilled(run)
    )
}

/// The verdict on several runs.
pub(crate) fn over_all(runs: &[Run]) -> String {
    let worst = runs.iter().map(|run| run.judged.verdict()).fold(Verdict::Held, Verdict::join);
    let of = |verdict| runs.iter().filter(|run| run.judged.verdict() == verdict).count();
    let said = match worst {
        Verdict::Held => format!("All of {} runs held.", runs.len()),
        _ => format!("{} held, {} broken, {} unknown.", of(Verdict::Held), of(Verdict::Broken), of(Verdict::Unknown)),
    };
    format!("<div class=\"verdict {worst}\" data-verdict=\"{worst}\"><strong>{worst}</strong> {said}</div>\n")
}

/// What was done, in a sentence.
fn drilled(run: &Run) -> String {
    let Some(drill) = run.drill() else { return String::new() };
    let plan = &drill.evidence.plan;
    let rate =
        plan.rate_per_s.map_or("as many writes as possible".to_owned(), |rate| format!("{rate} writes per second"));
    let faults: Vec<String> = run
        .takeovers
        .iter()
        .map(|takeover| {
            let was = if takeover.fault_proven_us.is_some() { "was" } else { "was to be" };
            let what = match takeover.fault {
                Fault::Kill => "killed",
                Fault::Stop => "shut down",
                Fault::Freeze => "frozen",
                Fault::Stall => "frozen for a while",
            };
            format!("{} {was} {what}", takeover.old_primary)
        })
        .collect();
    let shown = match faults.len() {
        0 => "no fault was begun".to_owned(),
        1..4 => faults.join(", then "),
        more => format!("{}, and so on: {more} faults", faults[..2].join(", then ")),
    };
    html_paragraph(&format!(
        "Under {rate} from {}, {shown}. Commits waited for standbys as in {}; {}, PostgreSQL {}, {}.",
        report::show::count(plan.clients, "client"),
        plan.sync,
        report::show::count(plan.standbys, "standby"),
        plan.pg_version,
        plan.backend
    ))
}

fn html_paragraph(said: &str) -> String {
    format!("<p>{}</p>\n", html::text(said))
}
