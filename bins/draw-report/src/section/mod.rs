//! The parts of the page, in the order in which they stand there.

pub(crate) mod figures;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod latency;
pub(crate) mod loss;
pub(crate) mod modes;
pub(crate) mod settings;
pub(crate) mod side_by_side;
pub(crate) mod standbys;
pub(crate) mod takeover;
pub(crate) mod verdict;

/// A part with its heading.
pub(crate) fn section(heading: &str, body: &str) -> String {
    format!("<section><h2>{heading}</h2>\n{body}</section>\n")
}

/// A sentence about a part that is not there, or cannot be read.
pub(crate) fn note(said: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", crate::html::text(said))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::{Path, PathBuf};

    /// The folder of a sample.
    pub(crate) fn sample(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(name)
    }
}
