//! A blocking client for long work on a thread of its own: COPY, whole transactions. It has no deadline: the thread that
//! supervises it has, and ends the work by [`crate::connect::cancel`].

use anyhow::{Context as _, Result, anyhow};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::connect::connect;
use crate::conninfo::Conninfo;
use crate::server_error::describe;
use crate::session::GOODBYE;

/// A session whose answers are waited for without a deadline.
pub struct Blocking {
    runtime: tokio::runtime::Runtime,
    client: Client,
    wire: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Blocking {
    /// Opens a session. This has a deadline.
    pub fn open(info: &Conninfo, application_name: &str) -> Result<Blocking> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, wire) = runtime.block_on(connect(info, application_name))?;
        let wire = runtime.spawn(wire);
        Ok(Blocking { runtime, client, wire })
    }

    /// Closes the session as the protocol has it. A session that is dropped is cut off, and its transaction rolled back.
    pub fn close(self) {
        drop(self.client);
        let _ = self.runtime.block_on(async { tokio::time::timeout(GOODBYE, self.wire).await });
    }

    /// The client, for work under [`Blocking::run`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs `work` on this session's client to its end.
    pub fn run<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        self.runtime.block_on(work).map_err(describe)
    }

    /// Runs a script without parameters.
    pub fn script(&self, sql: &str) -> Result<()> {
        self.run(self.client.batch_execute(sql))
    }

    /// Sends the rows of a `COPY … FROM STDIN` piece by piece: `next` fills an empty piece and says whether more will come.
    /// Returns how many rows went in; after an error of the server or of `next`, none did.
    pub fn copy_in(&self, copy: &str, mut next: impl FnMut(&mut Vec<u8>) -> Result<bool>) -> Result<u64> {
        use futures_util::SinkExt as _;
        let mut sink = Box::pin(self.run(self.client.copy_in::<_, std::io::Cursor<Vec<u8>>>(copy))?);
        loop {
            let mut piece = Vec::new();
            let more = next(&mut piece)?;
            self.run(sink.send(std::io::Cursor::new(piece)))?;
            if !more {
                return self.run(sink.as_mut().finish());
            }
        }
    }

    /// Hands on the output of a `COPY … TO STDOUT` piece by piece, until `take` wants no more.
    pub fn copy_out(&self, copy: &str, mut take: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        use futures_util::TryStreamExt as _;
        let mut stream = Box::pin(self.run(self.client.copy_out(copy))?);
        while let Some(piece) = self.run(stream.try_next())? {
            if !take(&piece)? {
                break;
            }
        }
        Ok(())
    }

    /// The first column of the one row that a query returns, as text.
    pub fn text(&self, sql: &str) -> Result<String> {
        let messages = self.run(self.client.simple_query(sql))?;
        let row = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0)),
            _ => None,
        });
        Ok(row.flatten().ok_or_else(|| anyhow!("no value")).with_context(|| sql.to_owned())?.to_owned())
    }
}
