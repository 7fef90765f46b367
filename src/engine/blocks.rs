//! Blocks of rows: cut and put together so that they are worth a task, or put into an order of their own.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use crate::engine::flow::Parts;
use crate::plan::operator::TaskError;

/// The rows of a source in blocks that are worth a task, but leave work for every core: how many rows one has follows
/// from the rows of the batch alone, so that sums of floats do not depend on the machine.
pub(super) fn blocks_of(blocks: Vec<RecordBatch>, most: usize) -> Result<Vec<RecordBatch>, TaskError> {
    const LEAST: usize = 8_192;
    const BLOCKS: usize = 16;
    let total: usize = blocks.iter().map(RecordBatch::num_rows).sum();
    let rows = (total / BLOCKS).max(LEAST).min(most);
    let mut out: Vec<RecordBatch> = Vec::new();
    let mut small: Vec<RecordBatch> = Vec::new();
    let mut waiting = 0;
    for block in blocks.into_iter().flat_map(|block| cut(block, rows)) {
        waiting += block.num_rows();
        small.push(block);
        if waiting * 2 >= rows {
            out.push(together(std::mem::take(&mut small))?);
            waiting = 0;
        }
    }
    if !small.is_empty() {
        out.push(together(small)?);
    }
    Ok(out)
}

/// How much memory the rows of a block take, about: its own, not that of a larger one it was cut from.
pub(super) fn bytes_of(block: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0) as u64;
    block.columns().iter().map(bytes).sum()
}

fn together(mut blocks: Vec<RecordBatch>) -> Result<RecordBatch, TaskError> {
    match (blocks.pop(), blocks.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            blocks.push(last);
            concat_batches(&blocks[0].schema(), &blocks).map_err(|e| TaskError::Bug(e.to_string()))
        }
        (None, _) => Err(TaskError::Bug("no blocks to put together".into())),
    }
}

/// A block in pieces of at most so many rows.
fn cut(block: RecordBatch, rows: usize) -> Vec<RecordBatch> {
    if block.num_rows() <= rows {
        return vec![block];
    }
    let starts = (0..block.num_rows()).step_by(rows);
    starts.map(|start| block.slice(start, rows.min(block.num_rows() - start))).collect()
}

/// The rows in an order that depends on nothing but themselves.
pub(super) fn settled(parts: Parts) -> Result<Parts, TaskError> {
    let blocks: Vec<_> = parts.into_iter().flatten().collect();
    if blocks.is_empty() {
        return Ok(vec![blocks]);
    }
    let bug = |e: ArrowError| TaskError::Bug(e.to_string());
    let all = together(blocks)?;
    let sortable = |column: &&ArrayRef| RowConverter::supports_fields(&[SortField::new(column.data_type().clone())]);
    let columns: Vec<ArrayRef> = all.columns().iter().filter(sortable).cloned().collect();
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&columns)).map_err(bug)?;
    let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(vec![vec![take_record_batch(&all, &UInt32Array::from(order)).map_err(bug)?]])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn block(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn numbers(blocks: &[RecordBatch]) -> Vec<i64> {
        blocks.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn a_large_batch_is_cut_into_blocks_for_every_core_and_a_small_one_is_not() {
        let sizes = |rows: i64| -> Vec<usize> {
            blocks_of(vec![block(0..rows)], 65_536).unwrap().iter().map(RecordBatch::num_rows).collect()
        };
        assert_eq!(sizes(1_000), [1_000]);
        assert_eq!(sizes(400_000).len(), 16);
        assert_eq!(sizes(4_000_000)[0], 65_536);
    }

    #[test]
    fn crumbs_are_put_together_in_order() {
        let crumbs: Vec<_> = (0..20_000).map(|n| block([n])).collect();
        let blocks = blocks_of(crumbs, 65_536).unwrap();
        assert_eq!(blocks.len(), 5);
        assert_eq!(numbers(&blocks), (0..20_000).collect::<Vec<_>>());
    }

    #[test]
    fn settled_rows_do_not_know_the_partitions_they_came_from() {
        let one = settled(vec![vec![block([3, 1, 2, 1])]]).unwrap();
        let three = settled(vec![vec![block([1])], vec![], vec![block([2, 3]), block([1])]]).unwrap();
        assert_eq!(numbers(&one[0]), numbers(&three[0]));
        assert_eq!(settled(vec![vec![], vec![]]).unwrap(), vec![Vec::<RecordBatch>::new()]);
    }
}
