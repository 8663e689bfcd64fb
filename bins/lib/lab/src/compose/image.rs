//! Which image nodes are made of.

use anyhow::{Context as _, Result, ensure};
use program::progress::Progress;

use super::engine::Engine;
use crate::binaries::MAJORS;

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
