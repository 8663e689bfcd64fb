//! Where rows go: stdout or a new file. The header is there even when no row is; each row is flushed as it is made.
//! Everywhere they are CSV, but on a terminal, unless CSV is asked for.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use report::columns::columns;
use report::shown::Shown;
use serde::{Deserialize, Serialize};

/// The reader of our stdout has gone, as `head -1` does. Not a failure: the program ends quietly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of stdout has gone")
    }
}

impl std::error::Error for Closed {}

use crate::{progress, table};

/// Rows of one kind on their way out.
pub struct Sink<Row> {
    out: Out<Row>,
    name: String,
    row: PhantomData<fn(&Row)>,
}

enum Out<Row> {
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
    /// A terminal, and how a row is shown there.
    Terminal(fn(&Row) -> Result<String, csv::Error>),
}

impl<Row: Serialize + for<'de> Deserialize<'de>> Sink<Row> {
    /// Rows to stdout.
    ///
    /// # Errors
    /// [`Closed`], or what the system says.
    pub fn stdout() -> Result<Sink<Row>> {
        // Not inherited: a server that we start would keep the pipe of our reader open for as long as it lives.
        // Not `io::stdout()`: its line buffer would copy every row once more.
        let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3).context("cannot use stdout")?;
        Sink::new(Box::new(std::fs::File::from(stdout)), "stdout")
    }

    /// Rows to a file that must not exist yet.
    ///
    /// # Errors
    /// If the file exists or cannot be made.
    pub fn create_new(path: &Path) -> Result<Sink<Row>> {
        Sink::create(path, 0o666) // less the umask
    }

    /// As [`Sink::create_new`], for nobody else to read: the rows may hold secrets.
    ///
    /// # Errors
    /// As there.
    pub fn create_new_private(path: &Path) -> Result<Sink<Row>> {
        Sink::create(path, 0o600)
    }

    fn create(path: &Path, mode: u32) -> Result<Sink<Row>> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "{} exists, and nothing is ever overwritten: name another file or move it away",
                path.display()
            ),
            _ => Error::new(error).context(format!("cannot make {}", path.display())),
        })?;
        Sink::new(Box::new(file), &path.display().to_string())
    }

    /// Rows to stdout for people: aligned, and only what tells most, where that is a terminal and no `csv` is asked for;
    /// else CSV.
    ///
    /// # Errors
    /// [`Closed`], or what the system says.
    pub fn stdout_for_people(csv: bool) -> Result<Sink<Row>>
    where
        Row: Shown,
    {
        if csv || !io::stdout().is_terminal() {
            return Sink::stdout();
        }
        progress::show(&table::header::<Row>())?;
        Ok(Sink { out: Out::Terminal(table::line::<Row>), name: "the terminal".to_owned(), row: PhantomData })
    }

    fn new(writer: Box<dyn Write + Send>, name: &str) -> Result<Sink<Row>> {
        let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(writer);
        let header = csv.write_record(columns::<Row>());
        let mut sink = Sink { out: Out::Csv(Box::new(csv)), name: name.to_owned(), row: PhantomData };
        header.map_err(|error| sink.failed(error.into()))?;
        sink.flush()?;
        Ok(sink)
    }

    /// Writes a row and flushes it.
    ///
    /// # Errors
    /// [`Closed`], or what the system says.
    pub fn row(&mut self, row: &Row) -> Result<()> {
        self.row_unflushed(row)?;
        self.flush()
    }

    /// Writes a row that may wait for the next [`Sink::flush`].
    ///
    /// # Errors
    /// [`Closed`], or what the system says.
    pub fn row_unflushed(&mut self, row: &Row) -> Result<()> {
        match &mut self.out {
            Out::Csv(csv) => csv.serialize(row).map_err(|error| self.failed(error.into())),
            Out::Terminal(line) => progress::show(&line(row)?).map_err(|error| self.failed(error)),
        }
    }

    /// Hands all rows so far to the system.
    ///
    /// # Errors
    /// [`Closed`], or what the system says.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.out {
            Out::Csv(csv) => csv.flush().map_err(|error| self.failed(error)),
            Out::Terminal(_) => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Closed.into()
        } else {
            Error::new(error).context(format!("cannot write to {}", self.name))
        }
    }
}

/// Prints one line of plain text on stdout: the path that `setup` hands on.
///
/// # Errors
/// [`Closed`], or what the system says.
pub fn print_line(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use super::Sink;
    use report::settings::SettingRow;

    #[test]
    fn the_header_is_there_even_when_no_row_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.csv");
        let _sink = Sink::<SettingRow>::create_new(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "run,node,name,value,source\n");
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.csv");
        std::fs::write(&path, "mine").unwrap();
        let error = Sink::<SettingRow>::create_new(&path).err().unwrap().to_string();
        assert!(error.contains("exists"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
