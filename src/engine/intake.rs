//! A source as a batch sees it: so much and no more is taken, positions and the watermark move.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::engine::accounts::{MarkCount, Moved, SourceCount};
use crate::engine::batch::Means;
use crate::engine::clock::Clock;
use crate::engine::marks::SourceMark;
use crate::engine::patience::OF_SOURCES;
use crate::engine::rate::Rate;
use crate::engine::stopping::Stopping;
use crate::plan::catalog::{Endpoint, EndpointEntry};
use crate::plan::edge::Edge;
use crate::plan::graph::Header;
use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Bell, IngestLog, LeftOut, Limits, Position, Positions, Source, Split};

/// Bytes a batch takes where no limit is written: a batch must fit into memory.
const DEFAULT_BYTES: u64 = 256_000_000;

/// Of so many splits a batch says from where to where they were read.
const MOVED: usize = 100;

/// A source at work.
pub(super) struct Intake {
    source: Box<dyn Source>,
    known: Positions,
    rows: usize,
    bytes: u64,
    /// Columns that the source was told to leave out.
    pub(super) left_out: BTreeSet<usize>,
    /// Whether what was read can be read again, so that it may wait for another run.
    rewinds: bool,
    /// Whether what comes is kept in a log, which is as good.
    logged: bool,
    /// What backpressure has learnt.
    pub(super) rate: Option<Rate>,
    /// Its watermark, where the rows have a time that moves.
    pub(super) mark: Option<SourceMark>,
}

/// What a batch takes from a source.
#[derive(Debug, Default, Clone)]
pub(super) struct Taken {
    pub(super) blocks: Vec<RecordBatch>,
    pub(super) bad: Vec<BadRow>,
    pub(super) bytes: u64,
    /// How long that took.
    pub(super) took: Duration,
    /// Positions that moved, to be acknowledged when the batch is delivered: from where, to where.
    pub(super) moved: Vec<(Split, Position, Position)>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Taken {
    /// Rows that could be read.
    pub(super) fn rows(&self) -> usize {
        self.blocks.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Intake {
    /// The pipeline's settings hold where the source does not say otherwise.
    pub(super) fn new(endpoint: &Endpoint, header: &Header, source: Box<dyn Source>, edge: Option<&Edge>) -> Self {
        let (own, pipeline) = (&endpoint.settings, &header.settings);
        let rows = own.integer("max_rows").or(pipeline.integer("max_rows")).and_then(|n| usize::try_from(n).ok());
        let bytes = own.size("max_bytes").or(pipeline.size("max_bytes"));
        let idle = own.duration("idle").or(pipeline.duration("idle"));
        let mark = edge.and_then(|edge| SourceMark::of(edge, idle, source.splits_last()));
        Intake {
            source,
            known: Positions::new(),
            left_out: BTreeSet::new(),
            rows: rows.unwrap_or(usize::MAX),
            bytes: bytes.unwrap_or(DEFAULT_BYTES),
            rewinds: matches!(&endpoint.entry, EndpointEntry::Source(entry) if entry.rewinds),
            logged: false,
            rate: Rate::of(pipeline, header.every),
            mark,
        }
    }

    /// Takes what there is, within the limits. What was heard of the time holds when the batch is done.
    pub(super) fn take(&mut self, now: i64, drain: bool, means: &Means<'_>) -> Result<Taken, TaskError> {
        let Means { clock, stop, .. } = *means;
        let threads = means.pool.size();
        // Who drains has nothing to keep up with.
        let rate = self.rate.as_ref().filter(|_| !drain).and_then(Rate::rows).unwrap_or(usize::MAX);
        let mut left = Limits { rows: self.rows.min(rate), bytes: self.bytes, now, drain, threads };
        let (source, known) = (&mut self.source, &self.known);
        let mut splits = retrying(clock, stop, || source.discover(known, &left))?;
        let mut taken = Taken { left_out: self.source.left_out(), ..Taken::default() };
        // Splits that go on for ever share what a batch may take; others come one after the other.
        let shared = self.source.splits_last();
        while !splits.is_empty() && left.rows > 0 && left.bytes > 0 {
            let mut unfinished = Vec::new();
            let count = splits.len();
            for (i, split) in splits.into_iter().enumerate() {
                if left.rows == 0 || left.bytes == 0 {
                    break;
                }
                let among = if shared { count - i } else { 1 };
                let limits =
                    Limits { rows: left.rows.div_ceil(among), bytes: left.bytes.div_ceil(among as u64), ..left };
                let read = self.read(&split, &limits, &mut taken, means)?;
                left.rows = left.rows.saturating_sub(read.rows);
                left.bytes = left.bytes.saturating_sub(read.bytes);
                if shared && read.more {
                    unfinished.push(split);
                }
            }
            splits = unfinished;
        }
        Ok(taken)
    }

    /// Reads from where a split was left.
    fn read(
        &mut self,
        split: &Split,
        limits: &Limits,
        taken: &mut Taken,
        means: &Means<'_>,
    ) -> Result<Share, TaskError> {
        let from = self.known.get(split).cloned().unwrap_or_default();
        let source = &mut self.source;
        let read = retrying(means.clock, means.stop, || source.read(split, &from, limits))?;
        let rows = read.blocks.iter().map(RecordBatch::num_rows).sum::<usize>() + read.bad.len();
        if let Some(mark) = &mut self.mark {
            mark.hear(split, &read.blocks, limits.now);
        }
        let share = Share { rows, bytes: read.bytes, more: !read.exhausted && read.to != from };
        taken.bytes += read.bytes;
        taken.blocks.extend(read.blocks);
        taken.bad.extend(read.bad);
        if read.to != from {
            self.known.insert(split.clone(), read.to.clone());
            match taken.moved.iter_mut().find(|(of, _, _)| of == split).filter(|_| self.source.splits_last()) {
                Some((_, _, to)) => *to = read.to,
                None => taken.moved.push((split.clone(), from, read.to)),
            }
        }
        Ok(share)
    }

    /// What is to be said of it behind a batch.
    pub(super) fn count(&self, name: &str, taken: &Taken, now: i64) -> SourceCount {
        let moved = |(split, from, to): &(Split, Position, Position)| Moved {
            split: split.id.clone(),
            from: self.source.shown(from),
            to: self.source.shown(to),
        };
        let mark = self.mark.as_ref().map(|mark| {
            let (newest, held_by) = mark.standing(now);
            MarkCount {
                mark: mark.after(now),
                newest,
                held_by: held_by.map(|split| split.id.clone()).filter(|_| self.source.splits_last()),
                sleeps: mark.sleeps(now),
            }
        });
        SourceCount {
            name: name.to_owned(),
            rows: taken.rows() as u64,
            bad: taken.bad.len() as u64,
            bytes: taken.bytes,
            took: taken.took,
            backlog: self.source.backlog(),
            rate: self.rate.as_ref().and_then(Rate::current).map(|rate| rate as u64),
            left_out: taken.left_out.len() as u64,
            mark,
            moved: taken.moved.iter().take(MOVED).map(moved).collect(),
        }
    }

    /// Is to ring when there is something to read.
    pub(super) fn ring(&mut self, bell: &Bell) {
        self.source.ring(bell);
    }

    /// Takes in nothing more from outside.
    pub(super) fn hang_up(&mut self) {
        self.source.hang_up();
    }

    /// Whether what was read can be read again.
    pub(super) fn rewinds(&self) -> bool {
        self.rewinds
    }

    /// Whether it goes on from its positions after a crash.
    pub(super) fn goes_on(&self) -> bool {
        self.rewinds || self.logged
    }

    /// Whether it has a door that things are pushed in at, which only one can have.
    pub(super) fn is_pushed_at(&self) -> bool {
        self.source.is_pushed_at()
    }

    /// Whether it is to be given a log.
    pub(super) fn wants_log(&self) -> bool {
        !self.logged && self.source.is_pushed_at()
    }

    /// Keeps in it what comes. Positions in other logs are of no use any more.
    pub(super) fn keep(&mut self, log: Box<dyn IngestLog>) {
        let split = Split { id: log.name().to_owned() };
        let position = self.known.remove(&split).unwrap_or_default();
        self.known = Positions::from([(split, position)]);
        self.source.keep(log);
        self.logged = true;
    }

    /// Everything there is, from the start.
    fn take_all(&mut self, now: i64, means: &Means<'_>) -> Result<Taken, TaskError> {
        self.known.clear();
        let mut all = Taken::default();
        loop {
            let taken = self.take(now, true, means)?;
            if taken.moved.is_empty() {
                return Ok(all);
            }
            all.blocks.extend(taken.blocks);
            all.bad.extend(taken.bad);
            all.bytes += taken.bytes;
        }
    }

    /// Tells the source that rows are delivered.
    pub(super) fn ack(&mut self, moved: &[(Split, Position, Position)]) -> Result<(), TaskError> {
        moved.iter().try_for_each(|(split, _, position)| self.source.ack(split, position))
    }

    /// Tells the source so of everything: the last run may have ended before it did.
    pub(super) fn ack_known(&mut self) -> Result<(), TaskError> {
        self.known.iter().try_for_each(|(split, position)| self.source.ack(split, position))
    }

    /// Whether nothing will ever follow.
    pub(super) fn ended(&self) -> bool {
        self.source.ended()
    }

    /// Whether its end is still to come.
    pub(super) fn waits(&self) -> bool {
        self.source.waits()
    }

    /// How far it was read.
    pub(super) fn positions(&self) -> &Positions {
        &self.known
    }

    /// Lets the source leave out columns that nobody reads.
    pub(super) fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        self.source.leave_out(unread);
        self.left_out.clone_from(unread);
    }

    /// Goes on with the source of another one, or with its own from where that was read to. `unread`: columns that
    /// nobody reads from now on.
    pub(super) fn take_over(&mut self, old: &mut Intake, itself: bool, unread: &BTreeSet<usize>) {
        if itself {
            std::mem::swap(&mut self.source, &mut old.source);
            self.logged = old.logged;
            std::mem::swap(&mut self.left_out, &mut old.left_out);
            if !self.left_out.is_subset(unread) {
                self.leave_out(unread);
            }
        }
        self.known.clone_from(&old.known);
        if let (Some(rate), Some(before)) = (&mut self.rate, &old.rate) {
            rate.go_on_from(before);
        }
        if let (Some(mark), Some(before)) = (&mut self.mark, &old.mark) {
            mark.go_on_from(before);
        }
    }

    /// Goes on from where a snapshot was.
    pub(super) fn go_on_from(&mut self, known: Positions) {
        self.known = known;
    }
}

/// What came of reading a split.
struct Share {
    rows: usize,
    bytes: u64,
    /// There may be more.
    more: bool,
}

/// When a table is read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    OnChange,
    Never,
    Every(i64),
}

/// Reference data: the same rows in every batch, until it is read anew.
pub(super) struct Reference {
    intake: Intake,
    refresh: Refresh,
    /// What was read, when, and what version that was.
    read: Option<(Taken, i64, Option<u64>)>,
}

impl Reference {
    pub(super) fn new(endpoint: &Endpoint, intake: Intake) -> Self {
        let refresh = match (endpoint.settings.text("refresh"), endpoint.settings.duration("refresh")) {
            (_, Some(every)) => Refresh::Every(every),
            (Some("never"), _) => Refresh::Never,
            _ => Refresh::OnChange,
        };
        Reference { intake, refresh, read: None }
    }

    /// Columns that are left out.
    pub(super) fn left_out(&self) -> &BTreeSet<usize> {
        &self.intake.left_out
    }

    /// Goes on with the table of another one.
    pub(super) fn take_over(&mut self, old: &mut Reference, unread: &BTreeSet<usize>) {
        self.intake.take_over(&mut old.intake, true, unread);
        self.read = old.read.take();
    }

    /// All rows as a batch of that time sees them.
    pub(super) fn rows(&mut self, now: i64, means: &Means<'_>) -> Result<&Taken, TaskError> {
        let version = if self.refresh == Refresh::OnChange { self.intake.source.version() } else { None };
        let fresh = self.read.as_ref().is_some_and(|(_, when, known)| match self.refresh {
            Refresh::Never => true,
            Refresh::Every(micros) => now - when < micros,
            Refresh::OnChange => version.is_some() && version == *known,
        });
        match self.read.take().filter(|_| fresh) {
            Some(read) => Ok(&self.read.insert(read).0),
            None => {
                let taken = self.intake.take_all(now, means)?;
                Ok(&self.read.insert((taken, now, version)).0)
            }
        }
    }
}

/// Tries again what may succeed later.
fn retrying<R>(clock: &dyn Clock, stop: &Stopping, work: impl FnMut() -> Result<R, TaskError>) -> Result<R, TaskError> {
    OF_SOURCES.retrying(clock, stop, &mut 0, work)
}
