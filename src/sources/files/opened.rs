//! A file that is being read: unpacked where it is packed, record by record from any place on.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::RecordBatch;
use flate2::bufread::MultiGzDecoder;

use crate::plan::Settings;
use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Indexed, Limits};
use crate::sources::cutter::{Cutter, Skips};
use crate::sources::files::place::Place;

/// Bytes read in one go, for each thread that decodes them.
const CHUNK: usize = 4 << 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Gzip,
    Zstd,
}

impl Packed {
    /// What the options say of all files; none where each file's name does.
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        match settings.text("compression") {
            Some("none") => Some(Packed::No),
            Some("gzip") => Some(Packed::Gzip),
            Some("zstd") => Some(Packed::Zstd),
            _ => None,
        }
    }

    /// By the ending of the name.
    pub(super) fn by_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("gz") => Packed::Gzip,
            Some("zst") => Packed::Zstd,
            _ => Packed::No,
        }
    }
}

/// Why a file is not gone on with.
pub(super) enum Trouble {
    Io(io::Error),
    Task(TaskError),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Trouble::Io(e)
    }
}

impl From<TaskError> for Trouble {
    fn from(e: TaskError) -> Self {
        Trouble::Task(e)
    }
}

/// What came of reading a bit.
#[derive(Default)]
pub(super) struct Step {
    pub(super) decoded: Decoded,
    /// Lines and records before it.
    pub(super) before: u64,
    /// Bytes that were used.
    pub(super) bytes: u64,
    /// There is no more.
    pub(super) end: bool,
}

/// A file that is being read.
pub(super) enum Opened {
    /// Range by range, by its index.
    Indexed { file: Box<dyn Indexed>, next: u64 },
    /// From front to back.
    Stream(Box<Stream>),
}

/// A file that is read from front to back.
pub(super) struct Stream {
    bytes: Box<dyn io::Read + Send>,
    cutter: Cutter,
    /// Where the next record that was not cut yet starts.
    offset: u64,
    /// Nothing follows what is pending.
    last: bool,
    /// What was cut and did not fit into a batch: where its block starts, with how many lines before it; how many of its
    /// records were given out.
    left: Option<(Decoded, u64, u64, u64)>,
    want: usize,
    damaged: Option<String>,
}

impl Opened {
    /// Opens a file at a place. `longest`: a longer line is bad.
    pub(super) fn open(
        file: File,
        packed: Packed,
        codec: &Arc<dyn FormatCodec>,
        place: Place,
        longest: usize,
    ) -> Result<Self, Trouble> {
        if packed == Packed::No
            && let Some(opened) = codec.indexed(&file)
        {
            return Ok(match opened {
                Ok(file) => Opened::Indexed { file, next: place.lines },
                Err(reason) => Opened::Stream(Box::new(Stream::none(codec, reason, place))),
            });
        }
        // All handles have one place in the file; looking for an index may have moved it.
        (&file).seek(SeekFrom::Start(0))?;
        let mut bytes: Box<dyn io::Read + Send> = match packed {
            Packed::No => Box::new(file.try_clone()?),
            Packed::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file.try_clone()?))),
            Packed::Zstd => Box::new(zstd::stream::read::Decoder::new(file.try_clone()?)?),
        };
        let mut cutter = Cutter::new(codec.clone()).limited(longest);
        let (mut damaged, mut last) = (None, false);
        if place.offset > 0 {
            // What is gone on with needs its header, which stands at its front.
            let mut front = Vec::new();
            let length = loop {
                last = fill(&mut bytes, &mut front, 1 << 16)?;
                match codec.header(&front, last) {
                    Some(length) => break length,
                    None if last || front.len() > longest.max(1 << 30) => break 0,
                    None => {}
                }
            };
            let rest = front.split_off(length);
            cutter = Cutter::behind(codec.clone(), front, place.lines, place.skips).limited(longest);
            cutter = cutter.begins_at(place.offset);
            let ahead = place.offset - length as u64;
            match packed {
                Packed::No => {
                    (&file).seek(SeekFrom::Start(place.offset))?;
                    last = false;
                }
                // There is no other way into it than from the front.
                _ if ahead <= rest.len() as u64 => {
                    let kept = rest.get(usize::try_from(ahead).unwrap_or(usize::MAX)..);
                    cutter.pending().extend_from_slice(kept.unwrap_or_default());
                }
                _ => {
                    let skipped = io::copy(&mut (&mut bytes).take(ahead - rest.len() as u64), &mut io::sink());
                    damaged = skipped.err().map(|e| e.to_string());
                }
            }
        }
        let stream = Stream { bytes, cutter, offset: place.offset, last, left: None, want: CHUNK, damaged };
        let mut stream = Box::new(stream);
        if place.given > 0 {
            stream.left = stream.pass(place.given, place)?;
        }
        Ok(Opened::Stream(stream))
    }

    /// Reads at most so many rows of about so many bytes. `ends`: nothing is waited for at the end of the file.
    pub(super) fn step(&mut self, rows: usize, ends: bool, limits: &Limits) -> Result<Step, Trouble> {
        match self {
            Opened::Indexed { file, next } => {
                let before = *next;
                let limits = Limits { rows, ..*limits };
                let records = file.records();
                let decoded = if before < records { file.read(before, &limits) } else { Ok(Decoded::default()) };
                let decoded = decoded.unwrap_or_else(|reason| Decoded {
                    bad: vec![unreadable(reason)],
                    lines: records.saturating_sub(before),
                    ..Decoded::default()
                });
                *next += decoded.lines;
                Ok(Step { bytes: decoded.used as u64, before, end: *next >= records, decoded })
            }
            Opened::Stream(stream) => stream.step(rows, ends, limits.threads),
        }
    }

    /// Where it was read to.
    pub(super) fn place(&self) -> Place {
        match self {
            Opened::Indexed { next, .. } => Place { lines: *next, ..Place::default() },
            Opened::Stream(stream) => match &stream.left {
                Some((_, offset, lines, given)) => {
                    Place { offset: *offset, lines: *lines, given: *given, ..Place::default() }
                }
                None => Place {
                    offset: stream.offset,
                    lines: stream.cutter.lines,
                    skips: stream.cutter.skips(),
                    ..Place::default()
                },
            },
        }
    }
}

fn unreadable(reason: String) -> BadRow {
    BadRow { text: String::new(), reason, place: String::new(), line: 0, bytes: None }
}

impl Stream {
    /// A file that cannot be read at all.
    fn none(codec: &Arc<dyn FormatCodec>, reason: String, place: Place) -> Self {
        let cutter = Cutter::behind(codec.clone(), Vec::new(), place.lines, Skips::Rest);
        let damaged = Some(reason);
        Stream { bytes: Box::new(io::empty()), cutter, offset: 0, last: true, left: None, want: CHUNK, damaged }
    }

    fn step(&mut self, rows: usize, ends: bool, threads: usize) -> Result<Step, Trouble> {
        if let Some((decoded, offset, lines, given)) = self.left.take() {
            return Ok(self.some_of(decoded, rows, (offset, lines, given)));
        }
        let chunk = CHUNK * threads.max(1);
        if !self.last && self.damaged.is_none() {
            let want = self.want.max(chunk);
            match fill(&mut self.bytes, self.cutter.pending(), want) {
                Ok(last) => self.last = last,
                Err(e) if is_damage(&e) => self.damaged = Some(e.to_string()),
                Err(e) => return Err(e.into()),
            }
        }
        let lines = self.cutter.lines;
        let start = self.offset;
        // A record that damage cuts short is none.
        let last = self.last && ends && self.damaged.is_none();
        let cut = self.cutter.cut(last, rows, threads)?;
        self.offset += cut.used as u64;
        let mut step = Step { bytes: cut.used as u64, ..Step::default() };
        let nothing = cut.used == 0;
        let header = self.cutter.lines - lines;
        if cut.decoded.lines - cut.decoded.blank.len() as u64 > rows as u64 {
            let over = self.some_of(cut.decoded, rows, (start, lines + header, 0));
            return Ok(Step { bytes: step.bytes, ..over });
        }
        step.before = self.cutter.lines;
        step.decoded = cut.decoded;
        self.cutter.lines += step.decoded.lines;
        let over = self.cutter.skips() == Skips::Rest;
        step.end = over || self.last && (nothing || self.cutter.pending().is_empty());
        if let Some(reason) = self.damaged.take_if(|_| nothing || self.cutter.pending().is_empty()) {
            step.decoded.bad.push(BadRow { line: step.decoded.lines, ..unreadable(reason) });
            step.decoded.lines += 1;
            self.cutter.lines += 1;
            step.end = true;
        }
        self.want = if nothing { self.cutter.pending().len().max(chunk) } else { chunk };
        Ok(step)
    }

    /// Gives out so many records of a block and keeps the rest.
    fn some_of(&mut self, decoded: Decoded, rows: usize, (offset, lines, given): (u64, u64, u64)) -> Step {
        let before = lines + given;
        if decoded.lines <= rows as u64 {
            // The last of a block.
            self.cutter.lines = before + decoded.lines;
            let over = self.cutter.skips() == Skips::Rest;
            let end = over || self.last && self.cutter.pending().is_empty();
            return Step { decoded, before, bytes: 0, end };
        }
        let (some, rest) = split(decoded, rows as u64);
        self.left = Some((rest, offset, lines, given + some.lines));
        Step { decoded: some, before, bytes: 0, end: false }
    }

    /// Passes over the records of a block that were given out before; what is left of it.
    fn pass(&mut self, given: u64, place: Place) -> Result<Option<(Decoded, u64, u64, u64)>, Trouble> {
        let mut want = CHUNK;
        loop {
            if !self.last {
                self.last = fill(&mut self.bytes, self.cutter.pending(), want)?;
            }
            let records = usize::try_from(given).unwrap_or(usize::MAX);
            let cut = self.cutter.cut(self.last, records, 1)?;
            self.offset += cut.used as u64;
            if cut.decoded.lines > given {
                let (_, rest) = split(cut.decoded, given);
                return Ok(Some((rest, place.offset, place.lines, given)));
            }
            if cut.decoded.lines > 0 || self.last {
                self.cutter.lines += cut.decoded.lines;
                return Ok(None);
            }
            want = self.cutter.pending().len().max(CHUNK);
        }
    }
}

/// The first so many records of what was decoded, and the others.
fn split(decoded: Decoded, records: u64) -> (Decoded, Decoded) {
    let (bad_first, bad_rest): (Vec<_>, Vec<_>) = decoded.bad.into_iter().partition(|row| row.line < records);
    let (blank_first, blank_rest): (Vec<_>, Vec<_>) = decoded.blank.into_iter().partition(|line| *line < records);
    let none = (bad_first.len() + blank_first.len()) as u64;
    let mut room = usize::try_from(records.saturating_sub(none)).unwrap_or(usize::MAX);
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for block in decoded.blocks {
        let taken = block.num_rows().min(room);
        room -= taken;
        first.push(block.slice(0, taken));
        rest.push(block.slice(taken, block.num_rows() - taken));
    }
    let bad_rest = bad_rest.into_iter().map(|row| BadRow { line: row.line - records, ..row }).collect();
    let blank_rest = blank_rest.into_iter().map(|line| line - records).collect();
    let some = |blocks: Vec<RecordBatch>, bad, blank, lines| Decoded {
        blocks: blocks.into_iter().filter(|block| block.num_rows() > 0).collect(),
        bad,
        blank,
        lines,
        ..Decoded::default()
    };
    let after = decoded.lines.saturating_sub(records);
    (some(first, bad_first, blank_first, records), some(rest, bad_rest, blank_rest, after))
}

/// Whether the bytes themselves are wrong, so that another try would not help.
fn is_damage(e: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(e.kind(), InvalidData | InvalidInput | UnexpectedEof | Other)
}

/// Reads up to so many more bytes; true where there are no more.
fn fill(file: &mut dyn io::Read, into: &mut Vec<u8>, want: usize) -> io::Result<bool> {
    let got = file.take(want as u64).read_to_end(into)?;
    Ok(got < want)
}
