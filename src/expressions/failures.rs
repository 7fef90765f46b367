//! Which rows of a block failed, and why. Failures are rare: they are kept as a list, so that a block without any
//! costs nothing.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, BooleanBufferBuilder};
use arrow::buffer::NullBuffer;

use crate::plan::operator::FailureMask;

/// Failed rows, ascending, each once.
#[derive(Debug, Clone, Default)]
pub struct Failures(Vec<Failure>);

#[derive(Debug, Clone)]
struct Failure {
    row: u32,
    why: Arc<str>,
    /// `?` has said what becomes of the row: no `??` around it takes it back.
    settled: bool,
}

impl Failures {
    /// All rows for one reason.
    pub(super) fn all(count: usize, why: &Arc<str>) -> Self {
        let rows = 0..u32::try_from(count).unwrap_or(u32::MAX);
        Failures(rows.map(|row| Failure { row, why: Arc::clone(why), settled: false }).collect())
    }

    /// Notes one more row, which must be behind those before it.
    pub(super) fn push(&mut self, row: usize, why: impl Into<Arc<str>>) {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        self.0.push(Failure { row, why: why.into(), settled: false });
    }

    /// Whether no row failed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows failed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The failed rows, ascending, each with the reason.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().map(|f| (f.row as usize, &*f.why))
    }

    /// Why a row failed.
    pub fn reason(&self, row: usize) -> Option<&str> {
        let at = self.0.binary_search_by_key(&row, |f| f.row as usize).ok()?;
        Some(&self.0[at].why)
    }

    /// Takes in others; a row in both keeps its first reason.
    pub(super) fn add(&mut self, others: Failures) {
        if self.0.is_empty() {
            *self = others;
        } else if !others.0.is_empty() {
            self.0.extend(others.0);
            self.0.sort_by_key(|f| (f.row, !f.settled));
            self.0.dedup_by_key(|f| f.row);
        }
    }

    /// `?`: the rows go to the bad output, whatever stands around.
    pub(super) fn settle(&mut self) {
        self.0.iter_mut().for_each(|f| f.settled = true);
    }

    /// Parts what `??` may still take back from what it may not.
    pub(super) fn part(self) -> (Failures, Failures) {
        let (settled, open) = self.0.into_iter().partition(|f| f.settled);
        (Failures(open), Failures(settled))
    }

    /// As rows of the block from which `picked` were taken.
    pub(super) fn among(mut self, picked: &[u32]) -> Self {
        self.0.iter_mut().for_each(|f| f.row = picked[f.row as usize]);
        self
    }

    /// True for failed rows; none where there are none.
    pub fn mask(&self, count: usize) -> FailureMask {
        (!self.is_empty()).then(|| {
            let mut bits = BooleanBufferBuilder::new(count);
            bits.append_n(count, false);
            self.0.iter().for_each(|f| bits.set_bit(f.row as usize, true));
            BooleanArray::new(bits.finish(), None)
        })
    }

    /// The rows that are valid in `nulls` and did not fail.
    pub(super) fn valid(&self, nulls: Option<&NullBuffer>, count: usize) -> Option<NullBuffer> {
        let fine = self.mask(count).map(|failed| NullBuffer::new(!failed.values()));
        NullBuffer::union(nulls, fine.as_ref())
    }
}

/// True for rows that are true in a condition and did not fail.
pub(super) fn certainly(condition: &BooleanArray, failures: &Failures) -> arrow::buffer::BooleanBuffer {
    let mut held = condition.values().clone();
    if let Some(nulls) = condition.nulls() {
        held = &held & nulls.inner();
    }
    match failures.mask(condition.len()) {
        Some(failed) => &held & &!failed.values(),
        None => held,
    }
}
