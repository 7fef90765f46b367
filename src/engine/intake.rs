//! A source as a batch sees it: so much and no more is taken, positions and the watermark move.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;

use crate::engine::batch::Means;
use crate::engine::clock::Clock;
use crate::engine::marks::SourceMark;
use crate::plan::Settings;
use crate::plan::catalog::Endpoint;
use crate::plan::edge::Edge;
use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Limits, Position, Positions, Source, Split};

/// Bytes a batch takes where no limit is written: a batch must fit into memory.
const DEFAULT_BYTES: u64 = 256_000_000;

/// How often a read that may succeed later is tried again.
const RETRIES: i64 = 8;

/// A source at work.
pub(super) struct Intake {
    source: Box<dyn Source>,
    known: Positions,
    rows: usize,
    bytes: u64,
    /// Columns that the source was told to leave out.
    pub(super) left_out: BTreeSet<usize>,
    /// Its watermark, where the rows have a time that moves.
    pub(super) mark: Option<SourceMark>,
}

/// What a batch takes from a source.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) blocks: Vec<RecordBatch>,
    pub(super) bad: Vec<BadRow>,
    pub(super) bytes: u64,
    /// Positions that moved, to be acknowledged when the batch is delivered.
    pub(super) moved: Vec<(Split, Position)>,
}

impl Taken {
    /// Rows that could be read.
    pub(super) fn rows(&self) -> usize {
        self.blocks.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Intake {
    /// The pipeline's settings hold where the source does not say otherwise.
    pub(super) fn new(endpoint: &Endpoint, pipeline: &Settings, source: Box<dyn Source>, edge: Option<&Edge>) -> Self {
        let own = &endpoint.settings;
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
            mark,
        }
    }

    /// Takes what there is, within the limits. What was heard of the time holds when the batch is done.
    pub(super) fn take(&mut self, now: i64, drain: bool, means: &Means<'_>) -> Result<Taken, TaskError> {
        let Means { clock, stop, .. } = *means;
        let threads = means.pool.size();
        let mut limits = Limits { rows: self.rows, bytes: self.bytes, now, drain, threads };
        let source = &mut self.source;
        let known = &self.known;
        let splits = retrying(clock, stop, || source.discover(known, &limits))?;
        let mut taken = Taken::default();
        for split in splits {
            if limits.rows == 0 || limits.bytes == 0 {
                break;
            }
            let from = self.known.get(&split).cloned().unwrap_or_default();
            let source = &mut self.source;
            let read = retrying(clock, stop, || source.read(&split, &from, &limits))?;
            let rows: usize = read.blocks.iter().map(RecordBatch::num_rows).sum();
            limits.rows = limits.rows.saturating_sub(rows + read.bad.len());
            limits.bytes = limits.bytes.saturating_sub(read.bytes);
            taken.bytes += read.bytes;
            if let Some(mark) = &mut self.mark {
                mark.hear(&split, &read.blocks, now);
            }
            taken.blocks.extend(read.blocks);
            taken.bad.extend(read.bad);
            if read.to != from {
                self.known.insert(split.clone(), read.to.clone());
                taken.moved.push((split, read.to));
            }
        }
        Ok(taken)
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
    pub(super) fn ack(&mut self, moved: &[(Split, Position)]) -> Result<(), TaskError> {
        moved.iter().try_for_each(|(split, position)| self.source.ack(split, position))
    }

    /// Whether nothing will ever follow.
    pub(super) fn ended(&self) -> bool {
        self.source.ended()
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
            std::mem::swap(&mut self.left_out, &mut old.left_out);
            if !self.left_out.is_subset(unread) {
                self.leave_out(unread);
            }
        }
        self.known.clone_from(&old.known);
        if let (Some(mark), Some(before)) = (&mut self.mark, &old.mark) {
            mark.go_on_from(before);
        }
    }

    /// Goes on from where a snapshot was.
    pub(super) fn go_on_from(&mut self, known: Positions) {
        self.known = known;
    }
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

/// Tries again, with longer and longer waits, what may succeed later.
pub(super) fn retrying<R>(
    clock: &dyn Clock,
    stop: &AtomicBool,
    mut work: impl FnMut() -> Result<R, TaskError>,
) -> Result<R, TaskError> {
    let mut tries = 0;
    loop {
        match work() {
            Err(TaskError::Retry(why)) if tries < RETRIES => {
                tracing::warn!(%why, "trying again");
                clock.wait_until(clock.now() + (50_000 << tries), stop);
                tries += 1;
            }
            other => return other,
        }
    }
}
