//! GitHub Actions: an annotation for each reason, and the summary of the step. Elsewhere nothing is said.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use program::progress::tell;

use super::Outcome;

/// GitHub shows ten of a step.
const ANNOTATIONS: usize = 10;

/// Tells GitHub, if it is what runs us. On stderr, which it reads as well: stdout is data.
///
/// # Errors
/// If the summary of the step cannot be appended to.
pub(super) fn tell_outcome(outcome: &Outcome) -> Result<()> {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|set| set == "true") {
        annotations(outcome).iter().for_each(|line| tell(line));
    }
    match std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => append(Path::new(&path), &summary(outcome)),
        None => Ok(()),
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())
}

/// A workflow command for each reason, the worst first.
pub(super) fn annotations(outcome: &Outcome) -> Vec<String> {
    let mut reasons: Vec<_> = outcome.reasons.iter().collect();
    reasons.sort_by_key(|why| std::cmp::Reverse(why.reason.verdict));
    let title = |verdict| property(&format!("failover drill {verdict}"));
    let mut lines: Vec<String> = reasons
        .iter()
        .map(|why| {
            let drill = why.drill.map_or(String::new(), |number| format!("run {number}: "));
            let takeover = why.reason.step.map_or(String::new(), |step| format!("takeover {step}: "));
            format!(
                "::error title={}::{}",
                title(why.reason.verdict),
                data(&format!("{drill}{takeover}{}", why.reason.why))
            )
        })
        .collect();
    if lines.len() > ANNOTATIONS {
        let more = report::show::count((lines.len() - ANNOTATIONS + 1) as u64, "more reason");
        lines.truncate(ANNOTATIONS - 1);
        let last = format!("and {more}: the drill's own output has them");
        lines.push(format!("::error title={}::{}", title(outcome.verdict), data(&last)));
    }
    lines
}

/// What stands behind the `::` of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of one.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Markdown: what the screen said, indented, so that nothing in it is taken for a mark.
pub(super) fn summary(outcome: &Outcome) -> String {
    let reasons = || outcome.reasons.iter().map(|why| why.reason.to_string()).collect::<Vec<_>>().join("\n");
    let said = if outcome.said.is_empty() { reasons() } else { outcome.said.clone() };
    let said: String = report::foreign::for_terminal(&said).lines().map(|line| format!("    {line}\n")).collect();
    let asked = &outcome.asked;
    // Behind whatever another step has left without the end of its line.
    format!("\n### Failover drill ({}, sync {}): {}\n\n{said}\n", asked.fault, asked.sync, outcome.verdict)
}
