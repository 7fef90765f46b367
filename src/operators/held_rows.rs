//! Rows that wait for something, in the order they came in, each until nobody needs it any more.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{interleave, interleave_record_batch};
use arrow::datatypes::SchemaRef;

use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// A row that is held. Ordered as the rows came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldRow {
    block: u32,
    row: u32,
}

/// Rows that are held.
pub(super) struct HeldRows {
    schema: SchemaRef,
    blocks: BTreeMap<u32, Block>,
    next: u32,
    held: usize,
    stored: usize,
    /// What the next row is known by.
    number: i64,
}

struct Block {
    rows: RecordBatch,
    numbers: Numbers,
    held: usize,
}

/// What the rows of a block are known by, for as long as they are held.
enum Numbers {
    /// One behind the other.
    From(i64),
    Each(Vec<i64>),
}

impl HeldRows {
    pub(super) fn new(schema: SchemaRef) -> Self {
        HeldRows { schema, blocks: BTreeMap::new(), next: 0, held: 0, stored: 0, number: 0 }
    }

    /// Holds all rows of a block; gives the first of them, the others follow.
    pub(super) fn hold(&mut self, rows: RecordBatch) -> impl Fn(u32) -> HeldRow + use<> {
        let numbers = Numbers::From(self.number);
        self.number += rows.num_rows() as i64;
        self.put(rows, numbers)
    }

    /// Holds rows that are known by these numbers already.
    pub(super) fn hold_again(&mut self, rows: RecordBatch, numbers: Vec<i64>) -> impl Fn(u32) -> HeldRow + use<> {
        self.number = numbers.iter().fold(self.number, |next, number| next.max(number.saturating_add(1)));
        self.put(rows, Numbers::Each(numbers))
    }

    fn put(&mut self, rows: RecordBatch, numbers: Numbers) -> impl Fn(u32) -> HeldRow + use<> {
        let (block, count) = (self.next, rows.num_rows());
        if count > 0 {
            self.blocks.insert(block, Block { rows, numbers, held: count });
            self.next += 1;
            self.held += count;
            self.stored += count;
        }
        move |row| HeldRow { block, row }
    }

    /// Lets go of rows, each once.
    pub(super) fn release(&mut self, rows: &[HeldRow]) {
        for row in rows {
            let Some(block) = self.blocks.get_mut(&row.block) else { continue };
            block.held -= 1;
            self.held -= 1;
            if block.held == 0 {
                self.stored -= block.rows.num_rows();
                self.blocks.remove(&row.block);
            }
        }
    }

    /// What a row is known by; new rows get larger numbers.
    pub(super) fn number(&self, row: HeldRow) -> Result<i64, TaskError> {
        match self.blocks.get(&row.block).map(|block| &block.numbers) {
            Some(Numbers::From(first)) => Ok(first + i64::from(row.row)),
            Some(Numbers::Each(numbers)) => Ok(numbers[row.row as usize]),
            None => Err(bug("a row is not held")),
        }
    }

    /// The number of the next row.
    pub(super) fn next_number(&self) -> i64 {
        self.number
    }

    /// These rows, in this order.
    pub(super) fn rows(&self, rows: &[HeldRow]) -> Result<RecordBatch, TaskError> {
        let mut blocks: Vec<u32> = rows.iter().map(|row| row.block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let Some(first) = blocks.first() else { return Ok(RecordBatch::new_empty(self.schema.clone())) };
        let known = |block: &u32| self.blocks.get(block).ok_or_else(|| bug("a row is not held"));
        let in_order = rows.windows(2).all(|pair| pair[0].row + 1 == pair[1].row);
        if let ([_], true) = (blocks.as_slice(), in_order) {
            return Ok(known(first)?.rows.slice(rows[0].row as usize, rows.len()));
        }
        let sources = blocks.iter().map(|block| Ok(&known(block)?.rows)).collect::<Result<Vec<_>, TaskError>>()?;
        let place = |row: &HeldRow| (blocks.partition_point(|block| *block < row.block), row.row as usize);
        let picked: Vec<_> = rows.iter().map(place).collect();
        interleave_record_batch(&sources, &picked).map_err(bug)
    }

    /// These columns of rows.
    pub(super) fn columns(&self, rows: &[HeldRow], columns: &[usize]) -> Result<Vec<ArrayRef>, TaskError> {
        let mut blocks: Vec<u32> = rows.iter().map(|row| row.block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let place = |row: &HeldRow| (blocks.partition_point(|block| *block < row.block), row.row as usize);
        let picked: Vec<_> = rows.iter().map(place).collect();
        let column = |i: &usize| {
            let of = |block: &u32| self.blocks.get(block).ok_or_else(|| bug("a row is not held"));
            let sources = blocks.iter().map(|block| Ok(of(block)?.rows.column(*i).as_ref()));
            interleave(&sources.collect::<Result<Vec<_>, TaskError>>()?, &picked).map_err(bug)
        };
        columns.iter().map(column).collect()
    }

    /// Whether most of what is stored is held by nobody, so that [`HeldRows::compacted`] is worth while.
    pub(super) fn is_sparse(&self) -> bool {
        self.stored > 4 * self.held + SMALL || self.blocks.len() > MANY && self.blocks.len() * 64 > self.held
    }

    /// Stores only these rows, which must be all that are held, each once and in their order. Gives their new places
    /// in the same order.
    pub(super) fn compacted(&mut self, rows: &[HeldRow]) -> Result<Vec<HeldRow>, TaskError> {
        let all = self.rows(rows)?;
        let numbers = rows.iter().map(|row| self.number(*row)).collect::<Result<_, _>>()?;
        let mut compact = HeldRows::new(self.schema.clone());
        let place = compact.hold_again(all, numbers);
        compact.number = self.number;
        *self = compact;
        Ok((0..rows.len() as u32).map(place).collect())
    }

    /// How many rows are held.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    /// Memory, about.
    pub(super) fn bytes(&self) -> usize {
        let numbers = |block: &Block| match &block.numbers {
            Numbers::From(_) => 0,
            Numbers::Each(numbers) => numbers.capacity() * size_of::<i64>(),
        };
        self.blocks.values().map(|block| block.rows.get_array_memory_size() + numbers(block)).sum()
    }
}

/// So many rows are stored in vain without anyone minding.
const SMALL: usize = 65_536;
/// So many blocks are not worth putting together.
const MANY: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn numbers(numbers: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers.to_vec()))]).unwrap()
    }

    fn shown(rows: &RecordBatch) -> Vec<i64> {
        rows.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn rows_are_held_until_they_are_let_go() {
        let mut held = HeldRows::new(numbers(&[]).schema());
        let (a, b) = (held.hold(numbers(&[1, 2, 3])), held.hold(numbers(&[4, 5])));
        assert_eq!(shown(&held.rows(&[b(1), a(0), a(2)]).unwrap()), [5, 1, 3]);
        assert_eq!(shown(&held.rows(&[a(1), a(2)]).unwrap()), [2, 3]);
        held.release(&[a(0), a(1), a(2), b(0)]);
        assert_eq!((held.len(), held.blocks.len()), (1, 1));
        let again = held.compacted(&[b(1)]).unwrap();
        assert_eq!((shown(&held.rows(&again).unwrap()), held.stored), (vec![5], 1));
        assert_eq!((held.number(again[0]).unwrap(), held.next_number()), (4, 5), "a row keeps its number");
    }
}
