//! The files of a run, with links.

use std::fs;

use report::show::count;

use super::{note, section};
use crate::html;
use crate::run::Run;

pub(crate) fn files(run: &Run) -> String {
    let entries = match fs::read_dir(&run.dir) {
        Ok(entries) => entries,
        Err(error) => return section("Files", &note(&format!("cannot be listed: {error}"))),
    };
    let mut files: Vec<(String, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().into_string().ok()?, entry.metadata().ok().filter(fs::Metadata::is_file)?.len()))
        })
        .filter(|(name, _)| name != "report.html")
        .collect();
    files.sort();
    let item = |(name, size): &(String, u64)| {
        let link = html::link(&run.dir.join(name).display().to_string());
        format!("<li><a href=\"{link}\">{}</a> <span class=\"faint\">{}</span></li>\n", html::text(name), bytes(*size))
    };
    let items: String = files.iter().map(item).collect();
    section("Files", &format!("<ul class=\"files\">{items}</ul>\n"))
}

fn bytes(size: u64) -> String {
    match size {
        0..10_000 => count(size, "byte"),
        10_000..10_000_000 => format!("{} kB", size / 1_000),
        _ => format!("{} MB", size / 1_000_000),
    }
}
