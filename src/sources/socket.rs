//! `socket`: connects to a server and reads what it sends, line by line.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::connect::backoff::Backoff;
use crate::connect::dial::connect;
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
                 checkpoint: then a crash loses only what came in its last moment, which is 30 ms on an idle disk, and \
                 what was logged comes again without the server. While `buffer` is full nothing is read, so that TCP holds the server back. Try it with \
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
        conflicts: |endpoint| tls::client_conflicts(&endpoint.settings),
        sample: None,
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
            match told.or(connect(&self.address, self.tls.as_ref(), CONNECT)).await {
                None => return,
                Some(Ok(stream)) => match self.forward(stream, &feed, &mut told).await {
                    Ok(true) => {}
                    Err(e) if again => tracing::warn!(address = %self.address, %e, "the connection is lost"),
                    Err(e) => {
                        let why = format!("the connection to `{}` is lost: {e}", self.address);
                        return feed.fail(TaskError::Stop(why));
                    }
                    Ok(false) => return,
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

    /// Hands on what comes until the peer closes; false when nobody wants it any more. What has been read is always
    /// handed on.
    async fn forward(&mut self, mut stream: impl AsyncRead + Unpin, feed: &Feed, told: &mut Told) -> io::Result<bool> {
        let peer = feed.peer(&self.address);
        let mut buffer = vec![0; 64 * 1024];
        while let Some(count) = told.or(stream.read(&mut buffer)).await {
            let count = count?;
            if count == 0 {
                return Ok(true);
            }
            self.backoff.reset();
            if !peer.give(&buffer[..count]).await {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Instant;

    use crate::connect::tests::{ALL, PATIENCE, Reading, certificates, free_address, source, source_endpoint};
    use crate::connect::tls::ServerTls;
    use crate::plan::seams::Limits;

    const ONCE: Limits = Limits { drain: true, rows: 2, ..ALL };

    fn client_of(address: &str, options: &str, limits: Limits) -> Reading {
        let text = format!("source x = socket(\"{address}\") {{ {options} }}");
        Reading::start(source(&text, Path::new(".")).unwrap(), limits)
    }

    fn server() -> (TcpListener, String) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        (server, address)
    }

    #[test]
    fn lines_come_until_the_server_closes_even_the_last_one_without_its_end() {
        let (server, address) = server();
        let mut reading = client_of(&address, "", ONCE);
        let serve = std::thread::spawn(move || server.accept().unwrap().0.write_all(b"one\ntwo\nthree\nfour").unwrap());
        reading.finish().unwrap();
        assert_eq!(reading.rows, ["one", "two", "three", "four"]);
        serve.join().unwrap();
    }

    #[test]
    fn a_server_that_is_not_there_ends_a_run_that_waits_for_nothing() {
        let free = free_address();
        let failed = client_of(&free, "", ONCE).finish().unwrap_err();
        assert!(failed.to_string().starts_with(&format!("cannot connect to `{free}`")), "{failed}");
    }

    #[test]
    fn a_lost_connection_is_made_again_and_each_has_lines_of_its_own() {
        let (server, address) = server();
        let mut reading = client_of(&address, "backoff: 1ms", ALL);
        server.accept().unwrap().0.write_all(b"one\nhalf").unwrap();
        server.accept().unwrap().0.write_all(b"two\n").unwrap();
        assert_eq!(reading.until(3).rows, ["one", "half", "two"]);
    }

    #[test]
    fn whoever_waits_to_connect_again_ends_at_once() {
        let mut reading = client_of(&free_address(), "backoff: 1h, max_backoff: 1h", ALL);
        reading.read().unwrap();
        let start = Instant::now();
        drop(reading);
        assert!(start.elapsed() < PATIENCE / 2);
        let (server, address) = server();
        let reading = client_of(&address, "", ALL);
        let mut connection = server.accept().unwrap().0;
        drop(reading);
        assert_eq!(connection.read(&mut [0; 8]).unwrap_or(0), 0, "the connection is closed");
    }

    #[test]
    fn a_connection_that_is_not_to_be_made_again_ends_the_source() {
        let (server, address) = server();
        let mut reading = client_of(&address, "reconnect: false", ALL);
        server.accept().unwrap().0.write_all(b"one\n").unwrap();
        reading.finish().unwrap();
        assert_eq!(reading.rows, ["one"]);
    }

    #[test]
    fn servers_that_are_trusted_are_read_over_tls() {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let text = "source x = listen(\"127.0.0.1:0\") { tls_cert: \"server.pem\", tls_key: secret(\"server.key\") }";
        let config = ServerTls::of(&source_endpoint(text, folder.path())).unwrap().unwrap().config().unwrap();
        let (server, address) = server();
        let serve = std::thread::spawn(move || {
            for stream in server.incoming().take(2) {
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                // Who does not trust us goes in the middle of this.
                let _ = stream.write_all(b"one\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        let read = |options: &str| {
            let text = format!("source x = socket(\"{address}\") {{ {options} }}");
            let mut reading = Reading::start(source(&text, folder.path()).unwrap(), ONCE);
            reading.finish().map(|()| reading.rows)
        };
        let refused = read("tls: true").unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{refused}");
        assert_eq!(read("tls: true, tls_ca: \"ca.pem\"").unwrap(), ["one"]);
        serve.join().unwrap();
    }
}
