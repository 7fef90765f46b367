//! Steps the records of a batch's keys row by row, but many at once: first the first row of every key, then the second
//! rows, and so on. A batch of many keys costs few evaluations, and each key still sees its rows in their order.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat, interleave};
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use datafusion_common::HashMap;

use crate::expressions::Compiled;
use crate::model::Schema;
use crate::operators::values::{batch_of, bug, take_batch};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::{Node, TypedExpr};

/// A batch's rows, round by round.
pub(super) struct Rounds {
    /// The keys by number, those with the most rows first: in every round the keys that still have a row are the first.
    pub keys: Vec<u32>,
    /// For each row of the batch its place in the rounds.
    pub places: Vec<u32>,
    /// Where each round starts among the places, and where the last one ends.
    starts: Vec<usize>,
}

impl Rounds {
    /// Of rows with keys of these numbers.
    pub(super) fn of(numbers: &[u32]) -> Self {
        let mut local: HashMap<u32, usize> = HashMap::default();
        let (mut keys, mut counts) = (Vec::new(), Vec::new());
        let mut ranks = Vec::with_capacity(numbers.len());
        for number in numbers {
            let key = *local.entry(*number).or_insert_with(|| {
                keys.push(*number);
                counts.push(0_usize);
                keys.len() - 1
            });
            ranks.push((key, counts[key]));
            counts[key] += 1;
        }
        let mut most_first: Vec<usize> = (0..keys.len()).collect();
        most_first.sort_by_key(|key| std::cmp::Reverse(counts[*key]));
        let mut seats = vec![0; keys.len()];
        most_first.iter().enumerate().for_each(|(seat, key)| seats[*key] = seat);
        let longest = most_first.first().map_or(0, |key| counts[*key]);
        let mut starts = vec![0; longest + 1];
        ranks.iter().for_each(|(_, rank)| starts[rank + 1] += 1);
        (1..starts.len()).for_each(|round| starts[round] += starts[round - 1]);
        let places = ranks.iter().map(|(key, rank)| (starts[*rank] + seats[*key]) as u32).collect();
        Rounds { keys: most_first.iter().map(|key| keys[*key]).collect(), places, starts }
    }

    /// The rows in the order of the rounds, as positions in the batch.
    pub(super) fn order(&self) -> Vec<u32> {
        let mut order = vec![0; self.places.len()];
        self.places.iter().enumerate().for_each(|(row, place)| order[*place as usize] = row as u32);
        order
    }
}

/// The records of a batch's keys before its rows, in the order of [`Rounds::keys`].
pub(super) struct Before {
    /// By field. A key that has no record has any.
    pub fields: Vec<ArrayRef>,
    /// When each was last stepped; none where there is no record.
    pub last: Vec<Option<i64>>,
}

/// What became of them.
pub(super) struct After {
    /// The record after each row, by field, in the order of the rounds.
    pub rows: Vec<ArrayRef>,
    /// The rows whose step failed, as places in the rounds, each with the reason.
    pub failures: Vec<(u32, String)>,
    /// The records at the end, by field, in the order of [`Rounds::keys`].
    pub fields: Vec<ArrayRef>,
    /// When each was last stepped; none where there still is no record.
    pub last: Vec<Option<i64>>,
    /// Records whose time was over when the next row of their key came.
    pub expired: Vec<Expired>,
}

/// A record whose time was over when a row came.
pub(super) struct Expired {
    /// The row's place in the rounds.
    pub place: u32,
    /// The record as it was, by field: one row each.
    pub fields: Vec<ArrayRef>,
}

/// How records go on.
pub(super) struct Stepper {
    step: Compiled,
    /// The columns of a row that a step reads: a batch may have as many rounds as rows, each cuts them all.
    reads: Vec<usize>,
    /// Those columns, then the record's fields.
    schema: SchemaRef,
}

/// What a batch's steps go by.
pub(super) struct Course<'a> {
    pub batch: &'a BatchTime,
    /// The time of each row in the order of the rounds; the batch's for all where batches tell the time.
    pub times: &'a [i64],
    /// How long a record lives without rows, where rows tell the time.
    pub ttl: Option<i64>,
    /// The records that keys begin with, in the order of [`Rounds::keys`], by field.
    pub fresh: &'a dyn Fn() -> Result<Vec<ArrayRef>, TaskError>,
}

impl Stepper {
    pub(super) fn new(step: &[TypedExpr], input: &Schema, state: &Schema) -> Result<Self, NotRunnable> {
        let width = input.columns.len();
        let reads: BTreeSet<usize> = step.iter().flat_map(TypedExpr::columns).filter(|i| *i < width).collect();
        let reads: Vec<usize> = reads.into_iter().collect();
        let moved = |index: usize| reads.binary_search(&index).unwrap_or_else(|_| index - width + reads.len());
        let place = &mut |expr: TypedExpr| match expr.node {
            Node::Column { index, name } => TypedExpr { node: Node::Column { index: moved(index), name }, ..expr },
            node => TypedExpr { node, ..expr },
        };
        let step: Vec<TypedExpr> = step.iter().map(|expr| expr.rebuilt(place)).collect();
        let read = reads.iter().map(|i| &input.columns[*i]);
        let both = Schema::new(read.chain(&state.columns).cloned().collect());
        Ok(Stepper { step: Compiled::new(&step, &both)?, schema: relaxed(&both), reads })
    }

    /// Steps through all rows. `rows` stand in the order of the rounds.
    pub(super) fn run(
        &self,
        rounds: &Rounds,
        rows: &RecordBatch,
        before: Before,
        course: &Course<'_>,
    ) -> Result<After, TaskError> {
        let Before { mut fields, mut last } = before;
        let rows = rows.project(&self.reads).map_err(bug)?;
        let (mut after, mut ends) = (Vec::new(), Vec::new());
        let (mut failures, mut expired) = (Vec::new(), Vec::new());
        let mut fresh: Option<Vec<ArrayRef>> = None;
        let mut size = last.len();
        for round in rounds.starts.windows(2) {
            let (start, count) = (round[0], round[1] - round[0]);
            if count < size {
                ends.push(sliced(&fields, count, size - count));
                fields = sliced(&fields, 0, count);
                size = count;
            }
            let times = &course.times[start..start + count];
            let over = over(times, &last, course.ttl);
            let begin = match over.is_empty() {
                true => fields.clone(),
                false => {
                    let fresh = match &mut fresh {
                        Some(fresh) => fresh,
                        none => none.insert((course.fresh)()?),
                    };
                    begun_anew(&fields, fresh, &over)?
                }
            };
            let columns = rows.slice(start, count).columns().iter().chain(&begin).cloned().collect();
            let stepped = self.step.eval(&batch_of(&self.schema, columns, count)?, course.batch)?;
            let next = match &stepped.failed {
                None => stepped.columns,
                Some(failed) => {
                    let keep = |(new, old): (&ArrayRef, &ArrayRef)| zip(failed, old, new).map_err(bug);
                    stepped.columns.iter().zip(&fields).map(keep).collect::<Result<_, _>>()?
                }
            };
            for (i, at) in times.iter().enumerate() {
                if stepped.failed.as_ref().is_some_and(|failed| failed.value(i)) {
                    continue;
                }
                let is_over = over.binary_search(&i).is_ok();
                if is_over {
                    expired.push(Expired { place: (start + i) as u32, fields: sliced(&fields, i, 1) });
                }
                last[i] = Some(last[i].filter(|_| !is_over).map_or(*at, |last| last.max(*at)));
            }
            failures.extend(stepped.failures.iter().map(|(row, why)| ((start + row) as u32, why.to_owned())));
            after.push(next.clone());
            fields = next;
        }
        ends.push(fields);
        ends.reverse();
        Ok(After { rows: joined(&after)?, failures, fields: joined(&ends)?, last, expired })
    }
}

/// The keys, by position, whose record's time is over when a row of this time comes.
fn over(times: &[i64], last: &[Option<i64>], ttl: Option<i64>) -> Vec<usize> {
    let Some(ttl) = ttl else { return Vec::new() };
    let is_over = |i: &usize| last[*i].is_some_and(|last| times[*i] >= last.saturating_add(ttl));
    (0..times.len()).filter(is_over).collect()
}

/// The records, of some keys the ones they begin with.
fn begun_anew(fields: &[ArrayRef], fresh: &[ArrayRef], over: &[usize]) -> Result<Vec<ArrayRef>, TaskError> {
    let count = fields.first().map_or(0, |field| field.len());
    let mut from: Vec<(usize, usize)> = (0..count).map(|i| (0, i)).collect();
    over.iter().filter(|i| **i < count).for_each(|i| from[*i].0 = 1);
    fields.iter().zip(fresh).map(|(old, new)| interleave(&[old, new], &from).map_err(bug)).collect()
}

fn sliced(fields: &[ArrayRef], from: usize, count: usize) -> Vec<ArrayRef> {
    fields.iter().map(|field| field.slice(from, count)).collect()
}

/// Pieces of the same columns, one behind the other.
pub(super) fn joined(pieces: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>, TaskError> {
    let width = pieces.first().map_or(0, Vec::len);
    let column = |i: usize| {
        let parts: Vec<_> = pieces.iter().map(|piece| piece[i].as_ref()).collect();
        concat(&parts).map_err(bug)
    };
    (0..width).map(column).collect()
}

/// A schema whose columns may all be null: rows that failed hold anything.
pub(super) fn relaxed(schema: &Schema) -> SchemaRef {
    let fields = schema.columns.iter().map(|c| Field::new(&c.name, c.slot.ty.to_arrow(), true));
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

/// Rows in the order of the rounds.
pub(super) fn ordered(rows: &RecordBatch, rounds: &Rounds) -> Result<RecordBatch, TaskError> {
    let order = rounds.order();
    if order.iter().enumerate().all(|(place, row)| place == *row as usize) {
        return Ok(rows.clone());
    }
    take_batch(rows, &UInt32Array::from(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_take_the_next_row_of_each_key() {
        let rounds = Rounds::of(&[5, 7, 7, 9, 7, 5]);
        assert_eq!(rounds.keys, [7, 5, 9]);
        assert_eq!(rounds.starts, [0, 3, 5, 6]);
        assert_eq!(rounds.order(), [1, 0, 3, 2, 5, 4]);
        assert_eq!(rounds.places, [1, 0, 3, 2, 5, 4]);
    }

    #[test]
    fn no_rows_take_no_round() {
        let rounds = Rounds::of(&[]);
        assert_eq!((rounds.keys.len(), rounds.starts.as_slice()), (0, &[0][..]));
    }
}
