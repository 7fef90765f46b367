//! What a log keeps of a source: its messages as bytes, and positions in it, from which the same rows follow again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::seams::{BadRow, Position};
use crate::sources::cutter::Skips;
use crate::sources::receiver::inbox::Message;

/// The version of both. A position of a source without a log has eight bytes, and so none.
const VERSION: u8 = 1;

/// How far batches have had what is in a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frontier {
    /// The first message that is not used up.
    pub(super) next: u64,
    /// What is left of the streams of peers that were there before it.
    pub(super) peers: BTreeMap<u64, Left>,
    /// Of the messages from there on some rows are used.
    pub(super) begun: Option<Begun>,
}

/// A block that was used in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// The last message it was cut from.
    pub(super) through: u64,
    /// How many bad rows are used.
    pub(super) bad: u64,
    /// How many others.
    pub(super) rows: u64,
}

/// A stream between two messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) name: Arc<str>,
    pub(super) header: Option<Arc<[u8]>>,
    /// As a `Cutter` has them.
    pub(super) lines: u64,
    pub(super) at: u64,
    pub(super) skips: Skips,
    /// How long the line is whose end has not come, and whether it was too long.
    pub(super) tail: u64,
    pub(super) skipping: bool,
    pub(super) pending: Pending,
}

/// The start of a record whose end has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pending {
    /// It is short: here it is.
    Here(Vec<u8>),
    /// So many bytes, which begin in the log in that message of the peer's.
    Logged { length: u64, from: At },
}

/// A byte of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) message: u64,
    pub(super) offset: u64,
    /// How much had come before that message; only counted while it runs.
    pub(super) passed: u64,
}

impl Frontier {
    /// The first message that is still needed.
    pub(super) fn needs(&self) -> u64 {
        let logged = self.peers.values().filter_map(|left| match left.pending {
            Pending::Logged { from, .. } => Some(from.message),
            Pending::Here(_) => None,
        });
        logged.min().unwrap_or(self.next).min(self.next)
    }

    /// As a position.
    pub(super) fn position(&self) -> Position {
        let mut out = Vec::new();
        out.push(VERSION);
        put(&mut out, self.next);
        out.push(self.begun.is_some().into());
        for number in self.begun.iter().flat_map(|begun| [begun.through, begun.bad, begun.rows]) {
            put(&mut out, number);
        }
        put(&mut out, self.peers.len() as u64);
        for (peer, left) in &self.peers {
            put(&mut out, *peer);
            put_bytes(&mut out, left.name.as_bytes());
            out.push(left.header.is_some().into());
            put_bytes(&mut out, left.header.as_deref().unwrap_or_default());
            [left.lines, left.at, left.tail].into_iter().for_each(|number| put(&mut out, number));
            out.push(match left.skips {
                Skips::Nothing => 0,
                Skips::Line => 1,
                Skips::Rest => 2,
            });
            out.push(left.skipping.into());
            match &left.pending {
                Pending::Here(bytes) => {
                    out.push(0);
                    put_bytes(&mut out, bytes);
                }
                Pending::Logged { length, from } => {
                    out.push(1);
                    [*length, from.message, from.offset].into_iter().for_each(|number| put(&mut out, number));
                }
            }
        }
        Position(out)
    }

    /// From a position. None where it is none of ours, or damaged.
    pub(super) fn of(position: &Position) -> Option<Frontier> {
        let mut from = Bytes(&position.0);
        if from.byte()? != VERSION {
            return None;
        }
        let mut found = Frontier { next: from.number()?, ..Frontier::default() };
        if from.byte()? == 1 {
            found.begun = Some(Begun { through: from.number()?, bad: from.number()?, rows: from.number()? });
        }
        for _ in 0..from.number()? {
            let peer = from.number()?;
            let name = from.text()?.into();
            let has_header = from.byte()? == 1;
            let header = Some(from.bytes()?).filter(|_| has_header).map(Arc::from);
            let (lines, at, tail) = (from.number()?, from.number()?, from.number()?);
            let skips = match from.byte()? {
                0 => Skips::Nothing,
                1 => Skips::Line,
                _ => Skips::Rest,
            };
            let skipping = from.byte()? == 1;
            let pending = match from.byte()? {
                0 => Pending::Here(from.bytes()?.to_vec()),
                _ => {
                    let length = from.number()?;
                    Pending::Logged { length, from: At { message: from.number()?, offset: from.number()?, passed: 0 } }
                }
            };
            found.peers.insert(peer, Left { name, header, lines, at, skips, tail, skipping, pending });
        }
        from.0.is_empty().then_some(found)
    }
}

const CAME: u8 = 0;
const BYTES: u8 = 1;
const GONE: u8 = 2;
const RECORD: u8 = 3;
const BAD: u8 = 4;
const BODY: u8 = 5;

/// A message as bytes.
pub(super) fn written(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    match message {
        Message::Came { peer, name } => {
            out.push(CAME);
            put(&mut out, *peer);
            put_bytes(&mut out, name.as_bytes());
        }
        Message::Bytes { peer, bytes } => {
            out.push(BYTES);
            put(&mut out, *peer);
            put_bytes(&mut out, bytes);
        }
        Message::Gone { peer } => {
            out.push(GONE);
            put(&mut out, *peer);
        }
        Message::Record { place, number, bytes } => {
            out.push(RECORD);
            put_bytes(&mut out, place.as_bytes());
            put(&mut out, *number);
            put_bytes(&mut out, bytes);
        }
        Message::Bad(bad) => {
            out.push(BAD);
            put_bytes(&mut out, bad.place.as_bytes());
            put(&mut out, bad.line);
            put_bytes(&mut out, bad.reason.as_bytes());
            put_bytes(&mut out, bad.text.as_bytes());
        }
        Message::Body { place, bytes, .. } => {
            out.push(BODY);
            put_bytes(&mut out, place.as_bytes());
            put_bytes(&mut out, bytes);
        }
    }
    out
}

/// A message from its bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let mut from = Bytes(bytes);
    let message = match from.byte()? {
        CAME => Message::Came { peer: from.number()?, name: from.text()?.into() },
        BYTES => Message::Bytes { peer: from.number()?, bytes: from.bytes()?.to_vec() },
        GONE => Message::Gone { peer: from.number()? },
        RECORD => {
            let (place, number) = (from.text()?.into(), from.number()?);
            Message::Record { place, number, bytes: from.bytes()?.to_vec() }
        }
        BAD => {
            let (place, line) = (from.text()?.to_owned(), from.number()?);
            let reason = from.text()?.to_owned();
            Message::Bad(BadRow { text: from.text()?.to_owned(), reason, place, line, bytes: None })
        }
        BODY => {
            let place = from.text()?.into();
            let bytes = from.bytes()?.to_vec();
            Message::Body { place, weight: bytes.len() as u64, bytes, decoded: None }
        }
        _ => return None,
    };
    from.0.is_empty().then_some(message)
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let bad = BadRow { text: "x".into(), reason: "no".into(), place: "p".into(), line: 3, bytes: None };
        let messages = [
            Message::Came { peer: 7, name: "a:1".into() },
            Message::Bytes { peer: 7, bytes: b"ab\ncd".to_vec() },
            Message::Record { place: "p".into(), number: 9, bytes: Vec::new() },
            Message::Bad(bad),
            Message::Body { place: "p".into(), bytes: b"{}".to_vec(), weight: 2, decoded: None },
            Message::Gone { peer: 7 },
        ];
        for message in &messages {
            let bytes = written(message);
            assert_eq!(written(&read(&bytes).unwrap()), bytes);
            for length in 0..bytes.len() {
                assert!(read(&bytes[..length]).is_none(), "{length} of {bytes:?}");
            }
        }
    }

    #[test]
    fn a_position_comes_back_whole() {
        let left = |pending| Left {
            name: "a".into(),
            header: Some(Arc::from(b"x,y\n".as_slice())),
            lines: 3,
            at: 40,
            skips: Skips::Line,
            tail: 5,
            skipping: true,
            pending,
        };
        let logged = Pending::Logged { length: 9, from: At { message: 4, offset: 2, passed: 0 } };
        let peers = BTreeMap::from([(1, left(Pending::Here(b"ab".to_vec()))), (2, left(logged))]);
        let frontier = Frontier { next: 12, peers, begun: Some(Begun { through: 14, bad: 1, rows: 2 }) };
        let position = frontier.position();
        assert_eq!(Frontier::of(&position), Some(frontier.clone()));
        assert_eq!(frontier.needs(), 4);
        for length in 0..position.0.len() {
            assert_eq!(Frontier::of(&Position(position.0[..length].to_vec())), None);
        }
    }
}
