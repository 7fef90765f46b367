//! Brings rows with equal keys together.

use std::collections::BTreeSet;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::engine::pool::Pool;
use crate::model::hollow::hollowed;
use crate::model::key_groups::{key_groups, partition_of};
use crate::plan::operator::TaskError;

/// The rows of each partition, in the order they came in.
pub(super) fn by_key(
    blocks: Vec<RecordBatch>,
    columns: &[usize],
    unread: &BTreeSet<usize>,
    partitions: usize,
    pool: &Pool,
) -> Result<Vec<Vec<RecordBatch>>, TaskError> {
    if partitions == 1 {
        return Ok(vec![blocks]);
    }
    let scattered = pool.map(blocks, |block| {
        let block = if unread.is_empty() { block } else { hollowed(&block, unread) };
        scatter(block, columns, partitions)
    })?;
    let mut together = vec![Vec::new(); partitions];
    for block in scattered {
        for (partition, rows) in block {
            together[partition].push(rows);
        }
    }
    Ok(together)
}

/// Whole blocks, in turn.
pub(super) fn evenly(blocks: Vec<RecordBatch>, partitions: usize) -> Vec<Vec<RecordBatch>> {
    let mut together = vec![Vec::new(); partitions];
    for (i, block) in blocks.into_iter().enumerate() {
        together[i % partitions].push(block);
    }
    together
}

/// Whole blocks, as many in a row for each partition, so that their order stays.
pub(super) fn in_runs(blocks: Vec<RecordBatch>, partitions: usize) -> Vec<Vec<RecordBatch>> {
    let run = blocks.len().div_ceil(partitions).max(1);
    let mut together = vec![Vec::new(); partitions];
    for (i, block) in blocks.into_iter().enumerate() {
        together[i / run].push(block);
    }
    together
}

/// The rows of a block by partition; partitions without rows are left out. A block whose rows all stay together is
/// handed on as it is.
fn scatter(block: RecordBatch, columns: &[usize], partitions: usize) -> Result<Vec<(usize, RecordBatch)>, TaskError> {
    let bug = |e: arrow::error::ArrowError| TaskError::Bug(e.to_string());
    let keys: Vec<_> = columns.iter().map(|i| block.column(*i).clone()).collect();
    let places: Vec<_> =
        key_groups(&keys).map_err(bug)?.into_iter().map(|group| partition_of(group, partitions)).collect();
    match places.first() {
        None => return Ok(Vec::new()),
        Some(first) if places.iter().all(|place| place == first) => return Ok(vec![(*first, block)]),
        Some(_) => {}
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::with_capacity(block.num_rows() / partitions + 1); partitions];
    for (row, place) in places.into_iter().enumerate() {
        rows[place].push(u32::try_from(row).map_err(|e| TaskError::Bug(e.to_string()))?);
    }
    let filled = rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    filled.map(|(p, rows)| Ok((p, take_record_batch(&block, &UInt32Array::from(rows)).map_err(bug)?))).collect()
}
