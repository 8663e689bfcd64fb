//! Which image nodes are made of.

use anyhow::{Context as _, Result, ensure};
use program::progress::Progress;

use super::engine::Engine;
use crate::binaries::MAJORS;
use crate::state::LabState;
use crate::wanted::Wanted;

/// The major version of PostgreSQL where nothing else is said and no image is there.
const DEFAULT_MAJOR: u32 = 17;

/// The image that `cargo xtask image` builds for a major version.
#[must_use]
pub fn own(major: u32) -> String {
    format!("understudy-postgres:{major}")
}

/// The registry's image of a major version.
fn official(major: u32) -> String {
    format!("postgres:{major}")
}

/// The image that was asked for by name or by version; else one that is here; else the registry's. It is there when
/// this returns.
///
/// # Errors
/// If it is neither here nor can be had.
pub fn ensure(engine: &Engine, asked: Option<&str>, major: Option<u32>, progress: &Progress) -> Result<String> {
    if let Some(major) = major {
        ensure!(MAJORS.contains(&major), "--pg-version {major}: known are {MAJORS:?}");
    }
    let image = match (asked, major) {
        (Some(image), _) => image.to_owned(),
        (None, Some(major)) => {
            [own(major), official(major)].into_iter().find(|image| engine.has_image(image)).unwrap_or(official(major))
        }
        (None, None) => {
            let here =
                MAJORS.rev().flat_map(|major| [own(major), official(major)]).find(|image| engine.has_image(image));
            here.unwrap_or_else(|| official(DEFAULT_MAJOR))
        }
    };
    if !engine.has_image(&image) {
        progress.step(format!("pulling {image}"));
        engine
            .pull(&image)
            .context("it is not on this machine; `cargo xtask image` builds one from Debian's packages")?;
    }
    Ok(image)
}

/// An image, as a lab keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// The name that it was asked for or found by.
    pub(super) name: String,
    /// What that name led to when the lab was made, by the engine's id, which is a digest of all that is in it; `None` of a lab
    /// that is older than this.
    pub(super) id: Option<String>,
}

/// The image of the lab that is wanted: of one that is there (`old`) the very image that it was made of, wherever its name has
/// been moved since. Data and figures are those of one PostgreSQL; another one is for whoever asks for it.
///
/// # Errors
/// If it is neither here nor can be had, or another one was asked for than the lab has.
pub(super) fn choose(wanted: &Wanted, old: Option<&LabState>, engine: &Engine, progress: &Progress) -> Result<Image> {
    let (asked, major, lab) = (wanted.image.as_deref(), wanted.binaries.major, &wanted.name);
    let Some(old) = old else {
        let name = ensure(engine, asked, major, progress)?;
        let id = engine.image_id(&name)?;
        return Ok(Image { name, id: Some(id) });
    };
    let same = old.image()?;
    if asked.or(Some(same)) != Some(same) || (asked.is_none() && major.is_some()) {
        let asked = ensure(engine, asked, major, progress)?;
        ensure!(
            asked == same,
            "lab {lab} is made of {same}, not {asked}: take it down first (`setup --down --name {lab}`)"
        );
    }
    match &old.image_id {
        Some(id) => stay(id, same, lab, engine, progress)?,
        None => drop(ensure(engine, Some(same), None, progress)?),
    }
    Ok(Image { name: same.to_owned(), id: old.image_id.clone() })
}

/// Sees that the image of a lab is here, and says so if its name leads to another one by now.
fn stay(id: &str, name: &str, lab: &str, engine: &Engine, progress: &Progress) -> Result<()> {
    ensure!(
        engine.has_image(id),
        "the image {id} ({name}), which lab {lab} is made of, is not on this machine any more: load it again, or take the lab \
         down (`setup --down --name {lab}`)"
    );
    if engine.image_id(name).is_ok_and(|now| now != id) {
        progress.say(&format!(
            "{name} is another image by now; lab {lab} stays with the one that it was made of (`setup --down --name {lab}`, \
             and set up again, takes the new one)"
        ));
    }
    Ok(())
}
