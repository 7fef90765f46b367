//! What became of every row, counted: by operator, source and sink, by batch and in all.

use std::time::Duration;

use crate::plan::measure::Measured;
use crate::plan::operator::Held;
use crate::plan::seams::Backlog;

/// Who is told of a run as it goes.
pub trait Report {
    /// A batch begins; what runs in it may print.
    fn before(&mut self) {}
    /// A batch was delivered.
    fn batch(&mut self, done: &BatchReport);
    /// Something a person should know.
    fn note(&mut self, text: &str);
}

/// A batch that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchReport {
    /// Its number, from 0.
    pub number: u64,
    /// Its time, in microseconds since 1970 UTC.
    pub time: i64,
    /// From its start to its delivery.
    pub took: Duration,
    /// From when it was due to its start.
    pub delay: Duration,
    /// Ticks that fell due since the batch before and were folded into this one.
    pub skipped: u64,
    /// Where the time went.
    pub phases: Phases,
    /// By source, in the order of the plan.
    pub sources: Vec<SourceCount>,
    /// By operator, in the order of the plan.
    pub operators: Vec<OperatorCount>,
    /// By sink, in the order of the plan.
    pub sinks: Vec<SinkCount>,
    /// What the user measures, in the order of the plan.
    pub meters: Vec<MeterCount>,
    /// What a person should know of it; told before the batch itself is.
    pub notes: Vec<String>,
}

/// Sums over the sources, operators and sinks of a batch, or of a run.
macro_rules! sums {
    ($counts:ty) => {
        impl $counts {
            /// Rows that sources gave.
            pub fn rows_in(&self) -> u64 {
                self.sources.iter().map(|source| source.rows).sum()
            }

            /// Rows that sinks were given.
            pub fn rows_out(&self) -> u64 {
                self.sinks.iter().map(|sink| sink.rows).sum()
            }

            /// Rows that came too late.
            pub fn late_rows(&self) -> u64 {
                self.operators.iter().map(|operator| operator.late).sum()
            }

            /// Rows that sources could not read and operators could not compute.
            pub fn bad_rows(&self) -> u64 {
                let unread: u64 = self.sources.iter().map(|source| source.bad).sum();
                unread + self.operators.iter().map(|operator| operator.bad).sum::<u64>()
            }
        }
    };
}

sums!(BatchReport);
sums!(Summary);

/// The time of a batch by what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Asking sources and reading them.
    pub intake: Duration,
    /// Operators.
    pub compute: Duration,
    /// Sinks prepare what they will write.
    pub stage: Duration,
    /// What the checkpoint costs: until the batch is on the disk.
    pub commit: Duration,
    /// Sinks write it.
    pub deliver: Duration,
    /// Telling sources that their rows are safe.
    pub settle: Duration,
}

/// How far the time of a source has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkCount {
    /// The watermark behind the batch.
    pub mark: Option<i64>,
    /// The newest time there was.
    pub newest: Option<i64>,
    /// The split that holds it back, where each has a time of its own.
    pub held_by: Option<String>,
    /// It was silent for so long that nobody waits for it.
    pub sleeps: bool,
}

/// What the user measures with `meter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterCount {
    /// The stream the stage belongs to.
    pub stream: String,
    /// The name and its values.
    pub measured: Measured,
}

/// What a source gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceCount {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Rows that could not be read.
    pub bad: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Time it was asked and read.
    pub took: Duration,
    /// How much there is that was not read yet.
    pub backlog: Backlog,
    /// At most so many rows a second, as backpressure has it.
    pub rate: Option<u64>,
    /// Things it found and will not read, in this batch.
    pub left_out: u64,
    /// Its time, where it has one that moves.
    pub mark: Option<MarkCount>,
    /// Splits that were read in this batch: from where, to where.
    pub moved: Vec<Moved>,
}

/// A split that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its name.
    pub split: String,
    /// Where it was read from.
    pub from: String,
    /// Up to where.
    pub to: String,
}

/// What became of an operator's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorCount {
    /// The stream it belongs to.
    pub stream: String,
    /// Its word.
    pub word: String,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went on.
    pub rows_out: u64,
    /// Bytes of memory that those rows take, about.
    pub bytes_out: u64,
    /// Rows that came in and went on; one may come out as many.
    pub handed: u64,
    /// Rows filtered on purpose.
    pub filtered: u64,
    /// Rows that went into state, or into a result of several rows.
    pub taken: u64,
    /// Rows that came too late.
    pub late: u64,
    /// Rows that were too late for some of their windows; they are among those taken.
    pub partly_late: u64,
    /// Rows for which an expression failed.
    pub bad: u64,
    /// Keys, rows or windows it remembered and forgot, because their time was over.
    pub expired: u64,
    /// Time it was worked on, summed up over threads.
    pub took: Duration,
    /// What it remembers behind the batch.
    pub held: Held,
}

impl OperatorCount {
    /// Whether every row that came in is accounted for, once.
    pub fn adds_up(&self) -> bool {
        self.rows_in == self.handed + self.filtered + self.taken + self.late + self.bad
    }
}

/// What a sink took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkCount {
    /// Its word.
    pub word: String,
    /// The stream it reads.
    pub stream: String,
    /// Rows it was given.
    pub rows: u64,
    /// Rows it refused.
    pub rejected: u64,
    /// How often it was tried again.
    pub retries: u64,
    /// Time it took to stage and to deliver.
    pub took: Duration,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many batches.
    pub batches: u64,
    /// Ticks for which there was none, because the one before took too long.
    pub skipped: u64,
    /// The run was to end before all that had been received was worked off.
    pub cut_short: bool,
    /// From start to end.
    pub took: Duration,
    /// By source, in the order of the plan.
    pub sources: Vec<SourceCount>,
    /// By operator, in the order of the plan.
    pub operators: Vec<OperatorCount>,
    /// By sink, in the order of the plan.
    pub sinks: Vec<SinkCount>,
    /// What the user measured, as the last batch left it.
    pub meters: Vec<MeterCount>,
}

impl Summary {
    /// Counts a batch.
    pub(super) fn add(&mut self, batch: &BatchReport) {
        self.batches += 1;
        self.skipped += batch.skipped;
        self.meters.clone_from(&batch.meters);
        if self.batches == 1 {
            self.sources.clone_from(&batch.sources);
            self.operators.clone_from(&batch.operators);
            self.sinks.clone_from(&batch.sinks);
            return;
        }
        // A saved edit may have brought others, which come behind those that were there.
        for (more, again) in numbered(&batch.sources, |source| &source.name) {
            let sum = found(&mut self.sources, more, again, |a, b| a.name == b.name);
            sum.rows += more.rows;
            sum.bad += more.bad;
            sum.bytes += more.bytes;
            sum.took += more.took;
            sum.left_out += more.left_out;
        }
        for (more, again) in numbered(&batch.operators, |operator| (&operator.stream, &operator.word)) {
            let sum = found(&mut self.operators, more, again, |a, b| (&a.stream, &a.word) == (&b.stream, &b.word));
            sum.rows_in += more.rows_in;
            sum.rows_out += more.rows_out;
            sum.bytes_out += more.bytes_out;
            sum.handed += more.handed;
            sum.filtered += more.filtered;
            sum.taken += more.taken;
            sum.partly_late += more.partly_late;
            sum.late += more.late;
            sum.bad += more.bad;
            sum.expired += more.expired;
            sum.took += more.took;
            sum.held = more.held;
        }
        for (more, again) in numbered(&batch.sinks, |sink| (&sink.stream, &sink.word)) {
            let sum = found(&mut self.sinks, more, again, |a, b| (&a.stream, &a.word) == (&b.stream, &b.word));
            sum.rows += more.rows;
            sum.rejected += more.rejected;
            sum.retries += more.retries;
            sum.took += more.took;
        }
    }
}

/// Counts with how many of the same name stand before each.
fn numbered<'a, T, K: PartialEq + 'a>(counts: &'a [T], key: fn(&'a T) -> K) -> impl Iterator<Item = (&'a T, usize)> {
    counts.iter().enumerate().map(move |(i, count)| {
        let before = counts[..i].iter().filter(|other| key(other) == key(count)).count();
        (count, before)
    })
}

/// The sum that a count goes to: the one of the same name behind so many others of that name, made where it is missing.
fn found<'a, T: Named>(sums: &'a mut Vec<T>, of: &T, again: usize, same: fn(&T, &T) -> bool) -> &'a mut T {
    let place = sums.iter().enumerate().filter(|(_, sum)| same(sum, of)).nth(again).map(|(i, _)| i);
    let place = place.unwrap_or_else(|| {
        sums.push(of.named());
        sums.len() - 1
    });
    &mut sums[place]
}

/// Something counted.
trait Named {
    /// The same name, nothing counted.
    fn named(&self) -> Self;
}

impl Named for SourceCount {
    fn named(&self) -> Self {
        SourceCount { name: self.name.clone(), ..SourceCount::default() }
    }
}

impl Named for OperatorCount {
    fn named(&self) -> Self {
        OperatorCount { stream: self.stream.clone(), word: self.word.clone(), ..OperatorCount::default() }
    }
}

impl Named for SinkCount {
    fn named(&self) -> Self {
        SinkCount { stream: self.stream.clone(), word: self.word.clone(), ..SinkCount::default() }
    }
}
