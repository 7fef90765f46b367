//! Cuts what peers sent into blocks of rows: each peer's stream by itself, single records together. Nothing that a peer
//! can send costs more memory than its longest record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece, Read};
use crate::sources::cutter::{self, Cutter};
use crate::sources::receiver::inbox::{Message, Numbered};
use crate::sources::receiver::kept::{At, Begun, Frontier, Left, Pending};

/// Smaller blocks are put together up to so many rows.
const BLOCK_ROWS: usize = 16_384;

/// So many bytes of a record whose end has not come are part of a position; of more it is said where in the log they are
/// ...
const SHORT: usize = 4_096;

/// ... unless so many bytes have come since.
const FAR: u64 = 64 << 20;

/// Turns messages into blocks.
pub(super) struct Blocks {
    codec: Arc<dyn FormatCodec>,
    /// A longer record is a bad row.
    longest: usize,
    /// As much of a stream whose records are no lines may wait for its end.
    whole: usize,
    peers: BTreeMap<u64, Stream>,
    ready: VecDeque<Block>,
    /// Bytes that came since the last block.
    passed: u64,
    /// Where there is a log: what batches have had of it.
    used: Option<Used>,
}

/// What batches have had of a log, and what changed behind that.
#[derive(Default)]
struct Used {
    frontier: Frontier,
    /// Peers of which something came since the last block.
    touched: BTreeSet<u64>,
    /// The message behind the last one that was cut.
    next: u64,
    /// Bytes of all messages that were cut.
    passed: u64,
}

/// What the end of a block says of the log.
struct Through {
    last: u64,
    /// Streams that changed in it.
    peers: Vec<(u64, Option<Left>)>,
    /// Bad rows and rows of it that were taken.
    bad: u64,
    rows: u64,
}

/// What one peer sends.
struct Stream {
    name: Arc<str>,
    cutter: Cutter,
    /// How long the line is whose end has not come yet.
    tail: usize,
    /// It was too long: what comes is thrown away up to its end.
    skipping: bool,
    /// Where the bytes begin in the log that wait for their end.
    from: At,
}

/// What was cut in one go.
#[derive(Default)]
struct Block {
    rows: VecDeque<RecordBatch>,
    bad: Vec<BadRow>,
    bytes: u64,
    /// What it counts of the bytes that may wait.
    weight: u64,
    through: Option<Through>,
}

/// Single records that can be read together.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    /// Behind how many lines each ends, and which it is.
    ends: Vec<(u64, Single)>,
    lines: u64,
}

/// A single record: whose it is, its number, and at which byte of the run it begins.
struct Single {
    place: Arc<str>,
    number: u64,
    begins: u64,
}

impl Blocks {
    pub(super) fn new(codec: Arc<dyn FormatCodec>, longest: u64, whole: u64) -> Self {
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (longest, whole) = (size(longest), size(whole));
        Blocks { codec, longest, whole, peers: BTreeMap::new(), ready: VecDeque::new(), passed: 0, used: None }
    }

    /// What time it is, for formats whose times leave something out.
    pub(super) fn now(&self, micros: i64) {
        self.codec.now(micros);
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether there is as much as may be taken.
    pub(super) fn has(&self, rows: usize, bytes: u64) -> bool {
        let (mut all, mut size) = (0, 0);
        for block in &self.ready {
            all += block.bad.len() + block.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            size += block.bytes;
        }
        all >= rows || size >= bytes
    }

    /// Makes a block of these. Gives back how much of what they count is of no use any more: a line that goes on, an
    /// empty message.
    pub(super) fn cut(&mut self, messages: Numbered) -> Result<u64, TaskError> {
        let weight = messages.iter().map(|(_, message)| message.weight()).sum();
        let bytes = messages.iter().map(|(_, message)| message.bytes()).sum::<u64>();
        self.passed += bytes;
        let (mut read, mut run) = (Read::default(), Run::default());
        for (number, message) in messages {
            if let Some(used) = &mut self.used {
                used.sees(number, &message);
            }
            let lines = self.codec.is_lines();
            match message {
                Message::Record { place, number, bytes } if lines => run.add(place, number, &bytes),
                other => {
                    self.cut_run(&mut run, &mut read)?;
                    self.cut_one(number, other, &mut read)?;
                }
            }
        }
        self.cut_run(&mut run, &mut read)?;
        if read.blocks.is_empty() && read.bad.is_empty() {
            return Ok(weight);
        }
        let rows = together(read.blocks).map_err(|e| TaskError::Bug(e.to_string()))?;
        let bytes = std::mem::take(&mut self.passed);
        let through = self.through();
        self.ready.push_back(Block { rows, bad: read.bad, bytes, weight, through });
        Ok(0)
    }

    fn cut_one(&mut self, number: u64, message: Message, read: &mut Read) -> Result<(), TaskError> {
        match message {
            Message::Came { peer, name } => {
                let cutter = Cutter::new(Arc::clone(&self.codec)).limited(self.longest.max(self.whole));
                self.peers.insert(peer, Stream { name, cutter, tail: 0, skipping: false, from: At::default() });
            }
            Message::Bytes { peer, bytes } => {
                if let Some(stream) = self.peers.get_mut(&peer) {
                    if self.codec.is_lines() {
                        stream.take_lines(&bytes, self.longest, read)?;
                    } else {
                        stream.take(&bytes, self.whole, read)?;
                    }
                    let passed = self.used.as_ref().map_or(0, |used| used.passed);
                    stream.pends_from(bytes.len() as u64, At { message: number, offset: 0, passed });
                }
            }
            Message::Gone { peer } => {
                if let Some(mut stream) = self.peers.remove(&peer) {
                    stream.finish(read)?;
                }
            }
            Message::Record { place, number, bytes } => {
                let decoded = whole(self.codec.as_ref(), &bytes)?;
                read.blocks.extend(decoded.blocks);
                let place = |bad| BadRow { place: place.to_string(), line: number, ..bad };
                read.bad.extend(decoded.bad.into_iter().map(place));
            }
            Message::Bad(bad) => read.bad.push(bad),
            Message::Body { place, decoded, bytes, .. } => {
                let decoded = decoded.map_or_else(|| whole(self.codec.as_ref(), &bytes), Ok)?;
                read.blocks.extend(decoded.blocks);
                let place = |bad: BadRow| BadRow { place: place.to_string(), line: bad.line + 1, ..bad };
                read.bad.extend(decoded.bad.into_iter().map(place));
            }
        }
        Ok(())
    }

    /// Reads records one behind the other, in one go.
    fn cut_run(&self, run: &mut Run, read: &mut Read) -> Result<(), TaskError> {
        let run = std::mem::take(run);
        if run.ends.is_empty() {
            return Ok(());
        }
        let decoded = decode(self.codec.as_ref(), &[], &run.bytes)?;
        read.blocks.extend(decoded.blocks);
        for bad in decoded.bad {
            let at = run.ends.partition_point(|(end, _)| *end <= bad.line);
            let Some((_, Single { place, number, begins })) = run.ends.get(at) else { continue };
            // What it was read together with is none of its place.
            let within = |at: u64| at.saturating_sub(*begins);
            let bytes = bad.bytes.map(|bytes| within(bytes.start)..within(bytes.end));
            read.bad.push(BadRow { place: place.to_string(), line: *number, bytes, ..bad });
        }
        Ok(())
    }

    /// Takes at most so many rows and about so many bytes off the front. Gives back what these count.
    pub(super) fn take(&mut self, rows: usize, bytes: u64, read: &mut Read) -> u64 {
        let mut weight = 0;
        while let Some(block) = self.ready.front_mut() {
            let room = rows.saturating_sub(taken(read));
            if room == 0 || read.bytes >= bytes {
                break;
            }
            weight += block.take(room, read);
            if !block.rows.is_empty() {
                break;
            }
            if let (Some(through), Some(used)) = (block.through.take(), &mut self.used) {
                used.frontier.passes(through.last, through.peers);
            }
            self.ready.pop_front();
        }
        weight
    }
}

/// With a log.
impl Blocks {
    /// Goes on behind what batches have had: streams as they were left, with what pends of them.
    pub(super) fn go_on(&mut self, mut frontier: Frontier, mut pending: BTreeMap<u64, Vec<u8>>) {
        for (peer, left) in &mut frontier.peers {
            let header = left.header.as_deref().map(<[u8]>::to_vec);
            let cutter = Cutter::new(Arc::clone(&self.codec)).limited(self.longest.max(self.whole));
            let mut cutter = cutter.left_so(header, left.lines, left.skips, left.at);
            let from = match &left.pending {
                Pending::Here(bytes) => {
                    cutter.pending().extend_from_slice(bytes);
                    At::default()
                }
                Pending::Logged { from, .. } => {
                    cutter.pending().extend(pending.remove(peer).unwrap_or_default());
                    *from
                }
            };
            let (tail, skipping) = (usize::try_from(left.tail).unwrap_or(usize::MAX), left.skipping);
            self.peers.insert(*peer, Stream { name: Arc::clone(&left.name), cutter, tail, skipping, from });
        }
        frontier.begun = None;
        self.used = Some(Used { next: frontier.next, frontier, ..Used::default() });
    }

    /// Cuts the block that was begun anew, of the same messages, and passes over what is used of it. Gives back as
    /// [`Blocks::cut`] does.
    pub(super) fn cut_begun(&mut self, messages: Numbered, begun: Begun) -> Result<u64, TaskError> {
        let unused = self.cut(messages)?;
        let (mut used, mut read) = (usize::try_from(begun.rows).unwrap_or(usize::MAX), Read::default());
        let Some(block) = self.ready.front_mut() else { return Ok(unused) };
        let bad = usize::try_from(begun.bad).unwrap_or(usize::MAX).min(block.bad.len());
        // What is left of the bad ones stays in front.
        let left = block.bad.split_off(bad);
        if let Some(through) = &mut block.through {
            through.bad += bad as u64;
        }
        block.bad.clear();
        used = used.min(cutter::count(block.rows.make_contiguous()));
        let weight = block.take(used, &mut read);
        block.bad = left;
        Ok(unused + weight)
    }

    /// What batches have had, as a position.
    pub(super) fn frontier(&mut self) -> Option<Frontier> {
        let is_empty = self.ready.is_empty();
        let through = if is_empty { self.through() } else { None };
        let used = self.used.as_mut()?;
        if let Some(through) = through {
            used.frontier.passes(through.last, through.peers);
        }
        self.brings_in();
        let used = self.used.as_ref()?;
        let mut frontier = used.frontier.clone();
        let begun = self.ready.front().and_then(|block| block.through.as_ref());
        frontier.begun = begun.filter(|through| through.bad + through.rows > 0).map(|through| Begun {
            through: through.last,
            bad: through.bad,
            rows: through.rows,
        });
        Some(frontier)
    }

    /// What pends for long is kept with the position, so that the log behind it is not needed.
    fn brings_in(&mut self) {
        let Some(used) = &mut self.used else { return };
        for (peer, left) in &mut used.frontier.peers {
            let Pending::Logged { from, .. } = left.pending else { continue };
            let is_far = used.passed.saturating_sub(from.passed) > FAR;
            let stream = self.peers.get_mut(peer).filter(|stream| is_far && stream.from == from);
            let Some(stream) = stream else { continue };
            let blocks = self.ready.iter_mut().filter_map(|block| block.through.as_mut());
            let later = blocks.flat_map(|through| &mut through.peers).filter(|(other, _)| other == peer);
            for left in std::iter::once(left).chain(later.filter_map(|(_, left)| left.as_mut())) {
                left.brings_in(from, stream.cutter.pending());
            }
            // Where it begins is not in the log any more.
            stream.from = At::default();
        }
    }

    /// Up to what message all was cut, and what became of streams since that was asked last.
    fn through(&mut self) -> Option<Through> {
        let used = self.used.as_mut()?;
        let touched = std::mem::take(&mut used.touched);
        let peers = touched.into_iter().map(|peer| (peer, self.peers.get_mut(&peer).map(Stream::left)));
        Some(Through { last: used.next.saturating_sub(1), peers: peers.collect(), bad: 0, rows: 0 })
    }
}

impl Left {
    /// What pends from there on begins with these bytes.
    fn brings_in(&mut self, at: At, bytes: &[u8]) {
        if let Pending::Logged { length, from } = self.pending
            && from == at
            && let Some(bytes) = usize::try_from(length).ok().and_then(|length| bytes.get(..length))
        {
            self.pending = Pending::Here(bytes.to_vec());
        }
    }
}

impl Used {
    fn sees(&mut self, number: u64, message: &Message) {
        self.next = number + 1;
        self.passed += message.bytes();
        if let Message::Came { peer, .. } | Message::Bytes { peer, .. } | Message::Gone { peer } = message {
            self.touched.insert(*peer);
        }
    }
}

impl Frontier {
    /// All up to a message is used.
    fn passes(&mut self, last: u64, peers: Vec<(u64, Option<Left>)>) {
        self.next = last + 1;
        for (peer, left) in peers {
            match left {
                Some(left) => self.peers.insert(peer, left),
                None => self.peers.remove(&peer),
            };
        }
    }
}

/// Rows, good or bad.
pub(super) fn taken(read: &Read) -> usize {
    cutter::count(&read.blocks) + read.bad.len()
}

impl Block {
    /// So many rows; unreadable ones come first.
    fn take(&mut self, most: usize, read: &mut Read) -> u64 {
        let all = self.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        let mut left = most.saturating_sub(self.bad.len());
        if let Some(through) = &mut self.through {
            through.bad += self.bad.len() as u64;
        }
        read.bad.append(&mut self.bad);
        let before = left;
        while left > 0
            && let Some(rows) = self.rows.pop_front()
        {
            if rows.num_rows() > left {
                read.blocks.push(rows.slice(0, left));
                self.rows.push_front(rows.slice(left, rows.num_rows() - left));
                left = 0;
            } else {
                left -= rows.num_rows();
                read.blocks.push(rows);
            }
        }
        if let Some(through) = &mut self.through {
            through.rows += (before - left) as u64;
        }
        let share = |all_bytes: u64| match self.rows.is_empty() {
            true => all_bytes,
            false => u64::try_from(u128::from(all_bytes) * (before - left) as u128 / all.max(1) as u128).unwrap_or(0),
        };
        let (bytes, weight) = (share(self.bytes), share(self.weight));
        self.bytes -= bytes;
        self.weight -= weight;
        read.bytes += bytes;
        weight
    }
}

impl Run {
    /// Adds a record, as a line.
    fn add(&mut self, place: Arc<str>, number: u64, bytes: &[u8]) {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let begins = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
        self.bytes.push(b'\n');
        self.lines += 1 + memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.ends.push((self.lines, Single { place, number, begins }));
    }
}

impl Stream {
    /// So many bytes came with that message: where what pends begins.
    fn pends_from(&mut self, came: u64, message: At) {
        let pending = self.cutter.pending().len() as u64;
        if pending <= came {
            self.from = At { offset: came - pending, ..message };
        }
    }

    /// What goes on behind this moment.
    fn left(&mut self) -> Left {
        let bytes = self.cutter.pending();
        let pending = match bytes.len() {
            length if length > SHORT && self.from != At::default() => {
                Pending::Logged { length: length as u64, from: self.from }
            }
            _ => {
                // The log behind the position may be let go of, and this with it.
                self.from = At::default();
                Pending::Here(bytes.clone())
            }
        };
        Left {
            name: Arc::clone(&self.name),
            header: self.cutter.header().map(Arc::from),
            lines: self.cutter.lines,
            at: self.cutter.at(),
            skips: self.cutter.skips(),
            tail: self.tail as u64,
            skipping: self.skipping,
            pending,
        }
    }

    /// Bytes of lines. One that is too long is a bad row, and what it consists of is not kept.
    fn take_lines(&mut self, bytes: &[u8], longest: usize, read: &mut Read) -> Result<(), TaskError> {
        let (mut good, mut start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', bytes) {
            let length = std::mem::take(&mut self.tail) + (end - start);
            if std::mem::take(&mut self.skipping) {
                good = end + 1;
            } else if length > longest {
                self.give(&bytes[good..start], read)?;
                self.too_long(&bytes[start..end], &format!("longer than {longest} bytes"), read);
                good = end + 1;
            }
            start = end + 1;
        }
        self.tail += bytes.len() - start;
        if self.skipping {
            return Ok(());
        }
        if self.tail > longest {
            self.give(&bytes[good..start], read)?;
            self.too_long(&bytes[start..], &format!("longer than {longest} bytes"), read);
            self.skipping = true;
            return Ok(());
        }
        self.give(&bytes[good..], read)
    }

    /// Bytes of which only the format knows where a record ends.
    fn take(&mut self, bytes: &[u8], most: usize, read: &mut Read) -> Result<(), TaskError> {
        if self.skipping {
            return Ok(());
        }
        self.give(bytes, read)?;
        if self.cutter.pending().len() > most {
            self.too_long(&[], "more than `buffer` without the end of a record", read);
            self.skipping = true;
        }
        Ok(())
    }

    fn give(&mut self, bytes: &[u8], read: &mut Read) -> Result<(), TaskError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.cutter.pending().extend_from_slice(bytes);
        self.cut(false, read).map(|_| ())
    }

    /// Cuts what can be cut; whether anything was.
    fn cut(&mut self, last: bool, read: &mut Read) -> Result<bool, TaskError> {
        let cut = self.cutter.cut(last, usize::MAX, 1)?;
        let any = cut.used > 0;
        let name = Arc::clone(&self.name);
        self.cutter.hand_on(cut.decoded, &name, read);
        Ok(any)
    }

    /// What is pending, and this, is no record.
    fn too_long(&mut self, rest: &[u8], reason: &str, read: &mut Read) {
        let mut shown = std::mem::take(self.cutter.pending());
        let goes_on = shown.len() + rest.len() > BadRow::SHOWN;
        shown.truncate(BadRow::SHOWN);
        shown.extend_from_slice(&rest[..rest.len().min(BadRow::SHOWN - shown.len())]);
        let mut text = String::from_utf8_lossy(&shown).into_owned();
        if goes_on {
            text.push_str("...");
        }
        let line = self.cutter.lines + 1;
        self.cutter.lines = line;
        read.bad.push(BadRow { text, reason: reason.to_owned(), place: self.name.to_string(), line, bytes: None });
    }

    /// The peer has gone: everything left is a record.
    fn finish(&mut self, read: &mut Read) -> Result<(), TaskError> {
        while !self.cutter.pending().is_empty() {
            if !self.cut(true, read)? {
                self.too_long(&[], "ends in the middle of a record", read);
            }
        }
        Ok(())
    }
}

/// Reads a whole file, message or body.
pub(in crate::sources) fn whole(codec: &dyn FormatCodec, bytes: &[u8]) -> Result<Decoded, TaskError> {
    let front = codec.header(bytes, true).unwrap_or(0).min(bytes.len());
    let (header, rest) = bytes.split_at(front);
    let mut decoded = decode(codec, header, rest)?;
    if front > 0 {
        decoded.bad.iter_mut().for_each(|bad| {
            bad.line += 1;
            bad.bytes = behind(bad.bytes.take(), front);
        });
    }
    Ok(decoded)
}

/// Reads records up to the last, however many calls that takes.
fn decode(codec: &dyn FormatCodec, header: &[u8], bytes: &[u8]) -> Result<Decoded, TaskError> {
    let mut all = Decoded::default();
    while all.used < bytes.len() {
        let rest = &bytes[all.used..];
        let decoded = codec.decode(&Piece { header, bytes: rest, last: true, records: usize::MAX, threads: 1 })?;
        if decoded.used == 0 && !decoded.over {
            let text = String::from_utf8_lossy(&rest[..rest.len().min(BadRow::SHOWN)]).into_owned();
            let reason = "ends in the middle of a record".to_owned();
            all.bad.push(BadRow { text, reason, place: String::new(), line: all.lines, bytes: None });
            all.used = bytes.len();
            return Ok(all);
        }
        let from_here = |bad: BadRow| BadRow { line: bad.line + all.lines, bytes: behind(bad.bytes, all.used), ..bad };
        all.bad.extend(decoded.bad.into_iter().map(from_here));
        all.blocks.extend(decoded.blocks);
        all.lines += decoded.lines;
        all.used = if decoded.over { bytes.len() } else { all.used + decoded.used };
    }
    Ok(all)
}

/// A range within something that itself begins so many bytes from the front.
fn behind(bytes: Option<Range<u64>>, front: usize) -> Option<Range<u64>> {
    bytes.map(|bytes| bytes.start + front as u64..bytes.end + front as u64)
}

/// Small blocks as larger ones.
fn together(blocks: Vec<RecordBatch>) -> Result<VecDeque<RecordBatch>, arrow::error::ArrowError> {
    let mut out = VecDeque::new();
    let mut small: Vec<RecordBatch> = Vec::new();
    let flush = |small: &mut Vec<RecordBatch>, out: &mut VecDeque<RecordBatch>| -> Result<(), _> {
        match small.len() {
            0 => {}
            1 => out.extend(small.pop()),
            _ => out.push_back(concat_batches(&small[0].schema(), small.iter())?),
        }
        small.clear();
        Ok::<_, arrow::error::ArrowError>(())
    };
    for block in blocks.into_iter().filter(|block| block.num_rows() > 0) {
        if cutter::count(&small) + block.num_rows() > BLOCK_ROWS {
            flush(&mut small, &mut out)?;
        }
        small.push(block);
    }
    flush(&mut small, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::tests::{source_endpoint, texts};

    fn blocks(format: &str, longest: u64, whole: u64) -> Blocks {
        let text = format!("source x = stdin() {{ {format} }} bad drop");
        let endpoint = source_endpoint(&text, std::path::Path::new("."));
        Blocks::new(cutter::codec(&endpoint, &endpoint.schema).unwrap(), longest, whole)
    }

    /// Rows, and where bad rows stand and why, of one peer's bytes in pieces of that size.
    fn cut(blocks: &mut Blocks, bytes: &[u8], size: usize) -> (Vec<String>, Vec<(u64, String)>) {
        let came = Message::Came { peer: 1, name: "a".into() };
        let pieces = bytes.chunks(size).map(|piece| Message::Bytes { peer: 1, bytes: piece.to_vec() });
        for message in std::iter::once(came).chain(pieces).chain([Message::Gone { peer: 1 }]) {
            blocks.cut(VecDeque::from([(0, message)])).unwrap();
        }
        let mut read = Read::default();
        blocks.take(usize::MAX, u64::MAX, &mut read);
        assert!(read.bytes + blocks.passed == bytes.len() as u64, "every byte is counted once");
        let bad = read.bad.into_iter().map(|bad| (bad.line, bad.reason)).collect();
        (read.blocks.iter().flat_map(texts).collect(), bad)
    }

    #[test]
    fn a_stream_gives_the_same_rows_however_it_comes() {
        let long = "x".repeat(40);
        let text = format!("one\ntwo\r\n{long}\nthree\n\n{long}{long}\nfour\n{long}");
        let expected = ["one", "two", "three", "", "four"].map(String::from).to_vec();
        let reason = || "longer than 20 bytes".to_owned();
        for size in 1..=text.len() {
            let (rows, bad) = cut(&mut blocks("", 20, 1000), text.as_bytes(), size);
            assert_eq!((rows, bad), (expected.clone(), vec![(3, reason()), (6, reason()), (8, reason())]), "by {size}");
        }
    }

    #[test]
    fn a_stream_without_the_end_of_a_record_is_given_up_when_it_is_too_long() {
        let (rows, bad) = cut(&mut blocks("format: parquet, schema: { id: int64 }", 10, 100), &b"PAR1".repeat(100), 50);
        assert!(rows.is_empty() && bad.len() == 1, "{bad:?}");
    }

    #[test]
    fn a_bad_row_of_a_body_stands_where_it_is_in_the_body() {
        let endpoint =
            source_endpoint("source x = stdin() { format: csv, schema: { a: int64 } } bad drop", ".".as_ref());
        let body = b"a\n1\nno\n2\n";
        let decoded = whole(cutter::codec(&endpoint, &endpoint.schema).unwrap().as_ref(), body).unwrap();
        let bad: Vec<_> = decoded.bad.iter().map(|bad| (bad.line, bad.bytes.clone())).collect();
        assert_eq!(bad, [(2, Some(4..6))], "counted from the front of the body, the line of names included");
    }

    #[test]
    fn single_records_are_read_together_and_bad_ones_are_told_apart() {
        let mut blocks = blocks("format: json, schema: { id: int64 }", 1000, 1000);
        let record =
            |n: u64, text: &str| Message::Record { place: format!("p{n}").into(), number: n, bytes: text.into() };
        let texts_in = ["{\"id\": 1}", "no", "{\"id\": 2}\n{\"id\": 3}\n", "nor\n{\"id\": 4}"];
        let messages = texts_in.iter().zip(1..).map(|(text, n)| (n, record(n, text))).collect();
        blocks.cut(messages).unwrap();
        let mut read = Read::default();
        blocks.take(2, u64::MAX, &mut read);
        assert_eq!((read.bad.len(), read.blocks.len()), (2, 0), "bad rows count as rows");
        let bad: Vec<_> = read.bad.iter().map(|bad| (bad.place.as_str(), bad.line, bad.bytes.clone())).collect();
        assert_eq!(bad, [("p2", 2, Some(0..2)), ("p4", 4, Some(0..3))], "a place is one within the record");
        let mut rest = Read::default();
        blocks.take(3, u64::MAX, &mut rest);
        blocks.take(usize::MAX, u64::MAX, &mut rest);
        assert_eq!(rest.blocks.iter().flat_map(texts).count(), 4);
        assert!(blocks.is_empty());
    }
}
