//! The comparison of the standbys with their primary, and what it covered.

use std::collections::BTreeMap;

use report::show::count;
use report::summary;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use super::{note, section};
use crate::html;
use crate::run::Run;

/// How many rows are shown; the rest is in `verify.csv`.
const SHOWN: usize = 40;

pub(crate) fn standbys(run: &Run) -> String {
    let body = match &run.judged.standbys {
        None => note("The standbys were not compared in this run."),
        Some(Err(error)) => note(&format!("unknown: {error:#}")),
        Some(Ok(found)) => {
            let said = summary::verify(&found.rows);
            let said = said.strip_prefix("standbys").unwrap_or(&said).trim_start();
            let ended =
                found.ended.map_or(String::new(), |ended| format!(" verify-replication itself ended as {ended}."));
            format!("<p>{}.{ended}</p>\n{}{}", html::text(said), coverage(&found.rows), table(&found.rows))
        }
    };
    section("Standbys compared", &body)
}

/// What was compared of each standby, and how it is known to follow this primary.
fn coverage(rows: &[VerifyRow]) -> String {
    let mut standbys: BTreeMap<&str, Vec<&VerifyRow>> = BTreeMap::new();
    for row in rows {
        standbys.entry(&row.standby).or_default().push(row);
    }
    let items = standbys.into_iter().map(|(standby, rows)| {
        let tables = rows.iter().filter(|row| row.is_table()).count() as u64;
        let sequences = rows.iter().filter(|row| row.table.starts_with("sequence ")).count() as u64;
        let indexes: u64 = rows.iter().filter_map(|row| row.indexes).sum();
        let catalogs = rows.iter().any(|row| row.table == VerifyRow::CATALOGS);
        let objects = rows.iter().any(|row| row.table == VerifyRow::LARGE_OBJECTS);
        let unread = rows.iter().filter(|row| row.verdict == Verdict::Unknown).count() as u64;
        let descent = rows.iter().find_map(|row| row.descent);
        format!(
            "<li>{}: {}, {}, {}{}{}; {}{}</li>\n",
            html::text(standby),
            count(tables, "table"),
            count(indexes, "index").replace("indexs", "indexes"),
            count(sequences, "sequence"),
            if catalogs { ", the catalogs" } else { "" },
            if objects { ", large objects" } else { "" },
            descent.map_or("it is not known to follow this primary".to_owned(), |descent| format!("it {descent}")),
            if unread > 0 { format!("; {} could not be compared", count(unread, "part")) } else { String::new() }
        )
    });
    format!("<ul>{}</ul>\n", items.collect::<String>())
}

fn table(rows: &[VerifyRow]) -> String {
    let head =
        ["table", "standby", "rows", "there", "missing", "extra", "different", "corrupt", "index faults", "verdict"];
    let mut rows: Vec<&VerifyRow> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.verdict)); // a stable sort: among equals the order of the file
    let number = |number: Option<u64>| number.map_or("–".to_owned(), |number| number.to_string());
    let cells = |row: &&VerifyRow| {
        let figures =
            [row.rows_primary, row.rows_standby, row.missing, row.extra, row.different, row.corrupt, row.index_faults];
        let mut cells = vec![html::text(&row.table), html::text(&row.standby)];
        cells.extend(figures.map(number));
        cells.push(format!("<span class=\"{0}\">{0}</span>", row.verdict));
        cells
    };
    let shown: Vec<Vec<String>> = rows.iter().take(SHOWN).map(cells).collect();
    let more = match rows.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("<p class=\"note\">{more} more, in verify.csv.</p>\n"),
    };
    html::table("rows", &head.map(str::to_owned), &shown) + &more
}
