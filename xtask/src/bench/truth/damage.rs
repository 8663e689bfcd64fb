//! What is done to the files of a stopped standby.

use super::plan::{Class, Truth};

/// The number of rows of a table whose files are damaged: some dozens of pages.
const ROWS: u64 = 3_000;

/// Text that is looked for in a file; the number of the row follows.
pub(super) const MARK: &str = "flip-me-";

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Table,
    Index,
    Toast,
    VisibilityMap,
}

/// What becomes of it. `sealed`: the page gets the checksum that it should have then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// A bit of a value is flipped.
    Flip { sealed: bool },
    /// A bit of a page is flipped and its checksum left: of one of these pages.
    Break { first: usize, last: usize },
    /// A row's line pointer is called dead.
    Bury,
    /// A page becomes zeros.
    Zero,
    /// The file ends sooner: by whole pages, or in the middle of one.
    Cut { in_page: bool },
    /// The file is gone.
    Remove,
    /// It stays as it was before the primary changed something.
    Left,
    /// A leaf of a btree becomes zeros.
    ZeroLeaf,
    /// A bit of a leaf is flipped and its checksum left.
    BreakLeaf,
    /// Two keys of a leaf lead to each other's rows.
    ExchangeTids,
    /// A page with deleted rows is called all-visible.
    AllVisible,
}

/// A kind of damage: `{t}` is the table, `{i}` its index, without its schema.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) kind: String,
    pub(super) class: Class,
    pub(super) truth: Truth,
    pub(super) make: String,
    /// What the primary does before the files are changed.
    pub(super) change: String,
    /// The same, with no VACUUM after it.
    pub(super) late: String,
    pub(super) file: File,
    pub(super) edit: Edit,
}

/// Damage to tables, their TOAST and their visibility maps.
pub(super) fn of_tables() -> Vec<Damage> {
    use Edit::{AllVisible, Break, Bury, Cut, Flip, Remove, Zero};
    let make = format!(
        "CREATE TABLE {{t}} (id int PRIMARY KEY, v text); INSERT INTO {{t}} SELECT n, '{MARK}' || lpad(n::text, 6, '0')
         || repeat('x', 60) FROM generate_series(1, {ROWS}) AS n;\n"
    );
    let long = format!(
        "CREATE TABLE {{t}} (id int PRIMARY KEY, v text); ALTER TABLE {{t}} ALTER v SET STORAGE EXTERNAL;
         INSERT INTO {{t}} SELECT n, '{MARK}' || lpad(n::text, 6, '0') || repeat(md5(n::text), 100)
         FROM generate_series(1, 60) AS n;\n"
    );
    let damage = |kind: &str, file, edit, truth| Damage {
        kind: kind.to_owned(),
        class: if file == File::VisibilityMap { Class::Index } else { Class::Rows },
        truth,
        make: if file == File::Toast { long.clone() } else { make.clone() },
        change: String::new(),
        late: String::new(),
        file,
        edit,
    };
    let mut all = vec![
        damage("bit_flipped_checksum_right", File::Table, Flip { sealed: true }, Truth::Counted),
        damage("bit_flipped_checksum_wrong", File::Table, Flip { sealed: false }, Truth::Broken),
        // The map calls its page all-visible, which a page with a dead pointer is not: a fault of an index's kind, too.
        damage("line_pointer_dead", File::Table, Bury, Truth::Broken),
        damage("page_checksum_wrong", File::Table, Break { first: 0, last: usize::MAX }, Truth::Broken),
        damage("page_zeroed", File::Table, Zero, Truth::Broken),
        damage("file_cut", File::Table, Cut { in_page: false }, Truth::Broken),
        damage("file_cut_in_a_page", File::Table, Cut { in_page: true }, Truth::Broken),
        damage("file_missing", File::Table, Remove, Truth::Broken),
        damage("toast_bit_flipped_checksum_right", File::Toast, Flip { sealed: true }, Truth::Counted),
        damage("toast_bit_flipped_checksum_wrong", File::Toast, Flip { sealed: false }, Truth::Broken),
        damage("toast_page_zeroed", File::Toast, Zero, Truth::Broken),
        damage("toast_file_cut", File::Toast, Cut { in_page: false }, Truth::Broken),
        damage("toast_file_missing", File::Toast, Remove, Truth::Broken),
    ];
    let deleted = "DELETE FROM {t} WHERE id <= 30;".to_owned(); // all of them lie in the first page
    all.push(Damage {
        late: deleted,
        ..damage("all_visible_over_deleted", File::VisibilityMap, AllVisible, Truth::Broken)
    });
    all
}

/// An index, and what is particular about it.
struct Index {
    name: &'static str,
    columns: &'static str,
    values: &'static str,
    make: &'static str,
    /// For what is no btree: pages that hold rows, from this one to that one.
    pages: Option<(usize, usize)>,
}

const LAST: usize = usize::MAX;
const PLAIN: (&str, &str) = ("id int PRIMARY KEY, a int, v text", "n, n, 'v' || n");

const INDEXES: &[Index] = &[
    of_plain("secondary", "CREATE INDEX {i} ON {t} (a)"),
    of_plain("several_columns", "CREATE INDEX {i} ON {t} (v, a DESC NULLS FIRST) INCLUDE (id)"),
    of_plain("expression", "CREATE INDEX {i} ON {t} ((a * 2))"),
    of_plain("partial", "CREATE INDEX {i} ON {t} (a) WHERE a % 2 = 0"),
    Index { columns: "id int, a int", values: "n, n", ..of_plain("unique", "CREATE UNIQUE INDEX {i} ON {t} (a)") },
    Index { columns: "id int, CONSTRAINT {i} PRIMARY KEY (id)", values: "n", ..of_plain("primary_key", "") },
    Index { columns: "v text, CONSTRAINT {i} PRIMARY KEY (v)", values: "'v' || n", ..of_plain("text_key", "") },
    Index { columns: "v citext, CONSTRAINT {i} PRIMARY KEY (v)", values: "'V' || n", ..of_plain("citext_key", "") },
    Index { pages: Some((1, 8)), ..of_plain("hash", "CREATE INDEX {i} ON {t} USING hash (v)") },
    // Its root: others lead to no row, some of them, and no statement reads them.
    Index { pages: Some((1, 1)), ..of_plain("spgist", "CREATE INDEX {i} ON {t} USING spgist (v)") },
    Index {
        pages: Some((2, LAST)),
        ..of_plain("brin", "CREATE INDEX {i} ON {t} USING brin (a) WITH (pages_per_range = 1)")
    },
    Index {
        columns: "id int PRIMARY KEY, tags int[]",
        values: "n, ARRAY[n, n + 1]",
        pages: Some((1, LAST)),
        ..of_plain("gin", "CREATE INDEX {i} ON {t} USING gin (tags) WITH (fastupdate = off)")
    },
    Index {
        columns: "id int PRIMARY KEY, r int4range",
        values: "n, int4range(n, n + 3)",
        pages: Some((0, LAST)),
        ..of_plain("gist", "CREATE INDEX {i} ON {t} USING gist (r)")
    },
];

const fn of_plain(name: &'static str, make: &'static str) -> Index {
    Index { name, columns: PLAIN.0, values: PLAIN.1, make, pages: None }
}

/// Damage to indexes.
pub(super) fn of_indexes(citext: bool) -> Vec<Damage> {
    let mut all = Vec::new();
    for index in INDEXES.iter().filter(|index| citext || !index.columns.contains("citext")) {
        let fill = |from: u64, to: u64| {
            format!("INSERT INTO {{t}} SELECT {} FROM generate_series({from}, {to}) AS n;", index.values)
        };
        let mut damage = |what: &str, edit: Edit| {
            all.push(Damage {
                kind: format!("index_{what}_{}", index.name),
                class: Class::Index,
                truth: Truth::Broken,
                make: format!("CREATE TABLE {{t}} ({}); {} {};\n", index.columns, fill(1, ROWS), index.make),
                change: if edit == Edit::Left { fill(ROWS + 1, ROWS + 100) } else { String::new() },
                late: String::new(),
                file: File::Index,
                edit,
            });
        };
        match index.pages {
            None => {
                damage("leaf_zeroed", Edit::ZeroLeaf);
                damage("leaf_checksum_wrong", Edit::BreakLeaf);
                damage("tids_exchanged", Edit::ExchangeTids);
                damage("left_behind", Edit::Left);
            }
            Some((first, last)) => {
                damage("page_checksum_wrong", Edit::Break { first, last });
                // What a brin index does not know of is read: nothing is lost by it.
                if index.name != "brin" {
                    damage("left_behind", Edit::Left);
                }
            }
        }
    }
    all
}
