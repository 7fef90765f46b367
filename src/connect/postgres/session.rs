//! A session: messages there and back. Statements go as texts, several in one message; rows come as bytes, where they are
//! many, and go by COPY.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connect::dial::Wire;
use crate::connect::postgres::url::Place;
use crate::connect::postgres::{Server, login};
use crate::connect::waiting::runtime;

/// No message that is read is longer: PostgreSQL's own limit of a value.
const LONGEST: usize = 1 << 30;

/// Bytes are sent in pieces of this size.
const PIECE: usize = 1 << 20;

/// How much longer an answer may take than a statement may.
const SLACK: Duration = Duration::from_secs(5);

/// What goes wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server said so.
    Server {
        /// Five letters and digits.
        code: String,
        /// In words.
        message: String,
    },
    /// The connection is no more, and nobody knows what became of the last statement.
    Lost(io::Error),
    /// What came is not what the protocol says.
    Protocol(String),
    /// It cannot be tried again in the same way.
    Refused(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Lost(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Server { message, .. } | Trouble::Protocol(message) | Trouble::Refused(message) => {
                f.write_str(message)
            }
            Trouble::Lost(error) => write!(f, "{error}"),
        }
    }
}

impl Trouble {
    /// Whether it may be gone at the next try: a connection that is lost, a deadlock, a server that starts, is full or
    /// was told to end.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Trouble::Lost(_) | Trouble::Protocol(_) => true,
            Trouble::Refused(_) => false,
            Trouble::Server { code, .. } => {
                ["08", "25006", "40", "53", "55", "57", "58", "XX"].iter().any(|class| code.starts_with(class))
            }
        }
    }

    /// Whether it is the rows that are wrong: a value out of range, a violated constraint, what a trigger says.
    pub(crate) fn is_about_rows(&self) -> bool {
        let Trouble::Server { code, .. } = self else { return false };
        ["21", "22", "23", "44", "P0"].iter().any(|class| code.starts_with(class))
    }

    /// The server's code.
    pub(crate) fn code(&self) -> &str {
        if let Trouble::Server { code, .. } = self { code } else { "" }
    }
}

/// A row as texts.
pub(crate) type Texts = Vec<Option<String>>;

/// A message of the server.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The number at its front.
    pub(super) fn number(&self) -> Option<i32> {
        Some(i32::from_be_bytes(self.body.get(..4)?.try_into().ok()?))
    }
}

/// A session with a server. After trouble with the connection it is of no more use.
pub(crate) struct Session {
    wire: Box<dyn Wire>,
    out: Vec<u8>,
    input: Vec<u8>,
    /// How far the input was read.
    at: usize,
    patience: Duration,
}

impl Session {
    /// Begins one.
    pub(crate) fn begin(server: &Server) -> Result<Session, Trouble> {
        let place = Place::read(&server.url.value()).map_err(Trouble::Refused)?;
        let begin = async {
            let wire = login::reach(server, &place).await?;
            let patience = server.statement + SLACK;
            let mut session = Session { wire, out: Vec::new(), input: Vec::new(), at: 0, patience };
            login::enter(&mut session, &place).await?;
            Ok(session)
        };
        let mut session = waited(server.connect, begin)?;
        session.run(&format!("set statement_timeout = {}", server.statement.as_millis()))?;
        Ok(session)
    }

    /// Runs statements one behind the other; the rows of the last that gave some.
    pub(crate) fn run(&mut self, statements: &str) -> Result<Vec<Texts>, Trouble> {
        let patience = self.patience;
        waited(patience, async {
            self.put(b'Q', &zero_ended(statements));
            self.flush().await?;
            let (mut rows, mut failed) = (Vec::new(), None);
            loop {
                match self.answer().await {
                    Ok(message) => match message.kind {
                        b'T' => rows.clear(),
                        b'D' => rows.push(texts(&message.body)?),
                        b'Z' => return failed.map_or(Ok(rows), Err),
                        _ => {}
                    },
                    Err(trouble @ Trouble::Server { .. }) => failed = failed.or(Some(trouble)),
                    Err(trouble) => return Err(trouble),
                }
            }
        })
    }

    /// `copy ... from stdin` with these bytes.
    pub(crate) fn copy(&mut self, statement: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let patience = self.patience;
        waited(patience, async {
            self.put(b'Q', &zero_ended(statement));
            self.flush().await?;
            let mut failed = None;
            loop {
                match self.answer().await {
                    Ok(message) => match message.kind {
                        b'G' => {
                            for piece in bytes.chunks(PIECE) {
                                self.put(b'd', piece);
                                self.flush().await?;
                            }
                            self.put(b'c', &[]);
                            self.flush().await?;
                        }
                        b'Z' => return failed.map_or(Ok(()), Err),
                        _ => {}
                    },
                    Err(trouble @ Trouble::Server { .. }) => failed = failed.or(Some(trouble)),
                    Err(trouble) => return Err(trouble),
                }
            }
        })
    }

    /// One statement whose rows are given as bytes, each to `take`. Parameters are `$1`, `$2`, as texts.
    pub(crate) fn read(
        &mut self,
        statement: &str,
        parameters: &[&str],
        mut take: impl FnMut(&[Option<&[u8]>]) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let patience = self.patience;
        let short = |count: usize| i16::try_from(count).unwrap_or(i16::MAX).to_be_bytes();
        let mut parse = vec![0];
        parse.extend(zero_ended(statement));
        parse.extend([0, 0]);
        let mut bind = vec![0, 0, 0, 0];
        bind.extend(short(parameters.len()));
        for parameter in parameters {
            bind.extend(i32::try_from(parameter.len()).unwrap_or(i32::MAX).to_be_bytes());
            bind.extend(parameter.as_bytes());
        }
        bind.extend([0, 1, 0, 1]);
        waited(patience, async {
            self.put(b'P', &parse);
            self.put(b'B', &bind);
            self.put(b'E', &[0, 0, 0, 0, 0]);
            self.put(b'S', &[]);
            self.flush().await?;
            let mut failed = None;
            loop {
                match self.answer().await {
                    Ok(message) => match message.kind {
                        b'D' if failed.is_none() => {
                            failed = take(&values(&message.body)?).err().map(Trouble::Refused);
                        }
                        b'Z' => return failed.map_or(Ok(()), Err),
                        _ => {}
                    },
                    Err(trouble @ Trouble::Server { .. }) => failed = failed.or(Some(trouble)),
                    Err(trouble) => return Err(trouble),
                }
            }
        })
    }

    /// A message that begins with its length.
    pub(super) fn put_untyped(&mut self, body: &[u8]) {
        self.out.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        self.out.extend(body);
    }

    /// A message of a kind.
    pub(super) fn put(&mut self, kind: u8, body: &[u8]) {
        self.out.push(kind);
        self.put_untyped(body);
    }

    /// Sends what was put.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        self.wire.write_all(&self.out).await?;
        self.wire.flush().await?;
        self.out.clear();
        Ok(())
    }

    /// The next message; what the server says of an error ends a session that is not yet begun.
    pub(super) async fn next(&mut self) -> Result<Message, Trouble> {
        self.answer().await
    }

    /// The next message that is one: notices and parameters are none. An error is one of its own.
    async fn answer(&mut self) -> Result<Message, Trouble> {
        loop {
            let message = self.message().await?;
            match message.kind {
                b'E' => return Err(error(&message.body)),
                b'N' | b'S' | b'A' | b'K' => {}
                _ => return Ok(message),
            }
        }
    }

    async fn message(&mut self) -> Result<Message, Trouble> {
        self.fill(5).await?;
        let head = &self.input[self.at..self.at + 5];
        let (kind, length) = (head[0], [head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if !(4..=LONGEST).contains(&length) {
            return Err(Trouble::Protocol("a message has no length that it could have".into()));
        }
        self.fill(length + 1).await?;
        let body = self.input[self.at + 5..self.at + 1 + length].to_vec();
        self.at += length + 1;
        Ok(Message { kind, body })
    }

    /// Reads until so many bytes are there. Memory grows with what comes, not with what is said to come.
    async fn fill(&mut self, count: usize) -> Result<(), Trouble> {
        while self.input.len() - self.at < count {
            if self.at > 0 {
                self.input.drain(..self.at);
                self.at = 0;
            }
            self.input.reserve(65_536);
            if self.wire.read_buf(&mut self.input).await? == 0 {
                let gone = io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the connection");
                return Err(Trouble::Lost(gone));
            }
        }
        Ok(())
    }
}

/// Waits for the network, but not for ever.
fn waited<T>(most: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let late = |_| {
        let why = format!("no answer within {} ms", most.as_millis());
        Trouble::Lost(io::Error::new(io::ErrorKind::TimedOut, why))
    };
    runtime()?.block_on(async { tokio::time::timeout(most, work).await.map_err(late)? })
}

/// A text as the protocol has it. What is behind a zero would be lost, so zeros are.
pub(super) fn zero_ended(text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
    bytes.push(0);
    bytes
}

/// The text from there to the end.
pub(super) fn text_at(body: &[u8], at: usize) -> String {
    String::from_utf8_lossy(body.get(at..).unwrap_or_default()).into_owned()
}

/// Columns of a row.
fn values(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Trouble> {
    let broken = || Trouble::Protocol("a row is cut off".into());
    let (count, mut rest) = body.split_at_checked(2).ok_or_else(broken)?;
    let count = u16::from_be_bytes([count[0], count[1]]);
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (length, behind) = rest.split_at_checked(4).ok_or_else(broken)?;
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let Ok(length) = usize::try_from(length) else {
            values.push(None);
            rest = behind;
            continue;
        };
        let (value, behind) = behind.split_at_checked(length).ok_or_else(broken)?;
        values.push(Some(value));
        rest = behind;
    }
    Ok(values)
}

fn texts(body: &[u8]) -> Result<Texts, Trouble> {
    let text = |value: Option<&[u8]>| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Ok(values(body)?.into_iter().map(text).collect())
}

/// What the server says: the sentence, the detail behind it.
fn error(body: &[u8]) -> Trouble {
    let field = |kind: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    let mut message = field(b'M').unwrap_or_default();
    if let Some(detail) = field(b'D') {
        message = format!("{message} ({detail})");
    }
    Trouble::Server { code: field(b'C').unwrap_or_default(), message }
}
