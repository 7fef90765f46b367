//! `tcp`: sends rows to a server.

use std::io;
use std::time::Duration;

use arrow::array::RecordBatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connect::dial::{Wire, connect};
use crate::connect::tls::{self, ClientTls};
use crate::connect::waiting::runtime;
use crate::connect::{backoff, net};
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::{codec, shared, takes_anything};

/// The entry.
pub fn entry() -> SinkEntry {
    let mut options = vec![OptionSpec::with_default(
        "timeout",
        OptionKind::Duration,
        "10s",
        "how long connecting or sending may take",
    )];
    options.extend(net::reconnecting());
    options.extend(net::client_tls());
    SinkEntry {
        doc: Doc::new("tcp", "sends every row to a TCP server", "tcp(\"HOST:PORT\") { OPTIONS }")
            .details(
                "The connection is kept from batch to batch. Where it is lost it is made anew and the whole batch is sent \
                 again, so that the server may see rows twice; what it had not read when it went is lost. Try it with \
                 `nc -lk 7000` in another terminal.",
            )
            .example("from orders |> into tcp(\"127.0.0.1:7000\") { format: json }")
            .example("from orders |> into tcp(\"logs.example.org:6514\") { tls: true, tls_ca: \"ca.pem\" }"),
        args: vec![OptionSpec::required("address", OptionKind::Address, "the server")],
        options,
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |_| "at least once (the peer acknowledges nothing)".into(),
        target: shared,
        feature: None,
        conflicts: |endpoint| tls::client_conflicts(&endpoint.settings),
        open: SinkEntry::by(open),
    }
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    Ok(Box::new(Tcp {
        codec: codec(endpoint)?,
        address: settings.text("address").unwrap_or_default().to_owned(),
        timeout: backoff::time(settings, "timeout").unwrap_or(Duration::from_secs(10)),
        tls: ClientTls::switched(endpoint)?,
        connection: None,
    }))
}

struct Tcp {
    codec: Box<dyn FormatCodec>,
    address: String,
    timeout: Duration,
    tls: Option<ClientTls>,
    connection: Option<Box<dyn Wire>>,
}

impl Sink for Tcp {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let mut bytes = Vec::new();
        self.codec.encode(rows, &mut bytes)?;
        Ok(Artifact { bytes, rows: rows.iter().map(RecordBatch::num_rows).sum() })
    }

    fn deliver(&mut self, _: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let runtime = runtime().map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))?;
        let sent = runtime.block_on(self.send(&artifact.bytes));
        sent.map_err(|e| TaskError::Retry(format!("cannot send to `{}`: {e}", self.address)))?;
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

impl Tcp {
    /// Sends all of it, over the connection of before where that is still there.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let kept = match self.connection.take() {
            Some(mut connection) => is_open(&mut connection).await.then_some(connection),
            None => None,
        };
        let (mut connection, names) = match kept {
            // A line of names stands at the front of a connection, not of every batch.
            Some(connection) if self.codec.is_lines() => (connection, self.codec.header(bytes, true).unwrap_or(0)),
            Some(connection) => (connection, 0),
            None => (connect(&self.address, self.tls.as_ref(), self.timeout).await?, 0),
        };
        let write = async {
            connection.write_all(&bytes[names.min(bytes.len())..]).await?;
            connection.flush().await
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not read");
        tokio::time::timeout(self.timeout, write).await.map_err(late)??;
        self.connection = Some(connection);
        Ok(())
    }
}

/// Whether the peer is still there, as far as can be seen without waiting. What it has to say is of no interest.
async fn is_open(connection: &mut Box<dyn Wire>) -> bool {
    let mut said = [0; 1024];
    loop {
        match tokio::time::timeout(Duration::ZERO, connection.read(&mut said)).await {
            Ok(Ok(0) | Err(_)) => return false,
            Ok(Ok(_)) => {}
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::connect::tests::{certificates, free_address, rows, sink};

    fn to(address: &str, options: &str, base: &Path) -> Box<dyn Sink> {
        sink(&format!("into tcp(\"{address}\") {{ {options} }}"), base).unwrap()
    }

    fn deliver(sink: &mut dyn Sink, number: u64) -> Result<Delivered, TaskError> {
        let batch = BatchTime { number, micros: 0 };
        let artifact = sink.stage(&batch, &[rows(&[(i64::try_from(number).unwrap(), Some("a"))])])?;
        sink.deliver(&batch, &artifact)
    }

    fn line(stream: &TcpStream) -> String {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn the_connection_is_kept_and_made_anew_when_the_peer_has_gone() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sink = to(&server.local_addr().unwrap().to_string(), "", Path::new("."));
        deliver(&mut *sink, 1).unwrap();
        let (mut first, _) = server.accept().unwrap();
        assert_eq!(line(&first), "{\"id\":1,\"name\":\"a\"}\n");
        first.write_all(b"thank you\n").unwrap();
        deliver(&mut *sink, 2).unwrap();
        assert_eq!(line(&first), "{\"id\":2,\"name\":\"a\"}\n");
        drop(first);
        deliver(&mut *sink, 3).unwrap();
        let (second, _) = server.accept().unwrap();
        assert_eq!(line(&second), "{\"id\":3,\"name\":\"a\"}\n");
    }

    #[test]
    fn a_line_of_names_is_sent_once_a_connection() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sink = to(&server.local_addr().unwrap().to_string(), "format: csv", Path::new("."));
        deliver(&mut *sink, 1).unwrap();
        deliver(&mut *sink, 2).unwrap();
        drop(sink);
        let mut text = String::new();
        server.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "id,name\n1,a\n2,a\n");
    }

    #[test]
    fn a_server_that_is_not_there_is_tried_again() {
        let address = free_address();
        let mut sink = to(&address, "", Path::new("."));
        let failed = deliver(&mut *sink, 1).unwrap_err();
        assert!(matches!(&failed, TaskError::Retry(why) if why.starts_with(&format!("cannot send to `{address}`: "))));
        let server = TcpListener::bind(&address).unwrap();
        deliver(&mut *sink, 1).unwrap();
        server.accept().unwrap();
    }

    #[test]
    fn a_server_that_does_not_read_is_given_up_after_the_timeout() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sink = to(&server.local_addr().unwrap().to_string(), "timeout: 50ms", Path::new("."));
        let long = "x".repeat(1 << 20);
        let block = rows(&[(1, Some(long.as_str())); 32]);
        let artifact = sink.stage(&BatchTime::default(), &[block]).unwrap();
        let failed = sink.deliver(&BatchTime::default(), &artifact).unwrap_err();
        assert!(failed.to_string().ends_with("it does not read"), "{failed}");
    }

    #[test]
    fn it_speaks_tls_to_servers_that_are_trusted() {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let text = "source x = listen(\"127.0.0.1:0\") { tls_cert: \"server.pem\", tls_key: secret(\"server.key\") }";
        let tls = crate::connect::tls::ServerTls::of(&crate::connect::tests::source_endpoint(text, folder.path()));
        let config = tls.unwrap().unwrap().config().unwrap();
        let serve = std::thread::spawn(move || {
            [(); 2].map(|()| {
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, server.accept().unwrap().0);
                let mut text = [0; 20];
                stream.read_exact(&mut text).map(|()| text)
            })
        });
        let mut stranger = to(&address, "tls: true", folder.path());
        assert!(deliver(&mut *stranger, 1).unwrap_err().to_string().contains("certificate"));
        let mut friend = to(&address, "tls: true, tls_ca: \"ca.pem\"", folder.path());
        deliver(&mut *friend, 1).unwrap();
        let [refused, taken] = serve.join().unwrap();
        assert!(refused.is_err());
        assert_eq!(taken.unwrap(), *b"{\"id\":1,\"name\":\"a\"}\n");
    }
}
