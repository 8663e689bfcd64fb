//! Tables to plant differences in: of every shape that a table can have.

/// A kind of table. In its texts `{t}` is the table, `@` the number of a row.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The last part of the tables' names.
    pub(super) name: String,
    /// The columns, in parentheses, and what follows them.
    pub(super) columns: String,
    /// Statements after that.
    pub(super) then: String,
    /// The columns that are filled, in parentheses; none: all.
    pub(super) into: String,
    /// The values of row `@`.
    pub(super) values: String,
    /// What gives a row the values of row `@`, as `SET` has it.
    pub(super) set: String,
    /// What finds row `@`.
    pub(super) at: String,
    /// Statements after the rows are there.
    pub(super) filled: String,
    /// Statements after the rows were changed.
    pub(super) changed: String,
    /// How many rows.
    pub(super) rows: u64,
    /// Whether rows are there more than once.
    pub(super) repeats: bool,
}

/// Rows of a small table.
const ROWS: u64 = 24;

impl Subject {
    /// A table whose key is `id`.
    pub(super) fn keyed(name: &str, columns: &str, values: &str, set: &str) -> Subject {
        Subject {
            name: name.to_owned(),
            columns: format!("({columns})"),
            then: String::new(),
            into: String::new(),
            values: values.to_owned(),
            set: set.to_owned(),
            at: "id = @".to_owned(),
            filled: String::new(),
            changed: String::new(),
            rows: ROWS,
            repeats: false,
        }
    }

    /// A table called `table`, filled.
    pub(super) fn make(&self, table: &str) -> String {
        let text = format!(
            "CREATE TABLE {{t}} {};\n{}\nINSERT INTO {{t}} {} SELECT {} FROM generate_series(1, {}) AS n;\n{}\n",
            self.columns,
            self.then,
            self.into,
            numbered(&self.values, "n"),
            self.rows,
            self.filled
        );
        text.replace("{t}", table)
    }

    /// Adds row `n`.
    pub(super) fn insert(&self, n: u64) -> String {
        format!("INSERT INTO {{t}} {} SELECT {};", self.into, numbered(&self.values, &n.to_string()))
    }

    /// Gives row `n` the values of row `other`; itself: writes it anew, with what it has.
    pub(super) fn update(&self, n: u64, other: u64) -> String {
        let (set, at) = (numbered(&self.set, &other.to_string()), numbered(&self.at, &n.to_string()));
        format!("UPDATE {{t}} SET {set} WHERE {at};")
    }

    /// Takes row `n` away.
    pub(super) fn delete(&self, n: u64) -> String {
        format!("DELETE FROM {{t}} WHERE {};", numbered(&self.at, &n.to_string()))
    }

    /// Has one of the rows like row `n` once more, or once less.
    pub(super) fn repeat(&self, n: u64, more: bool) -> String {
        let at = numbered(&self.at, &n.to_string());
        match more {
            true => format!("INSERT INTO {{t}} SELECT * FROM {{t}} WHERE {at} LIMIT 1;"),
            false => format!("DELETE FROM {{t}} WHERE ctid = (SELECT min(ctid) FROM {{t}} WHERE {at});"),
        }
    }
}

fn numbered(text: &str, n: &str) -> String {
    text.replace('@', n)
}

/// Tables of every shape. `lz4`: the server can compress with it.
pub(super) fn shapes(lz4: bool) -> Vec<Subject> {
    let keyed = Subject::keyed;
    let text = ("@, 'v' || (@)", "v = 'v' || (@)");
    let plain = |name: &str| keyed(name, "id int PRIMARY KEY, v text", text.0, text.1);
    let mut shapes = vec![
        Subject {
            at: "id = 'k' || (@)".into(),
            ..keyed("text_key", "id text PRIMARY KEY, v text", "'k' || (@), 'v' || (@)", text.1)
        },
        Subject {
            at: "b = 'k' || (@) AND a = @".into(),
            ..keyed(
                "composite_key",
                "a int, b text, v numeric, PRIMARY KEY (b, a)",
                "@, 'k' || (@), (@) * 1.0",
                "v = (@) * 1.0",
            )
        },
        keyed("without_key", "id int, v text", text.0, text.1),
        Subject {
            at: "id = (@) % 5 AND v = 'v' || (@) % 5".into(),
            repeats: true,
            ..keyed("repeated", "id int, v text", "(@) % 5, 'v' || (@) % 5", "v = 'v' || (@) % 5")
        },
        unlogged_beside(plain("beside_unlogged")),
    ];
    shapes.extend(partitioned(&plain));
    shapes.extend(inherited_and_odd(&plain));
    shapes.extend(toasted(lz4));
    shapes.push(many_indexes());
    shapes
}

/// An unlogged table is not replicated; it is left out, by name, and its neighbour is not.
fn unlogged_beside(subject: Subject) -> Subject {
    Subject { then: "CREATE UNLOGGED TABLE {t}_u (id int);".into(), ..subject }
}

fn partitioned(plain: &dyn Fn(&str) -> Subject) -> Vec<Subject> {
    let parts = |name: &str, by: &str, parts: &[&str]| {
        let part = |(n, bounds): (usize, &&str)| format!("CREATE TABLE {{t}}_{n} PARTITION OF {{t}} {bounds};");
        Subject {
            columns: format!("(id int PRIMARY KEY, v text) PARTITION BY {by} (id)"),
            then: parts.iter().enumerate().map(part).collect(),
            ..plain(name)
        }
    };
    let hash = ["FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"];
    vec![
        parts("range_parts", "RANGE", &["FOR VALUES FROM (MINVALUE) TO (10)", "FOR VALUES FROM (10) TO (MAXVALUE)"]),
        parts("list_parts", "LIST", &["FOR VALUES IN (1, 2, 3, 4, 5, 6, 7, 8)", "DEFAULT"]),
        parts("hash_parts", "HASH", &hash),
    ]
}

fn inherited_and_odd(plain: &dyn Fn(&str) -> Subject) -> Vec<Subject> {
    let text = "v = 'v' || (@)";
    vec![
        Subject {
            then: "CREATE TABLE {t}_child (more text) INHERITS ({t});".into(),
            filled: "WITH moved AS (DELETE FROM ONLY {t} WHERE id % 2 = 0 RETURNING *)
                INSERT INTO {t}_child SELECT moved.*, 'more' FROM moved;"
                .into(),
            ..plain("inherited")
        },
        Subject {
            into: "(id, v)".into(),
            ..Subject::keyed(
                "generated",
                "id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED",
                "@, @",
                "v = @",
            )
        },
        Subject {
            into: "(id, v)".into(),
            filled: "ALTER TABLE {t} DROP COLUMN gone, ADD COLUMN late int DEFAULT 7;".into(),
            ..Subject::keyed("dropped_column", "id int PRIMARY KEY, gone int DEFAULT 7, v text", "@, 'v' || (@)", text)
        },
        Subject {
            filled: "CREATE MATERIALIZED VIEW {t}_view AS SELECT * FROM {t}; CREATE UNIQUE INDEX ON {t}_view (id);"
                .into(),
            changed: "REFRESH MATERIALIZED VIEW CONCURRENTLY {t}_view;".into(),
            ..plain("under_a_view")
        },
        Subject { rows: 0, ..plain("empty") },
        Subject {
            columns: format!(
                "(id int PRIMARY KEY, v text{})",
                (0..60).map(|n| format!(", c{n} int")).collect::<String>()
            ),
            into: "(id, v, c3, c59)".into(),
            values: "@, 'v' || (@), @, @".into(),
            ..plain("wide")
        },
        Subject { rows: 20_000, ..plain("long") },
    ]
}

/// Values out of line: as they are, and compressed.
fn toasted(lz4: bool) -> Vec<Subject> {
    let toasted = |name: &str, storage: &str, value: &str| Subject {
        then: format!("ALTER TABLE {{t}} ALTER v SET {storage};"),
        ..Subject::keyed(name, "id int PRIMARY KEY, v text", &format!("@, {value}"), &format!("v = {value}"))
    };
    let long = "(SELECT string_agg(md5(((@) * 1000 + x)::text), '') FROM generate_series(1, 300) AS x)";
    let mut found = vec![
        toasted("toast_plain", "STORAGE EXTERNAL", "repeat(md5((@)::text), 200)"),
        toasted("toast_pglz", "COMPRESSION pglz", long),
        toasted("compressed_in_line", "STORAGE MAIN", "repeat(md5((@)::text), 60)"),
    ];
    if lz4 {
        found.push(toasted("toast_lz4", "COMPRESSION lz4", long));
    }
    found
}

/// A table with an index of each kind.
fn many_indexes() -> Subject {
    Subject {
        columns: "(id int PRIMARY KEY, a int, v text, tags int[], doc jsonb, ts tsvector, p point, r int4range)".into(),
        then: "CREATE UNIQUE INDEX ON {t} (id, v); CREATE INDEX ON {t} (a DESC NULLS FIRST, v) INCLUDE (tags);
            CREATE INDEX ON {t} ((a * 2)); CREATE INDEX ON {t} (a) WHERE a % 2 = 0; CREATE INDEX ON {t} USING hash (v);
            CREATE INDEX ON {t} USING gin (tags); CREATE INDEX ON {t} USING gin (doc); CREATE INDEX ON {t} USING gin (ts);
            CREATE INDEX ON {t} USING gist (r); CREATE INDEX ON {t} USING gist (p); CREATE INDEX ON {t} USING brin (id);
            CREATE INDEX ON {t} USING spgist (p); CREATE INDEX ON {t} USING spgist (v);"
            .into(),
        ..Subject::keyed(
            "many_indexes",
            "",
            "@, NULLIF(@, 3), 'v' || (@), ARRAY[@, 1], jsonb_build_object('n', @), to_tsvector('simple', 'w' || (@)), \
             point(@, 1), int4range(@, (@) + 5)",
            "v = 'v' || (@), a = @, p = point(@, 1)",
        )
    }
}
