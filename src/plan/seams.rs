//! What sources, sinks, formats and windows are to the rest. Who writes one needs to know nothing of batches'
//! internals, threads or reload.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;

use crate::model::{Column, Schema, Slot, Type};
use crate::plan::operator::{BatchTime, TaskError};

/// A source at work. It is told what to read and remembers nothing the engine relies on.
pub trait Source: Send {
    /// The pieces that have something to read now (files, partitions, shards, or the one that a socket is), given how
    /// far each was read: as many as one batch should take, in the order they are to be read. Called once a batch.
    fn discover(&mut self, known: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError>;
    /// Reads from a position; where the range ends is known only afterwards.
    fn read(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError>;
    /// Everything before the position is safe; the source may forget it.
    fn ack(&mut self, split: &Split, position: &Position) -> Result<(), TaskError>;
    /// Whether splits go on for ever (partitions of a topic), so that each has a watermark of its own and holds back
    /// the source's until it is idle. Splits that come to an end (files) share the newest time of all.
    fn splits_last(&self) -> bool {
        false
    }
    /// Whether nothing will ever follow: the pipe was closed, the last row was made.
    fn ended(&self) -> bool {
        false
    }
    /// Whether the end that a run with `drain` waits for has not come yet, though there was nothing to read: it is asked
    /// again, so that a run that is to end earlier can.
    fn waits(&self) -> bool {
        false
    }
    /// Nobody reads these columns of its rows: it may give hollow ones, of the right type and length, wherever that
    /// changes no bad row. Called before anything is read; again, with fewer columns, where an edit of the running
    /// pipeline reads more of them, which holds for everything that is read from then on.
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        let _ = unread;
    }
    /// How far the head is from what was read last, as far as that can be told without work. Asked after every batch.
    fn backlog(&self) -> Backlog {
        Backlog::default()
    }
    /// What it found and will not read (a hidden file, one that is not readable), since it was last asked; each once.
    fn left_out(&mut self) -> Vec<LeftOut> {
        Vec::new()
    }
    /// Rung when there may be something to read. Called before anything is read; a source that cannot tell ignores it
    /// and is asked again and again.
    fn ring(&mut self, bell: &Bell) {
        let _ = bell;
    }
    /// Takes in nothing more from outside; what was taken in can still be read. For sources that things are pushed at:
    /// asked once, before a run that is to end works off what is there.
    fn hang_up(&mut self) {}
    /// Whether what it gives is pushed at it and nowhere else, so that it takes a log where there is a checkpoint.
    fn is_pushed_at(&self) -> bool {
        false
    }
    /// A log for what is pushed at it, where there is a checkpoint: nothing may come into a batch before it is in there for
    /// good, and what no batch has had is read from there. Its splits are called as the log is. Called before anything
    /// is read, and only where it [`Source::is_pushed_at`].
    fn keep(&mut self, log: Box<dyn IngestLog>) {
        drop(log);
    }
    /// A position in words people can read.
    fn shown(&self, position: &Position) -> String {
        match <[u8; 8]>::try_from(position.0.as_slice()) {
            Ok(number) => u64::from_le_bytes(number).to_string(),
            Err(_) => position.0.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
    /// What changes when reading all of it again would give other rows; none where that cannot be known. For tables.
    fn version(&mut self) -> Option<u64> {
        None
    }
}

/// Where a source keeps what was pushed at it, as messages that have numbers one behind the other, until batches have had
/// them.
pub trait IngestLog: Send + Sync {
    /// What the split is called whose positions are in this log.
    fn name(&self) -> &str;
    /// Adds a message; its number. It is on the disk soon, with all before it; nobody waits for that here.
    fn append(&self, message: Vec<u8>) -> u64;
    /// The number of the first message that is not on the disk yet. The error says why no more will be.
    fn unsynced(&self) -> Result<u64, TaskError>;
    /// Is called, by another thread, whenever [`IngestLog::unsynced`] says something new.
    fn tell(&self, whom: Box<dyn Fn() + Send + Sync>);
    /// The messages from a number on that were there when the log was opened. The error says which are missing.
    fn read(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, TaskError>;
    /// Messages before a number are not needed any more.
    fn trim(&self, before: u64);
}

/// How much there is that was not read yet. None: cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Rows (messages, records).
    pub rows: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Pieces that nothing was read of yet: files.
    pub pieces: Option<u64>,
}

/// Something that was found and is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What: a path, a peer.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// Wakes whoever waits for rows. Ringing twice is like ringing once.
#[derive(Debug, Clone, Default)]
pub struct Bell {
    rung: Arc<(Mutex<bool>, Condvar)>,
}

impl Bell {
    /// There may be something to do.
    pub fn ring(&self) {
        let (rung, waiters) = &*self.rung;
        *rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        waiters.notify_all();
    }

    /// Waits until it is rung, at most so long; whether it was. What was rung before counts.
    pub fn wait(&self, most: Duration) -> bool {
        let (rung, waiters) = &*self.rung;
        let lock = rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = waiters.wait_timeout_while(lock, most, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

/// How far every piece was read.
pub type Positions = BTreeMap<Split, Position>;

/// A piece of a source that has a position of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Split {
    /// A stable name: a path, `topic/3`, a shard id.
    pub id: String,
}

/// A place in a split, opaque to everyone but its source. Empty: the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(pub Vec<u8>);

/// How much a read may return, about, and what time it is: a source reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: usize,
    /// Bytes of input.
    pub bytes: u64,
    /// The time of the batch, in microseconds since 1970 UTC.
    pub now: i64,
    /// The run ends when all is read (`--once`): nothing is to be waited for.
    pub drain: bool,
    /// How many threads may decode what is read. What comes out does not depend on it.
    pub threads: usize,
}

/// What a read gave.
#[derive(Debug, Default)]
pub struct Read {
    /// The rows.
    pub blocks: Vec<RecordBatch>,
    /// Rows that could not be read, as raw text with reason and place.
    pub bad: Vec<BadRow>,
    /// Where the next read starts.
    pub to: Position,
    /// Bytes read.
    pub bytes: u64,
    /// Whether there was nothing more at this moment.
    pub exhausted: bool,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The raw text, cut where monstrous.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// The file, the topic and partition, the peer.
    pub place: String,
    /// The line in it, from 1, or the offset.
    pub line: u64,
    /// The bytes in it, counted from 0 and unpacked where it is packed: of the line, of the element of an array, of the
    /// block of an Avro file. None where that cannot be said: in Parquet and Arrow files the values of a row stand in as
    /// many places as there are columns, and `line` is its number.
    pub bytes: Option<Range<u64>>,
}

impl BadRow {
    /// How many bytes of a monstrous row are kept as text.
    pub const SHOWN: usize = 2_000;

    /// Bytes as text, cut where monstrous.
    pub fn shown(bytes: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(Self::SHOWN)]).into_owned();
        if bytes.len() > Self::SHOWN {
            text.push_str("...");
        }
        text
    }

    /// What a source's `bad to x` looks like.
    pub fn schema() -> Schema {
        let text = || Slot::required(Type::String);
        Schema::new(vec![
            Column::new("text", text()),
            Column::new("_place", text()),
            Column::new("_line", Slot::required(Type::Int64)),
            Column::new("_reason", text()),
            Column::new("_offset", Slot::nullable(Type::Int64)),
            Column::new("_length", Slot::nullable(Type::Int64)),
        ])
    }

    /// Rows of that schema.
    pub fn batch(rows: &[BadRow]) -> Result<RecordBatch, ArrowError> {
        let texts =
            |pick: fn(&BadRow) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) };
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let of_bytes = |pick: fn(&Range<u64>) -> u64| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.bytes.as_ref().map(|bytes| whole(pick(bytes)))).collect::<Int64Array>())
        };
        let columns = vec![
            texts(|row| &row.text),
            texts(|row| &row.place),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| whole(row.line)))) as ArrayRef,
            texts(|row| &row.reason),
            of_bytes(|bytes| bytes.start),
            of_bytes(|bytes| bytes.end - bytes.start),
        ];
        RecordBatch::try_new(BadRow::schema().to_arrow(), columns)
    }
}

/// Whose batches a sink is given: what a mark beside the rows, in the target, must say to be known again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Giver {
    /// The pipeline and the sink in it, unlike every other sink of the pipeline.
    pub name: String,
    /// In what the batches are numbered: a checkpoint, or a run without one. Numbers of another history say nothing.
    pub history: String,
}

/// A sink at work: takes batches by their number, idempotently. Batches come in order.
pub trait Sink: Send {
    /// Whose batches follow. Called once, before anything else is.
    fn given_by(&mut self, giver: &Giver) {
        let _ = giver;
    }
    /// Prepares a batch's rows so that delivering them cannot fail for lack of anything of ours.
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError>;
    /// Makes them visible, once, however often it is called.
    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError>;
    /// Everything that was committed is delivered: what is staged beside it belongs to batches that never were. Called
    /// where a run goes on from a checkpoint, before its first batch.
    fn sweep(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    /// The last batch that is visible, as the sink itself knows it; none where it cannot know.
    fn cursor(&mut self) -> Result<Option<u64>, TaskError>;
    /// How long its target asked to be left alone when it was last tried: waited for before it is tried again.
    fn asked_to_wait(&mut self) -> Option<Duration> {
        None
    }
    /// Whether batches without rows are to be staged and delivered too: something waits for its time.
    fn wants_empty(&self) -> bool {
        false
    }
    /// No batch follows in this run: what is held back to be put together with later rows is made visible.
    fn finish(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// What [`Sink::stage`] prepared: bytes that ride in the journal, or names of staged files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    /// Meaning known to the sink alone.
    pub bytes: Vec<u8>,
    /// How many rows are in it.
    pub rows: usize,
}

/// What came of a delivery.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Rows the target refused, each with the reason.
    pub rejected: Vec<(RecordBatch, String)>,
}

/// A format at work. Without memory, so that the pieces of a file can be read by several threads.
pub trait FormatCodec: Send + Sync {
    /// How many bytes at the front of a file are no records (a line of names); none where `front` is too short to
    /// tell. `last`: nothing follows.
    fn header(&self, front: &[u8], last: bool) -> Option<usize> {
        let _ = (front, last);
        Some(0)
    }
    /// Nobody reads these columns: they may come out hollow, of the right type and length, wherever that changes no
    /// bad row. A value that may fail to fit its type is still looked at.
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        let _ = unread;
    }
    /// Whether a record is a line, so that a file that grows can be followed, one that is too long ends where the next
    /// line starts, and single ones can be read together, each with a line end behind it.
    fn is_lines(&self) -> bool {
        false
    }
    /// A record of more bytes is bad. Called before anything is read.
    fn limit(&mut self, longest: usize) {
        let _ = longest;
    }
    /// A value that cannot be read is null where its column may be, instead of making the row bad (`bad null`). Called
    /// before anything is read, and only where the entry's `records` say that it can be done.
    fn forgive(&mut self) {}
    /// What time it is, in microseconds since 1970 UTC, for formats whose times leave something out (the year). Whoever
    /// reads says it before each batch.
    fn now(&self, micros: i64) {
        let _ = micros;
    }
    /// Opens a file that holds an index, so that any range of it can be read without the rest. None: this format, or
    /// this file, is read from front to back. `Err` says why it is no such file.
    fn indexed(&self, file: &File) -> Option<Result<Box<dyn Indexed>, String>> {
        let _ = file;
        None
    }
    /// Reads whole records from the front of a piece.
    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError>;
    /// Writes rows as one file or message.
    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError>;
}

/// A file that can be read from any of its records on.
pub trait Indexed: Send {
    /// How many records it has.
    fn records(&self) -> u64;
    /// Reads from the record of that number, counted from 0: at most so many records and about so many bytes, but one
    /// record at least where there is one. `lines` says how many were read; `Err` why none of the rest can be.
    fn read(&mut self, from: u64, limits: &Limits) -> Result<Decoded, String>;
}

/// Bytes that start with a record.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// What [`FormatCodec::header`] found at the front of the same file.
    pub header: &'a [u8],
    /// The records.
    pub bytes: &'a [u8],
    /// Nothing follows, so that what is left unread is a record too.
    pub last: bool,
    /// At most so many records, where they can be told apart without reading them.
    pub records: usize,
    /// How many threads may work on it. What comes out does not depend on it.
    pub threads: usize,
}

/// What [`FormatCodec::decode`] read.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The rows.
    pub blocks: Vec<RecordBatch>,
    /// What could not be read; `line` and `bytes` count from 0 within the piece, and `place` is empty.
    pub bad: Vec<BadRow>,
    /// How many lines (or records, where there are no lines) were used, bad and empty ones included.
    pub lines: u64,
    /// Lines that hold no record, counted as in `bad`: empty ones, comments.
    pub blank: Vec<u64>,
    /// Bytes used; the rest is the start of a record whose end is missing.
    pub used: usize,
    /// Nothing behind can be told apart any more: what follows in the file or message is given up, and `bad` says so.
    pub over: bool,
}

/// A window of time or rows. Durations are microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// Back to back; a length of days or more with a zone follows the calendar.
    Tumbling {
        /// How long.
        length: Length,
        /// Offset of the first start from 1970.
        start: i64,
        /// The zone days, weeks, months and years are counted in.
        zone: Option<String>,
    },
    /// Overlapping (or with gaps, where `every` is longer than `length`).
    Sliding {
        /// How long.
        length: i64,
        /// How often one starts.
        every: i64,
        /// Offset of the first start from 1970.
        start: i64,
    },
    /// As long as rows of a key are no more than `gap` apart.
    Session {
        /// The gap.
        gap: i64,
    },
    /// Growing results within a tumbling window.
    Cumulative {
        /// How long.
        length: i64,
        /// How often a result comes.
        every: i64,
    },
    /// So many rows of a key.
    Count {
        /// How many.
        rows: u64,
    },
}

/// A length of time: fixed, or by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Microseconds.
    Fixed(i64),
    /// Calendar days.
    Days(u32),
    /// Calendar months.
    Months(u32),
}

impl Window {
    /// The longest a row can stay in it; none where that is not a time.
    pub fn reach(&self) -> Option<i64> {
        const DAY: i64 = 86_400_000_000;
        match self {
            Window::Tumbling { length: Length::Fixed(n), .. } => Some(*n),
            Window::Tumbling { length: Length::Days(n), .. } => Some(i64::from(*n) * DAY),
            Window::Tumbling { length: Length::Months(n), .. } => Some(i64::from(*n) * 31 * DAY),
            Window::Sliding { length, .. } | Window::Cumulative { length, .. } => Some(*length),
            Window::Session { .. } | Window::Count { .. } => None,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = |micros: &i64| crate::model::time::show_duration(*micros);
        let from = |start: &i64| if *start == 0 { String::new() } else { format!(", start {}", d(start)) };
        match self {
            Window::Tumbling { length, zone, start } => {
                let length = match length {
                    Length::Fixed(n) => d(n),
                    Length::Days(n) => format!("{n}d"),
                    Length::Months(n) => format!("{n}mo"),
                };
                match zone {
                    Some(zone) => write!(f, "tumbling({length}{}, zone \"{zone}\")", from(start)),
                    None => write!(f, "tumbling({length}{})", from(start)),
                }
            }
            Window::Sliding { length, every, start } => {
                write!(f, "sliding({}, every {}{})", d(length), d(every), from(start))
            }
            Window::Session { gap } => write!(f, "session(gap {})", d(gap)),
            Window::Cumulative { length, every } => write!(f, "cumulative({}, every {})", d(length), d(every)),
            Window::Count { rows } => write!(f, "count({rows})"),
        }
    }
}
