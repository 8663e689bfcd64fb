//! The settings that the claims of a run depend on, node by node.

use std::collections::{BTreeMap, BTreeSet};

use super::{note, section};
use crate::html;
use crate::run::Run;

pub(crate) fn settings(run: &Run) -> String {
    let rows = match &run.settings {
        Ok(rows) => rows,
        Err(error) => return section("Settings", &note(&format!("Not known: {error:#}"))),
    };
    let nodes: BTreeSet<&str> = rows.iter().map(|row| &*row.node).collect();
    let mut names: BTreeMap<&str, BTreeMap<&str, (&str, bool)>> = BTreeMap::new();
    for row in rows {
        names.entry(&row.name).or_default().insert(&row.node, (&row.value, row.source == "default"));
    }
    let cell = |value: Option<&(&str, bool)>| match value {
        None => "–".to_owned(),
        Some(("", _)) => "(empty)".to_owned(),
        Some((value, true)) => format!("<span class=\"faint\">{}</span>", html::text(value)),
        Some((value, false)) => html::text(value),
    };
    let head: Vec<String> = std::iter::once(String::new()).chain(nodes.iter().map(|node| html::text(node))).collect();
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|(name, values)| {
            std::iter::once(html::text(name)).chain(nodes.iter().map(|node| cell(values.get(node)))).collect()
        })
        .collect();
    let caption = "<p class=\"caption\">As the servers said it in this run; what is a default is pale.</p>\n";
    section(
        "Settings",
        &format!(
            "<details><summary>{} settings</summary>{caption}{}</details>\n",
            rows.len(),
            html::table("rows", &head, &rows)
        ),
    )
}
