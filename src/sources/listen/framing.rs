//! Where one record of a client ends and the next begins, for framings other than lines.

use std::ops::ControlFlow;

use crate::plan::seams::BadRow;

/// The longest number of a syslog frame.
const DIGITS: usize = 10;

/// A record, or what should have been one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Record(Vec<u8>),
    Bad { text: String, reason: String },
}

impl Frame {
    pub(super) fn bad(bytes: &[u8], reason: impl Into<String>) -> Self {
        Frame::Bad { text: BadRow::shown(bytes), reason: reason.into() }
    }
}

/// How a client's bytes are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// RFC 6587: `MSG-LEN SP MSG`, or a line, each record for itself.
    Syslog,
    /// Four bytes, big end first, before each record.
    Length,
}

/// Cuts one client's bytes into records.
#[derive(Debug)]
pub(super) struct Framer {
    framing: Framing,
    longest: usize,
    pending: Vec<u8>,
    /// So many bytes of a record that was too long are still to come.
    skip: u64,
    /// A line that was too long goes on.
    skip_line: bool,
}

/// What stands at the front.
enum Front {
    /// A record of so many bytes behind so many others, and as many behind it.
    Whole { head: usize, length: usize, tail: usize },
    /// One that is too long.
    TooLong { head: usize, length: u64 },
    /// A line that is too long, as far as it is there.
    TooLongLine,
    /// Its end is missing.
    Part,
}

impl Framer {
    pub(super) fn new(framing: Framing, longest: u64) -> Self {
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        Framer { framing, longest, pending: Vec::new(), skip: 0, skip_line: false }
    }

    /// The records that end in these bytes.
    pub(super) fn cut(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.pending.extend_from_slice(&bytes[skipped..]);
        let mut at = 0;
        while self.next(&mut at, &mut frames).is_continue() {}
        self.pending.drain(..at);
        frames
    }

    fn next(&mut self, at: &mut usize, frames: &mut Vec<Frame>) -> ControlFlow<()> {
        let rest = &self.pending[*at..];
        if self.skip_line {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                *at = self.pending.len();
                return ControlFlow::Break(());
            };
            self.skip_line = false;
            *at += end + 1;
            return ControlFlow::Continue(());
        }
        match self.front(rest) {
            Front::Whole { head, length, tail } => {
                let record = &rest[head..head + length];
                if !record.is_empty() {
                    frames.push(Frame::Record(self.one_line(record)));
                }
                *at += head + length + tail;
                ControlFlow::Continue(())
            }
            Front::TooLong { head, length } => {
                let there = &rest[head..];
                let used = usize::try_from(length).unwrap_or(usize::MAX).min(there.len());
                frames.push(Frame::bad(&there[..used], format!("longer than {} bytes", self.longest)));
                self.skip = length - used as u64;
                *at += head + used;
                if self.skip > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Front::TooLongLine => {
                frames.push(Frame::bad(rest, format!("longer than {} bytes", self.longest)));
                self.skip_line = true;
                ControlFlow::Continue(())
            }
            Front::Part => ControlFlow::Break(()),
        }
    }

    fn front(&self, rest: &[u8]) -> Front {
        match self.framing {
            Framing::Length => match rest.first_chunk::<4>() {
                Some(head) => self.counted(4, u64::from(u32::from_be_bytes(*head)), rest),
                None => Front::Part,
            },
            Framing::Syslog => self.syslog(rest),
        }
    }

    /// A record starts with its length where it starts with a digit: a line of syslog starts with `<`.
    fn syslog(&self, rest: &[u8]) -> Front {
        let digits = rest.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        if (1..=DIGITS).contains(&digits) {
            match rest.get(digits) {
                None => return Front::Part,
                Some(b' ') => {
                    let number = rest[..digits].iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
                    return self.counted(digits + 1, number, rest);
                }
                Some(_) => {}
            }
        }
        match memchr::memchr(b'\n', rest) {
            Some(end) if end <= self.longest => {
                let length = if end > 0 && rest[end - 1] == b'\r' { end - 1 } else { end };
                Front::Whole { head: 0, length, tail: end + 1 - length }
            }
            None if rest.len() <= self.longest => Front::Part,
            _ => Front::TooLongLine,
        }
    }

    fn counted(&self, head: usize, length: u64, rest: &[u8]) -> Front {
        match usize::try_from(length) {
            Ok(length) if length <= self.longest && rest.len() >= head + length => {
                Front::Whole { head, length, tail: 0 }
            }
            Ok(length) if length <= self.longest => Front::Part,
            _ => Front::TooLong { head, length },
        }
    }

    /// A syslog message may have several lines where it is counted; as a record it is one. Line ends are written as
    /// syslog servers write them.
    fn one_line(&self, record: &[u8]) -> Vec<u8> {
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if self.framing == Framing::Length || memchr::memchr(b'\n', record).is_none() {
            return record.to_vec();
        }
        let parts: Vec<&[u8]> = record.split(|b| *b == b'\n').collect();
        parts.join(b"#012".as_slice())
    }

    /// The client has gone: what is left of a record, or a line without its end.
    pub(super) fn finish(mut self) -> Option<Frame> {
        if self.pending.is_empty() || self.skip_line {
            return None;
        }
        if self.framing == Framing::Syslog {
            let mut frames = self.cut(b"\n");
            if let Some(frame) = frames.pop() {
                return Some(frame);
            }
        }
        Some(Frame::bad(&self.pending, "ends in the middle of a record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, however the bytes are cut.
    fn frames(framing: Framing, longest: u64, bytes: &[u8]) -> Vec<Frame> {
        let cut = |size: usize| {
            let mut framer = Framer::new(framing, longest);
            let mut frames: Vec<Frame> = bytes.chunks(size).flat_map(|piece| framer.cut(piece)).collect();
            frames.extend(framer.finish());
            frames
        };
        let whole = cut(bytes.len());
        for size in 1..bytes.len() {
            // What is shown of a record that is too long depends on how much of it was there.
            let shape = |frames: &[Frame]| -> Vec<Frame> {
                let blank = |f: &Frame| match f {
                    Frame::Bad { reason, .. } => Frame::Bad { text: String::new(), reason: reason.clone() },
                    record => record.clone(),
                };
                frames.iter().map(blank).collect()
            };
            assert_eq!(shape(&cut(size)), shape(&whole), "in pieces of {size}");
        }
        whole
    }

    fn record(text: &str) -> Frame {
        Frame::Record(text.into())
    }

    #[test]
    fn syslog_is_counted_or_in_lines_record_by_record() {
        let got = frames(Framing::Syslog, 100, b"5 <1>ab<2>line\r\n9 <3>a\nb\nc\n<4>last");
        assert_eq!(got, [record("<1>ab"), record("<2>line"), record("<3>a#012b#012c"), record("<4>last")]);
    }

    #[test]
    fn a_record_that_is_too_long_costs_its_neighbours_nothing() {
        let got = frames(Framing::Syslog, 4, b"3 <1>20 aaaaaaaaaaaaaaaaaaaa3 <2><this line is long>\n<3>\n");
        let bad = |f: &Frame| matches!(f, Frame::Bad { reason, .. } if reason == "longer than 4 bytes");
        assert_eq!((&got[0], &got[2], &got[4]), (&record("<1>"), &record("<2>"), &record("<3>")));
        assert!(got.len() == 5 && bad(&got[1]) && bad(&got[3]), "{got:?}");
    }

    #[test]
    fn a_length_of_four_bytes_stands_before_each_record() {
        let got = frames(Framing::Length, 5, b"\0\0\0\x03one\0\0\0\x06longer\0\0\0\0\0\0\0\x05th\nee\0\0\0\x09hal");
        assert_eq!((&got[0], &got[2]), (&record("one"), &record("th\nee")));
        assert!(matches!(&got[1], Frame::Bad { reason, .. } if reason == "longer than 5 bytes"));
        assert_eq!(got.len(), 4, "{got:?}");
    }
}
