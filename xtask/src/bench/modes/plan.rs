//! What a run of `bench modes` is to be: said before it begins, kept in its folder, and read from there to go on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use program::clock::Clock;
use program::sink;
use report::foreign::in_line;
use report::modes::FACTORS;
use report::seal::Seal;
use report::show;
use serde::{Deserialize, Serialize};

use super::matrix::{BUILT_IN, Matrix};
use super::turns::{Turn, turns};
use super::{Args, MATRIX};

/// Where a run keeps what it was asked beside the matrix.
const ASKED: &str = "bench.toml";
/// Where it keeps the matrix as it was.
const KEPT: &str = "matrix.toml";

/// Time for a drill beyond its load, on a small machine: a lab with one standby, data, the takeover, the raw floor, the comparison.
const BESIDE: Duration = Duration::from_secs(9);
/// Time for each further standby.
const STANDBY: Duration = Duration::from_secs(2);

/// What was asked beside the matrix.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The matrix's name.
    pub(super) matrix: String,
    /// The MD5 of its file, so that no other one is gone on with.
    pub(super) matrix_md5: String,
    /// The run's name; empty until it has one.
    pub(super) run: String,
    /// Which order.
    pub(super) seed: u64,
    /// How often each cell.
    pub(super) repetitions: u64,
    /// Which cells; all, if it is empty.
    pub(super) only: Vec<String>,
}

fn md5(text: &str) -> Result<String> {
    Ok(Seal::of(text.as_bytes())?.md5)
}

/// A matrix and the order of its drills.
pub(super) struct Plan {
    pub(super) asked: Asked,
    pub(super) matrix: Matrix,
    pub(super) turns: Vec<Turn>,
    /// The matrix's file.
    text: String,
}

impl Plan {
    /// That of a new run.
    ///
    /// # Errors
    /// If the matrix cannot be read, or is none.
    pub(super) fn of(args: &Args) -> Result<Plan> {
        let (name, text) = find(args.matrix.as_deref().unwrap_or(MATRIX))?;
        let repetitions = Matrix::parse(&name, &text)?.repetitions;
        // Any number does, and it is said: who wants the same order again gives it.
        let seed = args.seed.unwrap_or_else(|| Clock::starting_now().origin_ns() / 1_000 % 1_000_000);
        let asked = Asked {
            matrix: name,
            matrix_md5: md5(&text)?,
            run: String::new(),
            seed,
            repetitions: args.repetitions.unwrap_or(repetitions),
            only: args.only.clone(),
        };
        Plan::made(asked, text)
    }

    /// That of a run that was begun.
    ///
    /// # Errors
    /// If the folder is not that of such a run.
    pub(super) fn read(dir: &Path) -> Result<Plan> {
        let read = |file: &str| {
            let path = dir.join(file);
            program::trust::read_plain(&path).with_context(|| {
                format!(
                    "{}: --resume takes the folder of a `cargo xtask bench modes`, and this has no such file",
                    path.display()
                )
            })
        };
        let asked = read(ASKED)?;
        let asked: Asked = toml::from_str(&asked).map_err(|error| {
            let said = in_line(&asked, error.span().map(|span| span.start), error.message());
            anyhow!("{}: {said}", dir.join(ASKED).display())
        })?;
        let text = read(KEPT)?;
        ensure!(
            md5(&text)? == asked.matrix_md5,
            "{} was changed since the run began: its drills would be others; begin a new run without --resume",
            dir.join(KEPT).display()
        );
        Plan::made(asked, text)
    }

    fn made(asked: Asked, text: String) -> Result<Plan> {
        let mut matrix = Matrix::parse(&asked.matrix, &text)?;
        asked.only.iter().try_for_each(|only| matrix.keep_only(only))?;
        ensure!(!matrix.cells.is_empty(), "--only leaves no cell of {}", asked.matrix);
        let turns = turns(matrix.cells.len(), asked.repetitions, asked.seed);
        Ok(Plan { asked, matrix, turns, text })
    }

    /// Keeps it in the run's new folder.
    ///
    /// # Errors
    /// If that cannot be written to.
    pub(super) fn keep(&self, dir: &Path) -> Result<()> {
        for (file, text) in [(ASKED, &toml::to_string(&self.asked)?), (KEPT, &self.text)] {
            fs::write(dir.join(file), text).with_context(|| dir.join(file).display().to_string())?;
        }
        Ok(())
    }

    /// What the run's folder is called after: the matrix, as far as that is a plain word. A run's name is not long.
    pub(super) fn what(&self) -> String {
        let stem = Path::new(&self.asked.matrix).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let plain: String =
            stem.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(18).collect();
        if plain.is_empty() { "modes".to_owned() } else { plain }
    }

    /// How long these take, as far as it can be known before.
    pub(super) fn expected(&self, turns: &[Turn]) -> Duration {
        turns.iter().map(|turn| self.one(turn)).sum()
    }

    fn one(&self, turn: &Turn) -> Duration {
        let cell = &self.matrix.cells[turn.cell];
        let option = |name: &str| cell.words.windows(2).find(|words| words[0] == name).map(|words| words[1].as_str());
        let load = option("--duration").and_then(|text| program::duration::parse(text).ok()).unwrap_or_default();
        let more = cell.factor("standbys").parse::<u32>().unwrap_or(1).saturating_sub(1);
        load + BESIDE + STANDBY * more
    }

    /// How much there is to do, in a sentence or two.
    pub(super) fn said(&self, left: &[Turn]) -> String {
        let Plan { asked, matrix, turns, .. } = self;
        let about = if matrix.about.is_empty() { String::new() } else { format!(": {}", matrix.about) };
        let there = match turns.len() - left.len() {
            0 => String::new(),
            there => format!("; {there} of them are there, {} are left", left.len()),
        };
        format!(
            "{}{about}\n{} × {} = {}{there}; about {}; seed {}",
            asked.matrix,
            show::count(matrix.cells.len() as u64, "cell"),
            show::count(asked.repetitions, "repetition"),
            show::count(turns.len() as u64, "drill"),
            time(self.expected(left)),
            asked.seed
        )
    }

    /// Prints each drill in its turn, as it is typed.
    ///
    /// # Errors
    /// As [`sink::print_line`].
    pub(super) fn print(&self, left: &[Turn]) -> Result<()> {
        for turn in left {
            let cell = &self.matrix.cells[turn.cell];
            sink::print_line(&format!("{:>4}  cargo xtask drill {}", turn.number, cell.words.join(" ")))?;
        }
        Ok(())
    }

    /// A cell in a few words: the factors that not all cells have alike; of a single cell its sync mode.
    pub(super) fn name(&self, turn: &Turn) -> String {
        let cell = &self.matrix.cells[turn.cell];
        let differs = |name: &str| self.matrix.cells.iter().any(|other| other.factor(name) != cell.factor(name));
        let named = FACTORS.into_iter().filter(|name| differs(name));
        let words: Vec<String> = named.map(|name| shown(name, cell.factor(name))).collect();
        if words.is_empty() { format!("sync {}", cell.factor("sync")) } else { words.join(", ") }
    }
}

fn shown(factor: &str, value: &str) -> String {
    if value.is_empty() { format!("no {factor}") } else { format!("{factor} {value}") }
}

/// About how long: `45 s`, `12 min`.
pub(super) fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// The text of a matrix by its name, or by its path.
fn find(matrix: &str) -> Result<(String, String)> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == matrix) {
        return Ok(((*name).to_owned(), (*text).to_owned()));
    }
    let names = BUILT_IN.map(|(name, _)| name).join(", ");
    match fs::read_to_string(matrix) {
        Ok(text) => Ok((matrix.to_owned(), text)),
        Err(error) => bail!("{matrix}: {error}; give the path of a TOML file, or one of {names}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Plan};

    fn plan(only: &[&str]) -> Plan {
        let asked = Asked {
            matrix: "sync-modes".to_owned(),
            matrix_md5: super::md5(super::BUILT_IN[0].1).unwrap(),
            run: "r".to_owned(),
            seed: 3,
            repetitions: 2,
            only: only.iter().map(|only| (*only).to_owned()).collect(),
        };
        Plan::made(asked, super::BUILT_IN[0].1.to_owned()).unwrap()
    }

    #[test]
    fn what_is_kept_is_the_same_plan_again() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), plan(&["standbys=2"]));
        plan.keep(dir.path()).unwrap();
        let again = Plan::read(dir.path()).unwrap();
        assert_eq!((&again.turns, &again.matrix.cells), (&plan.turns, &plan.matrix.cells));
        assert_eq!(again.turns.len(), 8);
        let kept = dir.path().join("matrix.toml");
        std::fs::write(&kept, std::fs::read_to_string(&kept).unwrap() + "backend = \"compose\"\n").unwrap();
        let said = format!("{:#}", Plan::read(dir.path()).err().unwrap());
        assert!(said.contains("matrix.toml was changed since the run began"), "{said}");
        let said = format!("{:#}", Plan::read(&dir.path().join("nowhere")).err().unwrap());
        assert!(said.contains("nowhere/bench.toml: --resume takes the folder of"), "{said}");
    }

    #[test]
    fn size_and_time_are_said() {
        let plan = plan(&[]);
        let said = plan.said(&plan.turns[6..]);
        assert!(
            said.contains("8 cells × 2 repetitions = 16 drills; 6 of them are there, 10 are left; about "),
            "{said}"
        );
        assert!(said.ends_with("; seed 3"), "{said}");
        assert!(plan.name(&plan.turns[0]).starts_with("sync "), "{}", plan.name(&plan.turns[0]));
        assert_eq!(plan.what(), "sync-modes");
    }
}
