//! The page: one run, or several side by side and then each by itself.

use anyhow::Result;
use report::history::HistoryRow;
use report::modes::ModeRow;
use report::show::count;
use report::verdict::Verdict;

use crate::chart::lag;
use crate::html;
use crate::run::Run;
use crate::section::{self, figures, files, latency, loss, settings, side_by_side, standbys, takeover, verdict};

/// How it looks: light and dark, on paper, and on narrow screens.
const STYLE: &str = include_str!("page.css");

/// # Errors
/// If a picture cannot be painted.
pub(crate) fn page(runs: &[Run]) -> Result<String> {
    let (title, body) = match runs {
        [only] => (only.name(), one(only)?),
        several => (format!("{} runs", several.len()), beside(several)?),
    };
    Ok(whole(&title, worst(runs.iter().map(|run| run.judged.verdict())), &body))
}

/// The history of drills.
///
/// # Errors
/// If a picture cannot be painted.
pub(crate) fn history(rows: &[HistoryRow]) -> Result<String> {
    let worst = worst(rows.iter().map(|row| row.verdict));
    Ok(whole(&count(rows.len() as u64, "takeover"), worst, &section::history::history(rows)?))
}

/// The price list of a matrix.
///
/// # Errors
/// If a picture cannot be painted.
pub(crate) fn modes(rows: &[ModeRow]) -> Result<String> {
    let worst = worst(rows.iter().map(|row| row.verdict));
    // The run of a drill is that of the benchmark with the drill's turn behind it.
    let run = rows.first().and_then(|row| row.run.strip_suffix(&row.folder.replacen("run", "", 1)));
    Ok(whole(run.unwrap_or("The price list"), worst, &section::modes::modes(rows)?))
}

/// The verdict on all of them; where there is none nothing was seen.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.reduce(Verdict::join).unwrap_or(Verdict::Unknown)
}

fn whole(title: &str, worst: Verdict, body: &str) -> String {
    let title = html::text(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{worst}: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header><h1>{title}</h1></header>\n<main>\n{body}</main>\n\
         <footer>Drawn by pg-understudy {} from the files of the run. docs/figures.md defines each figure.</footer>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION")
    )
}

fn beside(runs: &[Run]) -> Result<String> {
    let mut body = verdict::over_all(runs);
    body.push_str(&side_by_side::side_by_side(runs)?);
    for (index, run) in runs.iter().enumerate() {
        let (name, verdict) = (html::text(&run.name()), run.judged.verdict());
        body.push_str(&format!(
            "<details class=\"run\" id=\"run{}\"><summary>{name}: <span class=\"{verdict}\">{verdict}</span></summary>\n{}</details>\n",
            index + 1,
            one(run)?
        ));
    }
    Ok(body)
}

/// All that there is to be seen of one run.
fn one(run: &Run) -> Result<String> {
    let mut body = verdict::verdict(run);
    body.push_str(&figures::figures(run));
    if let Some(drill) = run.drill() {
        for takeover in &run.takeovers {
            body.push_str(&takeover::takeover(drill, takeover, run.takeovers.len())?);
        }
    }
    if let Some(Ok(rows)) = &run.judged.lag {
        let picture = lag::lag(rows, &run.takeovers)?.unwrap_or_else(|| section::note("There is no sample."));
        body.push_str(&section::section("Visible lag", &picture));
    }
    body.push_str(&latency::latency(run)?);
    body.push_str(&loss::loss(run));
    body.push_str(&standbys::standbys(run));
    body.push_str(&settings::settings(run));
    body.push_str(&files::files(run));
    Ok(body)
}
