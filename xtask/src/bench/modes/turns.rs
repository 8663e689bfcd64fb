//! In which order drills are held, and which of them are left.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use report::modes::ModeRow;

use super::super::dice::Dice;
use super::matrix::Cell;

/// One drill that is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Its place, from 1.
    pub(super) number: u64,
    /// Which repetition of the cell, from 1.
    pub(super) repetition: u64,
    /// The cell's place in the matrix.
    pub(super) cell: usize,
}

/// All turns: round by round each cell once, the cells of each round in an order of its own. A machine that gets slower, or is
/// busy for a while, then does so to all cells alike; and whoever ends it early has each cell about as often.
pub(super) fn turns(cells: usize, repetitions: u64, seed: u64) -> Vec<Turn> {
    let mut dice = Dice::new(seed);
    let round = |repetition| {
        let cells = dice.some(cells as u64, cells as u64);
        cells.into_iter().map(move |cell| (repetition, cell as usize - 1)).collect::<Vec<_>>()
    };
    let all = (1..=repetitions).flat_map(round);
    all.zip(1..).map(|((repetition, cell), number)| Turn { number, repetition, cell }).collect()
}

/// The turns that have no row yet.
///
/// # Errors
/// If there is a row that is none of theirs: it is of another matrix, and nothing is to be mixed.
pub(super) fn left(turns: &[Turn], cells: &[Cell], rows: &[ModeRow]) -> Result<Vec<Turn>> {
    let is_of = |row: &ModeRow, turn: &Turn| {
        (row.turn, row.repetition) == (turn.number, turn.repetition) && row.factors() == cells[turn.cell].factors
    };
    for row in rows {
        ensure!(
            turns.iter().any(|turn| is_of(row, turn)),
            "its row of turn {} ({}) is none of this matrix and seed: begin a new run without --resume",
            row.turn,
            row.run
        );
        let same = rows.iter().filter(|other| other.turn == row.turn).count();
        ensure!(same == 1, "it has {same} rows of turn {}: a drill counts once; remove what was put there", row.turn);
    }
    Ok(turns.iter().filter(|turn| !rows.iter().any(|row| is_of(row, turn))).copied().collect())
}

/// The rows that a file has. A last line that does not end was being written when everything stopped: it is cut off.
/// Returns whether that was so.
///
/// # Errors
/// If it cannot be read or cut, or holds other rows.
pub(super) fn rows(dir: &Path, file: &str) -> Result<(Vec<ModeRow>, bool)> {
    let (rows, whole, torn) = look(dir, file)?;
    if torn {
        let path = dir.join(file);
        let opened = File::options().write(true).open(&path);
        opened.and_then(|file| file.set_len(whole)).with_context(|| path.display().to_string())?;
    }
    Ok((rows, torn))
}

/// The rows that a file has, which stays as it is; the length of what is whole of it; whether there is more.
///
/// # Errors
/// If it cannot be read, or holds other rows.
pub(super) fn look(dir: &Path, file: &str) -> Result<(Vec<ModeRow>, u64, bool)> {
    let path = dir.join(file);
    if !path.exists() {
        return Ok((Vec::new(), 0, false));
    }
    let there = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let whole = there.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let rows = match whole {
        0 => Vec::new(),
        whole => report::rows::read(&there[..whole]).with_context(|| path.display().to_string())?,
    };
    Ok((rows, whole as u64, whole < there.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use program::append::append;
    use report::modes::ModeRow;

    use super::{left, rows, turns};
    use crate::bench::modes::figures::blank;
    use crate::bench::modes::matrix::{Cell, Matrix};

    #[test]
    fn each_round_has_each_cell_once_and_the_same_seed_has_the_same_order() {
        let all = turns(8, 5, 42);
        assert_eq!(all, turns(8, 5, 42));
        assert_ne!(all, turns(8, 5, 43));
        assert_eq!(all.iter().map(|turn| turn.number).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        for (round, repetition) in all.chunks(8).zip(1..) {
            assert!(round.iter().all(|turn| turn.repetition == repetition), "{round:?}");
            assert_eq!(round.iter().map(|turn| turn.cell).collect::<BTreeSet<_>>(), (0..8).collect());
        }
        let orders: BTreeSet<Vec<usize>> =
            all.chunks(8).map(|round| round.iter().map(|turn| turn.cell).collect()).collect();
        assert!(orders.len() > 1, "each round has an order of its own");
    }

    fn cells() -> Vec<Cell> {
        let text =
            "sync = ['async', 'on']\nrate = [500, 'max']\nsettings = [{}, { work_mem = '1MB' }]\nrepetitions = 2";
        Matrix::parse("mine.toml", text).unwrap().cells
    }

    fn row(turn: &super::Turn, cells: &[Cell]) -> ModeRow {
        blank("r", turn, &cells[turn.cell], &turn.number.to_string()).unwrap()
    }

    #[test]
    fn what_has_a_row_is_not_held_again_and_all_else_is() {
        let (cells, all) = (cells(), turns(8, 2, 7));
        let dir = tempfile::tempdir().unwrap();
        let done: Vec<ModeRow> = [0, 1, 5].map(|at: usize| row(&all[at], &cells)).to_vec();
        append(&dir.path().join("modes.csv"), &done).unwrap();
        let (there, torn) = rows(dir.path(), "modes.csv").unwrap();
        assert_eq!((&there, torn), (&done, false));
        let still: Vec<u64> = left(&all, &cells, &there).unwrap().iter().map(|turn| turn.number).collect();
        assert_eq!(still, [3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let said = left(&turns(8, 2, 8), &cells, &there).unwrap_err().to_string();
        assert!(said.contains("none of this matrix and seed"), "{said}");
        let twice = [there.clone(), vec![there[1].clone()]].concat();
        let said = left(&all, &cells, &twice).unwrap_err().to_string();
        assert!(said.contains("2 rows of turn 2: a drill counts once"), "{said}");
    }

    #[test]
    fn a_last_line_that_is_torn_is_cut_off_and_its_drill_is_held_again() {
        let (cells, all) = (cells(), turns(8, 2, 7));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("modes.csv");
        append(&path, &[row(&all[0], &cells), row(&all[1], &cells)]).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let second = whole.trim_end().rfind('\n').unwrap() + 1;
        for end in [whole.len() - 1, second + 5, second + 1] {
            fs::write(&path, &whole[..end]).unwrap();
            let (there, torn) = rows(dir.path(), "modes.csv").unwrap();
            assert_eq!((there.len(), torn), (1, true));
            assert_eq!(left(&all, &cells, &there).unwrap().len(), 15);
            assert_eq!(fs::read_to_string(&path).unwrap(), whole[..second], "so that more can be appended");
        }
        fs::write(&path, "run,tu").unwrap();
        assert_eq!(rows(dir.path(), "modes.csv").unwrap(), (Vec::new(), true), "it had not even a header");
        append(&path, &[row(&all[0], &cells)]).unwrap();
        assert_eq!(rows(dir.path(), "modes.csv").unwrap().0.len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(rows(dir.path(), "modes.csv").unwrap(), (Vec::new(), false));
    }
}
