//! Fluentd's forward protocol: events of one client as lines of JSON, and the answer that they were taken in.

use std::io::Read;

use chrono::{DateTime, SecondsFormat};
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use crate::sources::listen::framing::Frame;
use crate::sources::listen::msgpack::{Fault, Packed, Scan, read};

/// A larger message ends the connection: nobody can tell where the next one starts.
const MESSAGE: usize = 16 << 20;

/// Compressed events may become as large as this.
const UNPACKED: u64 = 64 << 20;

/// Cuts one client's bytes into messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pending: Vec<u8>,
    scan: Scan,
}

/// What a message holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its events, each a line.
    pub(super) frames: Vec<Frame>,
    /// What to answer when they have been taken in.
    pub(super) answer: Option<Vec<u8>>,
}

impl Messages {
    /// More bytes of the client's.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next message; none where its end is missing. The error says why nothing behind it can be read.
    pub(super) fn next(&mut self, longest: u64) -> Result<Option<Message>, Frame> {
        let wrong = |pending: &[u8], reason: &str| Frame::bad(pending, format!("no forward message: {reason}"));
        match self.scan.end(&self.pending) {
            Ok(Some(end)) => {
                let message: Vec<u8> = self.pending.drain(..end).collect();
                self.scan = Scan::default();
                Ok(Some(match read(&message) {
                    Ok((Packed::Plain(Value::Null), _)) => Message::default(),
                    Ok((value, _)) => events(value, longest).unwrap_or_else(|reason| Message {
                        frames: vec![Frame::bad(&message, format!("no forward message: {reason}"))],
                        answer: None,
                    }),
                    Err(fault) => Message { frames: vec![wrong(&message, reason_of(&fault))], answer: None },
                }))
            }
            Ok(None) if self.pending.len() > MESSAGE => {
                Err(wrong(&self.pending, &format!("longer than {MESSAGE} bytes")))
            }
            Ok(None) => Ok(None),
            Err(fault) => Err(wrong(&self.pending, reason_of(&fault))),
        }
    }

    /// The client has gone: what is left of a message.
    pub(super) fn finish(self) -> Option<Frame> {
        (!self.pending.is_empty()).then(|| Frame::bad(&self.pending, "ends in the middle of a message"))
    }
}

fn reason_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::Short => "it is cut off",
        Fault::Wrong(reason) => reason,
    }
}

/// The events of a message, in any of the protocol's four modes.
fn events(message: Packed, longest: u64) -> Result<Message, &'static str> {
    let Packed::List(parts) = message else { return Err("it is no list") };
    let mut parts = parts.into_iter();
    let tag = parts.next().and_then(Packed::text).ok_or("its tag is no text")?;
    let second = parts.next().ok_or("it has a tag alone")?;
    let third = parts.next();
    let mut frames = Vec::new();
    let mut add = |time: Packed, record: Packed| frames.push(event(&tag, time, record, longest));
    let option = match (second, third) {
        (Packed::List(entries), option) if entries.iter().all(|entry| matches!(entry, Packed::List(_))) => {
            entries.into_iter().try_for_each(|entry| pair(entry).map(|(time, record)| add(time, record)))?;
            option
        }
        (Packed::Bytes(packed), option) => {
            let packed = if is_compressed(option.as_ref()) { unpacked(&packed)? } else { packed };
            let mut rest = packed.as_slice();
            while !rest.is_empty() {
                let (entry, used) = read(rest).map_err(|fault| reason_of(&fault))?;
                let (time, record) = pair(entry)?;
                add(time, record);
                rest = &rest[used..];
            }
            option
        }
        (time, Some(record)) => {
            add(time, record);
            parts.next()
        }
        (_, None) => return Err("it has no events"),
    };
    Ok(Message { frames, answer: option.and_then(chunk).map(|chunk| answer(&chunk)) })
}

/// An entry's time and record. Newer clients write `[[time, about], record]`.
fn pair(entry: Packed) -> Result<(Packed, Packed), &'static str> {
    let Packed::List(parts) = entry else { return Err("an entry is no list") };
    match <[Packed; 2]>::try_from(parts) {
        Ok([Packed::List(about), record]) => {
            Ok((about.into_iter().next().unwrap_or(Packed::Plain(Value::Null)), record))
        }
        Ok([time, record]) => Ok((time, record)),
        Err(_) => Err("an entry is not a time and a record"),
    }
}

/// An event as a line: its fields, and `tag` and `time` where it has none of that name.
fn event(tag: &str, time: Packed, record: Packed, longest: u64) -> Frame {
    let mut fields = match record.json() {
        Value::Object(fields) => fields,
        other => Map::from_iter([("record".to_owned(), other)]),
    };
    fields.entry("tag").or_insert_with(|| Value::from(tag));
    fields.entry("time").or_insert_with(|| moment(time));
    let line = Value::Object(fields).to_string().into_bytes();
    if line.len() as u64 > longest {
        return Frame::bad(&line, format!("longer than {longest} bytes"));
    }
    Frame::Record(line)
}

/// Seconds, or the protocol's own kind with nanoseconds, as a text of RFC 3339.
fn moment(time: Packed) -> Value {
    let (seconds, nanos) = match &time {
        Packed::Plain(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) => (seconds, 0),
            (None, Some(seconds)) => (seconds.floor() as i64, (seconds.fract().abs() * 1e9) as u32),
            (None, None) => return Value::Null,
        },
        Packed::Extension(0, bytes) if bytes.len() == 8 => {
            let half = |at: usize| bytes[at..at + 4].iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
            (half(0).into(), half(4))
        }
        _ => return Value::Null,
    };
    let moment = DateTime::from_timestamp(seconds, nanos);
    moment.map_or(Value::Null, |moment| Value::from(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

fn field<'a>(option: &'a Packed, name: &str) -> Option<&'a Packed> {
    let Packed::Map(fields) = option else { return None };
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn is_compressed(option: Option<&Packed>) -> bool {
    option.and_then(|option| field(option, "compressed")) == Some(&Packed::Bytes(b"gzip".to_vec()))
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(UNPACKED + 1).read_to_end(&mut out).map_err(|_| "it is not gzip")?;
    if out.len() as u64 > UNPACKED { Err("it unpacks to more than 64 MB") } else { Ok(out) }
}

fn chunk(option: Packed) -> Option<Vec<u8>> {
    match field(&option, "chunk") {
        Some(Packed::Bytes(chunk)) => Some(chunk.clone()),
        _ => None,
    }
}

/// `{"ack": chunk}`
fn answer(chunk: &[u8]) -> Vec<u8> {
    let mut out = b"\x81\xa3ack".to_vec();
    match u8::try_from(chunk.len()) {
        Ok(short) if short < 32 => out.push(0xa0 | short),
        Ok(short) => out.extend([0xd9, short]),
        Err(_) => {
            out.push(0xdb);
            out.extend(u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(chunk);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// `[EventTime, {"n": n}]`
    fn entry(n: u8) -> Vec<u8> {
        [b"\x92\xd7\x00\0\0\0\x01\x1d\xcd\x65\x00\x81\xa1n".as_slice(), &[n]].concat()
    }

    fn lines(bytes: &[u8]) -> (Vec<String>, Option<Vec<u8>>) {
        let mut messages = Messages::default();
        let (front, last) = bytes.split_at(bytes.len() - 1);
        messages.add(front);
        assert_eq!(messages.next(1000), Ok(None));
        messages.add(last);
        let message = messages.next(1000).unwrap().unwrap();
        assert_eq!(messages.next(1000), Ok(None));
        let line = |frame: Frame| match frame {
            Frame::Record(line) => String::from_utf8(line).unwrap(),
            Frame::Bad { reason, .. } => reason,
        };
        (message.frames.into_iter().map(line).collect(), message.answer)
    }

    const FIRST: &str = r#"{"n":1,"tag":"app","time":"1970-01-01T00:00:01.500Z"}"#;
    const SECOND: &str = r#"{"n":2,"tag":"app","time":"1970-01-01T00:00:01.500Z"}"#;

    #[test]
    fn all_four_modes_are_read() {
        let message = b"\x93\xa3app\x05\x82\xa1n\x01\xa3tag\xa1x";
        assert_eq!(lines(message).0, [r#"{"n":1,"tag":"x","time":"1970-01-01T00:00:05Z"}"#]);
        let forward = [b"\x92\xa3app\x92".as_slice(), &entry(1), &entry(2)].concat();
        assert_eq!(lines(&forward), (vec![FIRST.into(), SECOND.into()], None));
        let packed = [entry(1), entry(2)].concat();
        let head = |bytes: &[u8]| [b"\xc4", [u8::try_from(bytes.len()).unwrap()].as_slice()].concat();
        let whole = [b"\x93\xa3app".as_slice(), &head(&packed), &packed, b"\x81\xa5chunk\xa3abc"].concat();
        assert_eq!(lines(&whole), (vec![FIRST.into(), SECOND.into()], Some(b"\x81\xa3ack\xa3abc".to_vec())));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&packed).unwrap();
        let gzip = gzip.finish().unwrap();
        let whole = [b"\x93\xa3app".as_slice(), &head(&gzip), &gzip, b"\x81\xaacompressed\xa4gzip"].concat();
        assert_eq!(lines(&whole).0, [FIRST, SECOND]);
    }

    #[test]
    fn what_is_no_message_is_told_and_the_next_one_is_read() {
        let mut messages = Messages::default();
        messages.add(b"\xc0\x05\x93\xa1t\x00\x80");
        assert_eq!(messages.next(1000), Ok(Some(Message::default())), "a heartbeat");
        let bad = messages.next(1000).unwrap().unwrap();
        assert!(
            matches!(&bad.frames[..], [Frame::Bad { reason, .. }] if reason == "no forward message: it is no list")
        );
        assert!(matches!(&messages.next(1000).unwrap().unwrap().frames[..], [Frame::Record(_)]));
        messages.add(b"\xc1");
        assert!(messages.next(1000).is_err());
    }
}
