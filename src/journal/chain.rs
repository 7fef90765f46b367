//! Reads and checks the whole chain of records, byte by byte, in bounded memory.
//!
//! Where the last segment does not go on as a chain, its tail is either *torn*, which a crash in the middle of a write
//! explains, or *damaged*. A record says how far all was durable when it was written; so the first bad record is
//! damage if anything behind it says that it had been durable, and else it belongs to the last records that were
//! never made durable, of which any part may be missing. In all other segments a bad record is damage, and so is a
//! missing segment; unless a later record says that nothing is needed up to there. Trimmed segments go in any order when
//! the power is cut, and what stays of them need not go on from each other.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use crc32c::crc32c_append;

use crate::journal::about::Page;
use crate::journal::disk::{Disk, DiskBytes};
use crate::journal::format::{CLOSED, HEAD, Head, NoHead, OWN_KINDS, RECORD, Record, TRIMMED};
use crate::journal::format::{named_segment, seed, segment_name, u64_at};
use crate::journal::trouble::Trouble;
use crate::journal::{Entry, Segment};

/// How much of a file is held in memory.
const WINDOW: usize = 1 << 20;

/// What the segments hold.
#[derive(Debug)]
pub(super) struct Chain {
    /// Those that go on from each other up to the end, oldest first; never empty.
    pub(super) segments: Vec<Segment>,
    /// The valid records of the caller's kinds in them.
    pub(super) entries: Vec<Entry>,
    /// The sequence of the next record.
    pub(super) next: u64,
    /// The sum of the last record.
    pub(super) sum: u32,
    /// The greatest that was seen.
    pub(super) epoch: u64,
    /// All records before this sequence are known to be durable.
    pub(super) durable: u64,
    /// The records of the last segment from that one on: sequence, place, and the sum of the one before it.
    pub(super) unsure: VecDeque<(u64, u64, u32)>,
    /// Whether the last record marks a clean end and nothing is behind it.
    pub(super) clean: bool,
    /// Segments that were trimmed and whose files are still there.
    pub(super) leftovers: Vec<u64>,
    /// Records are needed from this sequence on.
    needed: u64,
}

impl Chain {
    pub(super) fn read(disk: &dyn Disk, folder: &Path, page: &Page) -> Result<Chain, Trouble> {
        let names = disk.list(folder).map_err(Trouble::io(folder, "look into"))?;
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| named_segment(name)).collect();
        firsts.sort_unstable();
        if firsts.is_empty() {
            return Err(Trouble::damaged(folder, None, "it holds no segments"));
        }
        let mut reading = Reading {
            disk,
            folder,
            page,
            seed: seed(&page.id),
            bad: None,
            gap: None,
            chain: Chain {
                segments: Vec::new(),
                entries: Vec::new(),
                next: 1,
                sum: 0,
                epoch: 0,
                durable: 1,
                unsure: VecDeque::new(),
                clean: false,
                leftovers: Vec::new(),
                needed: 1,
            },
        };
        for (at, first) in firsts.iter().enumerate() {
            reading.segment(*first, firsts.get(at + 1).copied())?;
        }
        reading.finish()
    }
}

struct Reading<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    page: &'a Page,
    seed: u32,
    /// What is wrong with the segment before.
    bad: Option<Trouble>,
    /// Why the chain begins where it does and not at the first record.
    gap: Option<Gap>,
    chain: Chain,
}

enum Gap {
    Missing(u64),
    Bad(Trouble),
}

/// Why bytes do not go on as a chain; none if they do.
type Bad = Option<&'static str>;

impl Reading<'_> {
    fn segment(&mut self, first: u64, successor: Option<u64>) -> Result<(), Trouble> {
        let path = self.folder.join(segment_name(first));
        let file = self.disk.open(&path).map_err(Trouble::io(&path, "open"))?;
        let mut window = Window::new(file, path);
        let chain = &mut self.chain;
        if first == 0 {
            return Err(Trouble::damaged(&window.path, None, "no segment has this name"));
        }
        if first > chain.next {
            let gap = self.bad.take().map_or(Gap::Missing(chain.next), Gap::Bad);
            self.begin_at(first, gap);
        }
        // A segment is begun when all of the one before it is durable.
        self.chain.durable = first;
        self.chain.unsure.clear();
        self.chain.clean = false;
        let (end, bad) = match self.head(&mut window, first)? {
            None => self.records(&mut window, first, successor)?,
            bad => (0, bad),
        };
        if let Some(why) = bad {
            self.chain.clean = false;
            let trouble = Trouble::damaged(&window.path, end, why);
            if successor.is_some() {
                self.bad = Some(trouble);
            } else if self.was_durable(&mut window, end)? {
                return Err(trouble);
            }
        }
        self.chain.segments.push(Segment { first, length: end, excess: window.length > end });
        Ok(())
    }

    /// Gives up all that was read; whether it is needed, a later record may say.
    fn begin_at(&mut self, first: u64, gap: Gap) {
        self.gap = Some(gap);
        let chain = &mut self.chain;
        chain.leftovers.extend(chain.segments.drain(..).map(|segment| segment.first));
        chain.entries.clear();
        (chain.next, chain.sum) = (first, 0);
    }

    fn head(&mut self, window: &mut Window, first: u64) -> Result<Bad, Trouble> {
        let head = match Head::read(window.at(0, HEAD as usize)?) {
            Ok(head) => head,
            Err(NoHead::Newer(version)) => return Err(Trouble::Newer { file: window.path.clone(), version }),
            Err(NoHead::Bad) => return Ok(Some("the head of the segment is not what was written")),
        };
        // These sums are right, so it is no torn write.
        let why = if head.id != self.page.id {
            "the segment is of another checkpoint"
        } else if head.first != first {
            "the segment has the name of another one"
        } else if head.epoch < self.chain.epoch {
            "the segment is older than the one before it"
        } else {
            if head.previous != self.chain.sum && (first == 1 || !self.chain.segments.is_empty()) {
                let why = "the segment does not go on from the one before it";
                self.begin_at(first, Gap::Bad(Trouble::damaged(&window.path, 0, why)));
            }
            // The records of a mended tail are older than its head.
            self.chain.sum = head.previous;
            return Ok(None);
        };
        Err(Trouble::damaged(&window.path, 0, why))
    }

    /// Reads records up to the end, or up to where the next segment begins: the mending of a tail begins one before
    /// the old one is cut. Gives where it ended.
    fn records(&mut self, window: &mut Window, first: u64, until: Option<u64>) -> Result<(u64, Bad), Trouble> {
        let mut offset = HEAD;
        while offset < window.length && until != Some(self.chain.next) {
            let record = match self.record(window, offset)? {
                Ok(record) => record,
                Err(why) => return Ok((offset, Some(why))),
            };
            let chain = &mut self.chain;
            chain.unsure.push_back((record.sequence, offset, chain.sum));
            chain.durable = chain.durable.max(record.durable);
            while chain.unsure.front().is_some_and(|(sequence, ..)| *sequence < chain.durable) {
                chain.unsure.pop_front();
            }
            chain.epoch = record.epoch;
            chain.clean = record.kind == CLOSED;
            if record.kind == TRIMMED {
                chain.needed = u64_at(window.at(offset + RECORD, 8)?, 0).min(record.sequence);
            }
            if record.kind < OWN_KINDS {
                let Record { sequence, kind, length, .. } = record;
                chain.entries.push(Entry { sequence, kind, length: length.into(), segment: first, offset });
            }
            (chain.next, chain.sum) = (record.sequence + 1, record.sum);
            offset += RECORD + u64::from(record.length);
        }
        Ok((offset, None))
    }

    fn record(&self, window: &mut Window, offset: u64) -> Result<Result<Record, &'static str>, Trouble> {
        let Some(record) = Record::read(window.at(offset, RECORD as usize)?, self.seed) else {
            return Ok(Err("this is no whole record"));
        };
        let chain = &self.chain;
        if u64::from(record.length) > window.length - offset - RECORD {
            return Ok(Err("the record is longer than the file"));
        }
        if record.sequence != chain.next || record.previous != chain.sum || record.epoch < chain.epoch {
            return Ok(Err("the record does not go on from the one before it"));
        }
        if record.kind == TRIMMED && record.length != 8 {
            return Ok(Err("the record has the wrong length"));
        }
        let sum = window.sum(offset + RECORD, record.length.into(), self.seed)?;
        Ok(if sum == record.payload { Ok(record) } else { Err("the payload of the record is not what was written") })
    }

    /// Whether anything behind the first bad bytes says that they had been made durable.
    fn was_durable(&self, window: &mut Window, bad: u64) -> Result<bool, Trouble> {
        for offset in bad + 1..window.length.saturating_sub(RECORD - 1) {
            let record = Record::read(window.at(offset, RECORD as usize)?, self.seed);
            if record.is_some_and(|record| record.durable > self.chain.next) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish(mut self) -> Result<Chain, Trouble> {
        let chain = &mut self.chain;
        if let (Some(closed), Some(last)) = (self.page.closed, chain.segments.last())
            && chain.next < closed
        {
            let why =
                format!("it ended with record {} when it was closed, and ends with {}", closed - 1, chain.next - 1);
            return Err(Trouble::damaged(&self.folder.join(segment_name(last.first)), last.length, why));
        }
        let start = chain.segments.first().map_or(1, |segment| segment.first);
        match self.gap {
            Some(Gap::Missing(missing)) if chain.needed < start => {
                let file = self.folder.join(segment_name(missing.max(chain.needed)));
                return Err(Trouble::damaged(&file, None, format!("it is missing; record {start} follows")));
            }
            Some(Gap::Bad(trouble)) if chain.needed < start => return Err(trouble),
            _ => {}
        }
        // Those whose records are all before what is needed were to be removed when the power went.
        let unneeded = chain.segments.windows(2).take_while(|pair| pair[1].first <= chain.needed).count();
        chain.leftovers.extend(chain.segments.drain(..unneeded).map(|segment| segment.first));
        let start = chain.segments.first().map_or(1, |segment| segment.first);
        chain.entries.retain(|entry| entry.segment >= start);
        Ok(self.chain)
    }
}

/// A part of a file in memory.
struct Window {
    file: Box<dyn DiskBytes>,
    path: PathBuf,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn new(file: Box<dyn DiskBytes>, path: PathBuf) -> Window {
        Window { length: file.length(), file, path, start: 0, bytes: Vec::new() }
    }

    /// So many bytes at a place, or fewer where the file ends.
    fn at(&mut self, offset: u64, count: usize) -> Result<&[u8], Trouble> {
        let wanted = self.length.saturating_sub(offset).min(count as u64);
        if offset < self.start || offset + wanted > self.start + self.bytes.len() as u64 {
            let size = (self.length - offset).min(WINDOW.max(count) as u64);
            self.bytes.resize(size as usize, 0);
            self.start = offset;
            let read = self.file.read_at(offset, &mut self.bytes);
            let read =
                read.and_then(
                    |read| {
                        if read == self.bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
                    },
                );
            if let Err(error) = read {
                self.bytes.clear();
                return Err(Trouble::io(&self.path, "read")(error));
            }
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + wanted as usize])
    }

    fn sum(&mut self, mut offset: u64, mut count: u64, seed: u32) -> Result<u32, Trouble> {
        let mut sum = seed;
        while count > 0 {
            let held = (self.start + self.bytes.len() as u64).saturating_sub(offset);
            // What is in memory first; then a window at a time.
            let part = if offset >= self.start && held > 0 { held } else { WINDOW as u64 }.min(count);
            sum = crc32c_append(sum, self.at(offset, part as usize)?);
            offset += part;
            count -= part;
        }
        Ok(sum)
    }
}
