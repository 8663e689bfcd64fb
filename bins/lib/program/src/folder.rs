//! The folder of a run, read back. It may come from anywhere: nothing in it is waited for, and
//! nothing of it is shown as a line of ours.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, Result};
use report::evidence::Evidence;
use report::seal::Seal;
use serde::de::DeserializeOwned;

use crate::fields::OneLineFields;
use crate::trust;

/// A file of the folder.
///
/// # Errors
/// If it cannot be opened, or is no plain file: a pipe would be waited for.
pub fn open(dir: &Path, file: &str) -> Result<BufReader<OneLineFields<File>>> {
    Ok(BufReader::new(OneLineFields::of(trust::open_plain(&dir.join(file))?)))
}

/// The rows of a file that somebody names.
///
/// # Errors
/// As [`rows`].
pub fn rows_of<Row: DeserializeOwned>(file: &Path) -> Result<Vec<Row>> {
    let open = OneLineFields::of(trust::open_plain(file)?);
    report::rows::read(BufReader::new(open)).with_context(|| file.display().to_string())
}

/// The rows of a file of the folder.
///
/// # Errors
/// If it cannot be read, or holds other rows.
pub fn rows<Row: DeserializeOwned>(dir: &Path, file: &str) -> Result<Vec<Row>> {
    rows_of(&dir.join(file))
}

/// The lines and the MD5 of a file of the folder.
///
/// # Errors
/// If it cannot be read.
pub fn seal(dir: &Path, file: &str) -> Result<Seal> {
    Seal::of(open(dir, file)?).with_context(|| dir.join(file).display().to_string())
}

/// What the folder holds of a drill, to be judged.
///
/// # Errors
/// If a file is not there, cannot be read, or is not what it was when the drill ended.
pub fn evidence(dir: &Path) -> Result<Evidence> {
    Evidence::read(|file| open(dir, file))
}
