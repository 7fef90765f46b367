//! Joins that remember nothing: rows of the same batch, or of a batch with a table. A left row for which the condition
//! fails with some partner is bad. Of a table's rows nothing is counted and none is bad by itself.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;

use crate::operators::gathering::gathering;
use crate::operators::join::pairing::{Joined, Pairing};
use crate::operators::join::recipe::Recipe;
use crate::operators::matching::{Buckets, KeyNumbers};
use crate::operators::values::{bug, take_batch};
use crate::plan::Port;
use crate::plan::operator::{Evaluated, NotRunnable, Task, TaskError};

/// Rows of both inputs in the same batch.
pub(super) fn of_streams(recipe: Recipe) -> Result<Task, NotRunnable> {
    recipe.right.rows.key_numbers()?;
    Ok(gathering(recipe.out.schema.clone(), move |inputs, batch| {
        let [left, right] = two(inputs)?;
        let left = recipe.left.sift(concat_batches(&recipe.left.rows.schema, &left).map_err(bug)?, batch)?;
        let right = recipe.right.sift(concat_batches(&recipe.right.rows.schema, &right).map_err(bug)?, batch)?;
        let (mut of_left, mut of_right, count) = recipe.numbered(&left.rows, &right.rows)?;
        left.unnumber(&mut of_left);
        right.unnumber(&mut of_right);
        let partners = Buckets::new(&of_right, count);
        let pairing =
            Pairing { left: &left.rows, right: &right.rows, numbers: &of_left, partners: &partners, window: None };
        let joined = recipe.join(&pairing, batch)?;
        let mut out = recipe.evaluated(joined, &left.rows)?;
        out.taken = right.rows.num_rows();
        out.rows.extend(left.bad.into_iter().chain(right.bad));
        Ok(out)
    }))
}

/// Rows of a stream with those of a table, which is hashed once for all tasks as long as it stays the same.
pub(super) fn of_table(recipe: Recipe, known: Arc<Known>) -> Result<Task, NotRunnable> {
    recipe.right.rows.key_numbers()?;
    Ok(gathering(recipe.out.schema.clone(), move |inputs, batch| {
        let [left, right] = two(inputs)?;
        if left.iter().all(|rows| rows.num_rows() == 0) {
            return Ok(Evaluated::default());
        }
        let table = known.hashed(&recipe, &right, Ok)?;
        let left = recipe.left.sift(concat_batches(&recipe.left.rows.schema, &left).map_err(bug)?, batch)?;
        let mut numbers = table.numbers.find(&recipe.left.rows.key(&left.rows), left.rows.num_rows())?;
        left.unnumber(&mut numbers);
        let pairing = Pairing {
            left: &left.rows,
            right: &table.rows,
            numbers: &numbers,
            partners: &table.partners,
            window: None,
        };
        let mut out = recipe.evaluated(recipe.join(&pairing, batch)?, &left.rows)?;
        out.rows.extend(left.bad);
        Ok(out)
    }))
}

/// The rows of both inputs.
pub(super) fn two(inputs: Vec<Vec<RecordBatch>>) -> Result<[Vec<RecordBatch>; 2], TaskError> {
    <[Vec<RecordBatch>; 2]>::try_from(inputs).map_err(|given| bug(format!("a join was given {} inputs", given.len())))
}

impl Recipe {
    /// Numbers of the keys of both sides, and how many there are. The side with fewer rows is hashed.
    pub(super) fn numbered(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
    ) -> Result<(Vec<u32>, Vec<u32>, usize), TaskError> {
        let mut keys = self.right.rows.key_numbers().map_err(|e| bug(e.0))?;
        let (a, b) = (self.left.rows.key(left), self.right.rows.key(right));
        let (of_left, of_right) = if left.num_rows() < right.num_rows() {
            let of_left = keys.assign(&a, left.num_rows())?;
            (of_left, keys.find(&b, right.num_rows())?)
        } else {
            let of_right = keys.assign(&b, right.num_rows())?;
            (keys.find(&a, left.num_rows())?, of_right)
        };
        Ok((of_left, of_right, keys.len()))
    }

    /// What came of the left rows.
    pub(super) fn evaluated(&self, joined: Joined, left: &RecordBatch) -> Result<Evaluated, TaskError> {
        let (bad, reasons): (Vec<u32>, Vec<String>) = joined.bad.into_iter().unzip();
        let filtered = left.num_rows() - joined.handed - bad.len();
        let mut rows: Vec<_> = joined.rows.into_iter().map(|rows| (Port::Out, rows)).collect();
        if !bad.is_empty() {
            rows.push(self.left.rows.aside(Port::Bad, &take_batch(left, &UInt32Array::from(bad))?, &reasons)?);
        }
        Ok(Evaluated { rows, filtered, handed: Some(joined.handed), ..Evaluated::default() })
    }
}

/// The table as it was last hashed.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<Arc<Hashed>>>);

/// A table's rows by key.
pub(super) struct Hashed {
    /// The blocks it was made from: they are held, so that no other can be taken for one of them.
    blocks: Vec<RecordBatch>,
    /// Their rows.
    pub rows: RecordBatch,
    /// Its keys.
    pub numbers: KeyNumbers,
    /// Its rows by key.
    pub partners: Buckets,
}

impl Known {
    /// The table by key, its rows in the order that `order` gives them; hashed anew where it is not the one of before.
    pub(super) fn hashed(
        &self,
        recipe: &Recipe,
        blocks: &[RecordBatch],
        order: impl FnOnce(RecordBatch) -> Result<RecordBatch, TaskError>,
    ) -> Result<Arc<Hashed>, TaskError> {
        // Whoever panicked while hashing left nothing half done behind.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hashed) = known.as_ref().filter(|hashed| same(&hashed.blocks, blocks)) {
            return Ok(Arc::clone(hashed));
        }
        let rows = order(concat_batches(&recipe.right.rows.schema, blocks).map_err(bug)?)?;
        let mut numbers = recipe.right.rows.key_numbers().map_err(|e| bug(e.0))?;
        let of_rows = numbers.assign(&recipe.right.rows.key(&rows), rows.num_rows())?;
        let partners = Buckets::new(&of_rows, numbers.len());
        let hashed = Arc::new(Hashed { blocks: blocks.to_vec(), rows, numbers, partners });
        *known = Some(Arc::clone(&hashed));
        Ok(hashed)
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

/// Whether two lists hold the very same columns.
fn same(a: &[RecordBatch], b: &[RecordBatch]) -> bool {
    let columns = |(a, b): (&ArrayRef, &ArrayRef)| Arc::ptr_eq(a, b);
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.num_rows() == b.num_rows()
                && a.num_columns() == b.num_columns()
                && a.columns().iter().zip(b.columns()).all(columns)
        })
}
