//! What a pipeline and a monitoring system read of a drill, beside the CSV: `--junit`, `--json`, `--openmetrics`, and the words of
//! GitHub Actions. `docs/ci.md` explains each.
//!
//! A file is there whatever became of the drill, so that nobody takes an old one for it: what cannot be replaced is refused before
//! anything begins, and what only this run's reader looks at says `unknown` until the drill is over.

mod file;
mod github;
mod json;
mod junit;
mod openmetrics;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use program::progress::{tell, warn};
use program::run::{Run, unix_now_s};
use program::stop;
use report::reasons::Reason;
use report::verdict::Verdict;
use serde::Serialize;

use crate::drilled::{Drilled, Judged};
use crate::judge;
use crate::run_folder;
use file::Target;

/// Where the results go beside the run's folder.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The verdict as a test report in JUnit's XML, a test case for each drill. FILE is replaced
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Verdict, reasons and figures as JSON; docs/ci.md has the schema. FILE is replaced
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The figures as metrics, for the textfile collector of Prometheus' node exporter, which reads names that end in `.prom`.
    /// FILE is replaced, at the end
    #[arg(long, value_name = "FILE")]
    openmetrics: Option<PathBuf>,
}

/// What was to be drilled: known also where nothing came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    pub(crate) fault: String,
    pub(crate) sync: String,
    pub(crate) standbys: u32,
}

/// What became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Why it is not `held`, each with the drill that it is about.
    pub(crate) reasons: Vec<Why>,
    /// Those of them that are about no drill that came to an end.
    #[serde(skip)]
    pub(crate) of_all: Vec<Reason>,
    /// When that was known, in seconds since 1970.
    pub(crate) ended_unix_s: i64,
    /// How long all of it took, in microseconds; `None`: nothing had begun.
    pub(crate) took_us: Option<u64>,
    pub(crate) run: Option<String>,
    pub(crate) folder: Option<String>,
    #[serde(flatten)]
    pub(crate) asked: Asked,
    /// Those that came to an end.
    pub(crate) drills: Vec<Drilled>,
    /// What the screen said.
    #[serde(skip)]
    pub(crate) said: String,
}

/// One reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Why {
    /// The number of the drill; `None`: all of it.
    pub(crate) drill: Option<u64>,
    #[serde(flatten)]
    pub(crate) reason: Reason,
}

impl Outcome {
    fn unknown(asked: &Asked, why: String) -> Outcome {
        let reason = Reason { step: None, verdict: Verdict::Unknown, why };
        Outcome {
            verdict: Verdict::Unknown,
            reasons: vec![Why { drill: None, reason: reason.clone() }],
            of_all: vec![reason],
            ended_unix_s: unix_now_s(),
            took_us: None,
            run: None,
            folder: None,
            asked: asked.clone(),
            drills: Vec::new(),
            said: String::new(),
        }
    }

    /// The drills by the numbers of their folders; one that has none is alone.
    fn are_repetitions(&self) -> bool {
        self.drills.iter().any(|drill| drill.number.is_some())
    }
}

/// A run that has a folder.
pub(crate) struct Begun {
    pub(crate) run: Run,
    pub(crate) dir: PathBuf,
    /// What its files say, if somebody has looked already.
    pub(crate) judged: Option<Judged>,
}

/// The files that are asked for.
pub(crate) struct Results {
    files: Vec<(Format, Target)>,
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Junit,
    Json,
    Openmetrics,
}

impl Format {
    fn option(self) -> &'static str {
        match self {
            Format::Junit => "--junit",
            Format::Json => "--json",
            Format::Openmetrics => "--openmetrics",
        }
    }

    /// What goes into the file.
    fn text(self, outcome: &Outcome, path: &Path) -> Result<String> {
        match self {
            Format::Junit => junit::text(outcome),
            Format::Json => json::text(outcome),
            Format::Openmetrics => Ok(openmetrics::text(outcome, path)),
        }
    }
}

impl Results {
    /// Sees that each file can be replaced. JUnit and JSON say from now on that the drill has not ended, which is the truth if this
    /// process is killed. The metrics are those of the last drill until this one ends: whoever plots them is to see no gap.
    ///
    /// # Errors
    /// Which one cannot, and what to do. The others then say that nothing was drilled.
    pub(crate) fn begin(args: &Args, asked: Asked) -> Result<Results> {
        let named =
            [(Format::Junit, &args.junit), (Format::Json, &args.json), (Format::Openmetrics, &args.openmetrics)];
        let given: Vec<(Format, PathBuf)> =
            named.into_iter().filter_map(|(format, file)| Some((format, file.clone()?))).collect();
        let mut results = Results { files: Vec::new(), asked };
        let mut refused = None;
        for (format, path) in given {
            match results.target(&path).with_context(|| format!("{} {}", format.option(), path.display())) {
                Ok(target) => results.files.push((format, target)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if let Some(error) = refused {
            let outcome = Outcome::unknown(&results.asked, format!("nothing was drilled: {error:#}"));
            results.write(&outcome);
            tell_github(&outcome);
            return Err(error);
        }
        let meanwhile = "the drill has not ended: it is still under way, or was killed".to_owned();
        let meanwhile = Outcome::unknown(&results.asked, meanwhile);
        let told = results.files.iter().filter(|(format, _)| *format != Format::Openmetrics);
        for (format, target) in told {
            target.replace(&format.text(&meanwhile, &target.path)?)?;
        }
        Ok(results)
    }

    fn target(&self, path: &Path) -> Result<Target> {
        ensure!(path != Path::new("-"), "stdout is the path of the run's folder: name a file");
        let target = Target::open(&std::path::absolute(path)?)?;
        // By one name, however it was spelt: what leads there may be a link.
        let is_new = self.files.iter().all(|(_, other)| other.path != target.path);
        ensure!(is_new, "another format goes there: name two files");
        Ok(target)
    }

    /// Leaves the files, tells GitHub, and returns the verdict: that of the drill, joined with what its files say.
    ///
    /// # Errors
    /// What ended the drill, unless something was found broken before, which outweighs it; not so a signal.
    pub(crate) fn end(&self, begun: Option<Begun>, held: Result<Verdict>) -> Result<Verdict> {
        let outcome = outcome(&self.asked, begun, &held);
        let written = self.write(&outcome);
        tell_github(&outcome);
        match held {
            Err(error) if outcome.verdict == Verdict::Broken && stop::check().is_ok() => {
                tell(&report::foreign::error(&format!("error: {error:#}")));
                Ok(outcome.verdict)
            }
            Err(error) => Err(error),
            // Whoever asked for a file and has none has not been told.
            Ok(_) => Ok(if written { outcome.verdict } else { outcome.verdict.join(Verdict::Unknown) }),
        }
    }

    /// Whether all of them were written.
    fn write(&self, outcome: &Outcome) -> bool {
        let mut all = true;
        for (format, target) in &self.files {
            if let Err(error) = format.text(outcome, &target.path).and_then(|text| target.replace(&text)) {
                warn(&format!("{} {} was not written: {error:#}", format.option(), target.path.display()));
                all = false;
            }
        }
        all
    }
}

fn tell_github(outcome: &Outcome) {
    if let Err(error) = github::tell_outcome(outcome) {
        warn(&format!("the summary of the step was not written: {error:#}"));
    }
}

/// What the files of the run say, and what they cannot say.
fn outcome(asked: &Asked, begun: Option<Begun>, held: &Result<Verdict>) -> Outcome {
    let because = |why: String| Reason { step: None, verdict: Verdict::Unknown, why };
    let error = held.as_ref().err().map(|error| because(format!("{error:#}")));
    let Some(Begun { run, dir, judged }) = begun else {
        return Outcome::unknown(asked, error.map_or_else(|| "nothing was drilled".to_owned(), |error| error.why));
    };
    let judged = judged.unwrap_or_else(|| judge::read(&dir));
    let mut drills = judged.drills;
    // What a drill lacks that was not held to its end is no news beside what ended it.
    drills.retain(|drill| error.is_none() || !drill.takeovers.is_empty());
    let mut of_all = error.map_or(judged.reasons, |error| vec![error]);
    let found = drills.iter().map(|drill| drill.verdict);
    let found = found.chain(of_all.iter().map(|reason| reason.verdict)).fold(Verdict::Held, Verdict::join);
    let verdict = found.join(held.as_ref().map_or(Verdict::Unknown, |verdict| *verdict));
    if verdict > found {
        let why = format!("a program ended as {verdict}, and its rows do not say why: see the logs of the run");
        of_all.push(Reason { step: None, verdict, why });
    }
    let mut reasons: Vec<Why> = of_all.iter().map(|reason| Why { drill: None, reason: reason.clone() }).collect();
    for drill in &drills {
        reasons.extend(drill.reasons.iter().map(|reason| Why { drill: drill.number, reason: reason.clone() }));
    }
    Outcome {
        verdict,
        reasons,
        of_all,
        ended_unix_s: unix_now_s(),
        took_us: Some(run.clock.now_us()),
        run: Some(run.name.clone()),
        folder: Some(run_folder::shown(&dir)),
        asked: asked.clone(),
        said: if held.is_ok() { judged.said } else { String::new() },
        drills,
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
