//! Sums and means of floats: added in the order in which they come, never subtracted.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};

use crate::operators::cells::{CellError, Cells, chosen, each_row};
use crate::plan::operator::TaskError;

/// None: no values.
#[derive(Default)]
pub(super) struct Sums {
    sums: Vec<Option<f64>>,
}

impl Cells for Sums {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.sums.resize(total, None);
        let values = args[0].as_primitive::<Float64Type>().values();
        each_row(args, groups, filter, |group, row| add(&mut self.sums[group], values[row]));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.update(&states[..1], groups, None, total)
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        Ok(vec![Arc::new(Float64Array::from(chosen(&self.sums, which)))])
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        Ok(Arc::new(Float64Array::from(chosen(&self.sums, which))))
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.sums = chosen(&self.sums, Some(which));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Option<f64>>()
    }
}

fn add(sum: &mut Option<f64>, more: f64) {
    *sum = Some(sum.map_or(more, |sum| sum + more));
}

/// Sums, and of how many values.
#[derive(Default)]
pub(super) struct Means {
    counts: Vec<i64>,
    sums: Sums,
}

impl Cells for Means {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.counts.resize(total, 0);
        each_row(args, groups, filter, |group, _| self.counts[group] += 1);
        self.sums.update(args, groups, filter, total)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.counts.resize(total, 0);
        let more = states[0].as_primitive::<Int64Type>();
        groups.iter().zip(more.values()).for_each(|(group, more)| self.counts[*group] += more);
        self.sums.merge(&states[1..], groups, total)
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        let mut states: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(chosen(&self.counts, which)))];
        states.extend(self.sums.states(which)?);
        Ok(states)
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        let pairs = chosen(&self.sums.sums, which).into_iter().zip(chosen(&self.counts, which));
        let means: Vec<_> = pairs.map(|(sum, count)| sum.map(|sum| sum / count as f64)).collect();
        Ok(Arc::new(Float64Array::from(means)))
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.counts = chosen(&self.counts, Some(which));
        self.sums.keep(which)
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>() + self.sums.bytes()
    }
}
