//! `socket`: connects to a server and reads what it sends, line by line.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connect::backoff::Backoff;
use crate::connect::net;
use crate::connect::tls::{self, ClientTls};
use crate::connect::waiting::{Told, Working};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::Source;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::receiver::{Feed, Once, Receiver};
use crate::sources::{appends, nothing_extra};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(30);

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default(
            "reconnect",
            OptionKind::Bool,
            "true",
            "whether a closed connection is opened again; `--once` ends with it",
        ),
        net::records("16mb"),
    ];
    options.extend(net::reconnecting());
    options.extend(net::receiving());
    options.extend(net::client_tls());
    SourceEntry {
        doc: Doc::new(
            "socket",
            "connects to a TCP server and reads the lines it sends",
            "socket(\"HOST:PORT\") { OPTIONS }",
        )
        .details(
            "What was received and not yet delivered is lost when the program dies, unless the pipeline has a \
                 checkpoint. While `buffer` is full nothing is read, so that TCP holds the server back. Try it with \
                 `nc -lk 9999` in another terminal.",
        )
        .example("source lines = socket(\"127.0.0.1:9999\")")
        .example("source logs = socket(\"logs.example.org:6514\") { tls: true, tls_ca: \"ca.pem\" }")
        .alias("socketTextStream"),
        args: vec![OptionSpec::required("address", OptionKind::Address, "the server")],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(open),
    }
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let mut client = Some(Client {
        address: settings.text("address").unwrap_or_default().to_owned(),
        reconnect: settings.flag("reconnect"),
        backoff: Backoff::of(settings),
        tls: ClientTls::switched(endpoint)?,
    });
    Receiver::open(endpoint, Once::WaitsForTheEnd, move |feed| {
        let client = client.take().ok_or_else(|| TaskError::Bug("a socket is started twice".into()))?;
        let working = Working::task(|told| client.run(feed, told));
        working.map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))
    })
}

/// The connection, made again where it is lost.
struct Client {
    address: String,
    reconnect: bool,
    backoff: Backoff,
    tls: Option<ClientTls>,
}

impl Client {
    async fn run(mut self, feed: Feed, mut told: Told) {
        let again = self.reconnect && !feed.drains();
        loop {
            match told.or(self.connect()).await {
                None => return,
                Some(Ok(stream)) => match told.or(self.forward(stream, &feed)).await {
                    Some(Ok(true)) => {}
                    Some(Err(e)) if again => tracing::warn!(address = %self.address, %e, "the connection is lost"),
                    Some(Err(e)) => {
                        let why = format!("the connection to `{}` is lost: {e}", self.address);
                        return feed.fail(TaskError::Stop(why));
                    }
                    Some(Ok(false)) | None => return,
                },
                Some(Err(e)) if again => {
                    tracing::warn!(address = %self.address, %e, "cannot connect, trying again");
                }
                Some(Err(e)) => {
                    return feed.fail(TaskError::Stop(format!("cannot connect to `{}`: {e}", self.address)));
                }
            }
            if !again || !told.sleep(self.backoff.wait()).await {
                return;
            }
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        tokio::time::timeout(CONNECT, self.reach()).await?
    }

    async fn reach(&self) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let stream = TcpStream::connect(&self.address).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = tls::server_name(&self.address).map_err(io::Error::other)?;
        let config = tls.config().map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
    }

    /// Hands on what comes until the peer closes; false when nobody wants it any more.
    async fn forward(&mut self, mut stream: impl AsyncRead + Unpin, feed: &Feed) -> io::Result<bool> {
        let peer = feed.peer(&self.address);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(true);
            }
            self.backoff.reset();
            if !peer.give(&buffer[..count]).await {
                return Ok(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::Arc;

    use arrow::array::{AsArray, RecordBatch};
    use millstream_dsl::Span;

    use super::*;
    use crate::model::{Column, Schema, Slot, Type};
    use crate::plan::catalog::{EndpointEntry, FormatCall};
    use crate::plan::seams::{Limits, Position, Positions};
    use crate::plan::{OptionValue, Settings};

    fn client_of(address: String) -> Box<dyn Source> {
        let mut settings = Settings::default();
        settings.set("address", OptionValue::Text(address), Span::default());
        settings.set("reconnect", OptionValue::Bool(true), Span::default());
        let text = crate::formats::text::entry();
        open(&Endpoint {
            name: "lines".into(),
            word: "socket".into(),
            entry: EndpointEntry::Source(Arc::new(entry())),
            settings,
            format: Some(FormatCall { entry: Arc::new(text), settings: Settings::default() }),
            schema: Schema::new(vec![Column::new("line", Slot::required(Type::String))]),
            base: ".".into(),
        })
        .unwrap()
    }

    fn read_all(source: &mut dyn Source) -> Result<Vec<String>, crate::plan::operator::TaskError> {
        let limits = Limits { rows: 2, bytes: u64::MAX, now: 0, drain: true, threads: 1 };
        let split = source.discover(&Positions::new(), &limits)?.remove(0);
        let (mut at, mut lines) = (Position::default(), Vec::new());
        loop {
            let read = source.read(&split, &at, &limits)?;
            let texts = |b: &RecordBatch| b.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            lines.extend(read.blocks.iter().flat_map(|b| -> Vec<String> { texts(b) }));
            if read.to == at {
                return Ok(lines);
            }
            at = read.to;
        }
    }

    #[test]
    fn lines_come_until_the_server_closes_even_the_last_one_without_its_end() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut source = client_of(server.local_addr().unwrap().to_string());
        let serve = std::thread::spawn(move || server.accept().unwrap().0.write_all(b"one\ntwo\nthree\nfour").unwrap());
        assert_eq!(read_all(&mut *source).unwrap(), ["one", "two", "three", "four"]);
        assert!(source.ended());
        serve.join().unwrap();
    }

    #[test]
    fn a_server_that_is_not_there_ends_a_run_that_waits_for_nothing() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let failed = read_all(&mut *client_of(free.clone())).unwrap_err();
        assert!(failed.to_string().starts_with(&format!("cannot connect to `{free}`")), "{failed}");
    }
}
