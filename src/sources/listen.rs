//! `listen`: a server that many clients send rows to.

mod forward;
mod framing;
mod msgpack;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use crate::connect::dial::Wire;
use crate::connect::net;
use crate::connect::tls::{self, ServerTls};
use crate::connect::waiting::{Told, Working, runtime};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Source};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::clients::{self, Door, Server};
use crate::sources::receiver::{Feed, Once, Peer, Receiver};
use crate::sources::{appends, nothing_extra, sole_records};

use forward::Messages;
use framing::{Frame, Framer, Framing};

const PROTOCOL: &[(&str, &str)] = &[
    ("tcp", "connections"),
    ("udp", "datagrams, each one record"),
    ("unix", "connections to a socket in the file system; the address is its path"),
];
const FRAMING: &[(&str, &str)] = &[
    ("lines", "a record ends with its line"),
    ("syslog", "RFC 6587: a length before each record, or lines"),
    ("length", "four bytes of length, big end first, before each record"),
    ("forward", "Fluentd's forward protocol"),
];

/// How much is read from a client at a time.
const CHUNK: usize = 16 * 1024;

/// The largest datagram there can be.
const DATAGRAM: usize = 64 * 1024;

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default("protocol", OptionKind::Symbol(PROTOCOL), "tcp", "what it listens for"),
        OptionSpec::with_default(
            "framing",
            OptionKind::Symbol(FRAMING),
            "lines",
            "where one record ends and the next begins",
        ),
        clients::option(),
        net::records("1mb"),
    ];
    options.extend(net::receiving());
    options.extend(net::server_tls());
    SourceEntry {
        doc: Doc::new(
            "listen",
            "takes in what clients send over TCP, UDP or a unix socket",
            "listen(\"HOST:PORT\") { OPTIONS }",
        )
        .details(
            "Each client's bytes are cut into records by themselves, and a bad row says whose it is. While `buffer` is \
             full nothing is read, so that TCP holds the clients back; datagrams are lost meanwhile. With `framing: \
             forward` every event is an object of JSON with its fields, `tag` and `time`, in any of the protocol's \
             modes; a client that asks for it is told when its events have been taken in: with a checkpoint, when they are \
             on the disk. What others sent in the last moment (30 ms on an idle disk) before a crash is lost. There is no `--once` for a \
             server: such a run takes what has come until then.",
        )
        .example("source lines = listen(\"0.0.0.0:9999\")")
        .example("source logs = listen(\"0.0.0.0:514\") { protocol: udp, format: syslog }")
        .example("source lines = listen(\"run/lines.sock\") { protocol: unix }")
        .example(
            "source events = listen(\"0.0.0.0:24224\") { framing: forward, format: json, schema: { tag: string, \
             time: timestamp, log: string? }, time: time } bad drop",
        ),
        args: vec![OptionSpec::required(
            "address",
            OptionKind::Text,
            "where it listens: `host:port`, or a path for `unix`",
        )],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        conflicts,
        sample: None,
        open: SourceEntry::by(open),
    }
}

/// Where a server listens.
enum Address {
    Tcp(String),
    Udp(String),
    Unix(PathBuf),
}

/// How clients' bytes are told apart.
#[derive(Debug, Clone, Copy)]
enum Records {
    Lines,
    Framed(Framing),
    Forward,
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let mut found = tls::server_conflicts(settings);
    let datagrams = settings.text("protocol") == Some("udp");
    let framed = settings.text("framing").is_some_and(|framing| framing != "lines");
    if datagrams && settings.is_written("tls_cert") {
        let message = "`tls_cert` cannot be used with `protocol: udp`: datagrams are not encrypted";
        found.push(Conflict::between("tls_cert", message, "leave it out, or write:\n  protocol: tcp"));
    }
    if datagrams && framed {
        let message = "`framing` cannot be used with `protocol: udp`: each datagram is a record";
        found.push(Conflict::between("framing", message, "leave it out, or write:\n  protocol: tcp"));
    }
    if datagrams || framed {
        found.extend(sole_records(endpoint));
    }
    let written = settings.text("address").unwrap_or_default();
    if settings.text("protocol") != Some("unix") && !has_port(written) {
        let help = "write host and port:\n  \"0.0.0.0:9999\"";
        found.push(Conflict::value("address", format!("`{written}` is no address to listen at"), help));
    }
    found
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let tls = ServerTls::of(endpoint)?.map(Arc::new);
    let address = address(endpoint);
    let records = match settings.text("framing") {
        Some("syslog") => Records::Framed(Framing::Syslog),
        Some("length") => Records::Framed(Framing::Length),
        Some("forward") => Records::Forward,
        _ => Records::Lines,
    };
    let longest = settings.size("max_record").unwrap_or(u64::MAX);
    let most = Server::most(settings);
    Receiver::open(endpoint, Once::TakesWhatCame, move |feed| {
        let door = match &address {
            Address::Udp(address) => return take_datagrams(address, longest, feed),
            Address::Tcp(address) => Door::tcp(address)?,
            Address::Unix(path) => Door::unix(path)?,
        };
        let server = Server { door, tls: tls.clone(), most, feed: feed.clone() };
        server.serve(move |stream, name, told| {
            let client = Client { peer: feed.peer(&name), cut: Cut::of(records, longest), longest };
            client.serve(stream, name, told)
        })
    })
}

fn address(endpoint: &Endpoint) -> Address {
    let written = endpoint.settings.text("address").unwrap_or_default().to_owned();
    match endpoint.settings.text("protocol") {
        Some("unix") => Address::Unix(endpoint.base.join(Path::new(&written))),
        Some("udp") => Address::Udp(written),
        _ => Address::Tcp(written),
    }
}

/// One client.
struct Client {
    peer: Peer,
    cut: Cut,
    longest: u64,
}

enum Cut {
    Lines,
    Framed(Framer),
    Forward(Messages),
}

impl Cut {
    fn of(records: Records, longest: u64) -> Self {
        match records {
            Records::Lines => Cut::Lines,
            Records::Framed(framing) => Cut::Framed(Framer::new(framing, longest)),
            Records::Forward => Cut::Forward(Messages::default()),
        }
    }
}

impl Client {
    /// Takes in what it sends, until it goes or nobody wants it any more.
    async fn serve(mut self, mut stream: Box<dyn Wire>, name: String, mut told: Told) {
        let mut buffer = vec![0; CHUNK];
        loop {
            match told.or(stream.read(&mut buffer)).await {
                None | Some(Ok(0)) => break,
                Some(Ok(count)) => match self.take(&buffer[..count]).await {
                    Some(answers) if answers.is_empty() => {}
                    Some(answers) => {
                        if !matches!(told.or(stream.write_all(&answers)).await, Some(Ok(()))) {
                            break;
                        }
                    }
                    None => return,
                },
                Some(Err(e)) => {
                    tracing::debug!(client = name, %e, "the connection is lost");
                    break;
                }
            }
        }
        self.finish().await;
    }

    /// Hands bytes over. Gives back what to answer; none where the connection is to be closed.
    async fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut answers = Vec::new();
        match &mut self.cut {
            Cut::Lines => self.peer.give(bytes).await.then_some(())?,
            Cut::Framed(framer) => {
                for frame in framer.cut(bytes) {
                    give(&mut self.peer, frame).await.then_some(())?;
                }
            }
            Cut::Forward(messages) => {
                messages.add(bytes);
                loop {
                    match messages.next(self.longest) {
                        Ok(None) => break,
                        Ok(Some(message)) => {
                            for frame in message.frames {
                                give(&mut self.peer, frame).await.then_some(())?;
                            }
                            answers.extend(message.answer.unwrap_or_default());
                        }
                        Err(bad) => {
                            give(&mut self.peer, bad).await;
                            return None;
                        }
                    }
                }
            }
        }
        if !answers.is_empty() && !self.peer.is_safe().await {
            return None;
        }
        Some(answers)
    }

    /// The client has gone.
    async fn finish(mut self) {
        let rest = match self.cut {
            Cut::Lines => None,
            Cut::Framed(framer) => framer.finish(),
            Cut::Forward(messages) => messages.finish(),
        };
        if let Some(frame) = rest {
            give(&mut self.peer, frame).await;
        }
    }
}

async fn give(peer: &mut Peer, frame: Frame) -> bool {
    match frame {
        Frame::Record(bytes) => peer.record(bytes).await,
        Frame::Bad { text, reason } => peer.bad(text, reason).await,
    }
}

/// Takes in datagrams until it is told to end.
fn take_datagrams(address: &str, longest: u64, feed: Feed) -> Result<Working, TaskError> {
    let bound = runtime().and_then(|runtime| runtime.block_on(UdpSocket::bind(address)));
    let socket = bound.map_err(|e| clients::taken(address, &e))?;
    let take = async move |mut told: Told| {
        let mut buffer = vec![0; DATAGRAM];
        let mut count = 0;
        while let Some(received) = told.or(socket.recv_from(&mut buffer)).await {
            count += 1;
            let given = match received {
                Ok((length, from)) => {
                    let place: Arc<str> = from.to_string().into();
                    let bytes = &buffer[..length];
                    if length as u64 > longest {
                        feed.bad(&place, count, BadRow::shown(bytes), format!("longer than {longest} bytes")).await
                    } else {
                        feed.record(&place, count, bytes.to_vec()).await
                    }
                }
                Err(e) => {
                    tracing::warn!(%e, "a datagram cannot be taken in");
                    true
                }
            };
            if !given {
                return;
            }
        }
    };
    Working::task(take).map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))
}
