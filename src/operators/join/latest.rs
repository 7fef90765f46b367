//! As-of joins: of all partners at or before a left row's time (or so much behind it) the latest; of those with one time
//! the one that came last. A left row is answered in the call in which the watermark says that no earlier right row
//! can come any more; rows of a table are all there, so that it is answered at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

use crate::operators::gathering::gathering;
use crate::operators::join::batch::{Known, two};
use crate::operators::join::bounded::{LATE, by_mark};
use crate::operators::join::meeting::{Hopeless, Meeting, New};
use crate::operators::join::pairing::Joined;
use crate::operators::join::recipe::Recipe;
use crate::operators::join::truth::is_true;
use crate::operators::matching::NONE;
use crate::operators::sides::{Judge, Pick, Picked};
use crate::operators::values::{bug, take_batch};
use crate::plan::operator::{
    BatchTime, Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, Task, TaskError,
};

/// How many pairs are looked at in one go, about.
const PAIRS: usize = 32_768;

/// Which right rows a left one may choose from, in microseconds of the time columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// How much older a right row may be (below zero); none: however old.
    pub lower: Option<i64>,
    /// How much younger it may be.
    pub upper: i64,
}

impl Reach {
    /// Among rows by time those that a left row may choose from.
    fn of<T>(self, left: i64, rows: &[T], time: impl Fn(&T) -> i64) -> &[T] {
        let until = rows.partition_point(|row| time(row) <= left.saturating_add(self.upper));
        let from = self.lower.map_or(0, |lower| rows.partition_point(|row| time(row) < left.saturating_add(lower)));
        &rows[from.min(until)..until]
    }

    fn holds(self, left: i64, right: i64) -> bool {
        let distance = right.saturating_sub(left);
        self.lower.is_none_or(|lower| lower <= distance) && distance <= self.upper
    }
}

/// For each left row the one that was chosen, and the rows with which the condition failed, with the reason.
type Choice = (Vec<u32>, Vec<(u32, String)>);

impl Recipe {
    /// For each left row the last of those it may choose from for which the condition is true, [`NONE`] where there is
    /// none; and the left rows for which it failed with one of them.
    fn choose<'a>(
        &self,
        sides: (&dyn Pick, &dyn Pick),
        lefts: &[u32],
        mut choices: impl FnMut(usize) -> Box<dyn DoubleEndedIterator<Item = u32> + 'a>,
        batch: &BatchTime,
    ) -> Result<Choice, TaskError> {
        let Some(test) = &self.pair else {
            return Ok(((0..lefts.len()).map(|i| choices(i).next_back().unwrap_or(NONE)).collect(), Vec::new()));
        };
        let mut chosen = vec![NONE; lefts.len()];
        let mut failed: Vec<(u32, String)> = Vec::new();
        let mut pairs: (Vec<u32>, Vec<u32>, Vec<usize>) = Default::default();
        for i in 0..lefts.len() {
            pairs.1.extend(choices(i));
            pairs.0.resize(pairs.1.len(), lefts[i]);
            pairs.2.resize(pairs.1.len(), i);
            if pairs.0.len() < PAIRS && i + 1 < lefts.len() {
                continue;
            }
            let (left, right, of) = std::mem::take(&mut pairs);
            let (truth, failures) = test.eval(sides, (&left, &right), batch)?;
            let holding = (0..left.len()).filter(|pair| is_true(&truth, *pair));
            holding.for_each(|pair| chosen[of[pair]] = right[pair]);
            failed.extend(failures.iter().map(|(pair, why)| (of[pair] as u32, why.to_owned())));
        }
        failed.dedup_by_key(|(left, _)| *left);
        Ok((chosen, failed))
    }
}

/// The latest of a table's rows.
pub(super) fn of_table(recipe: Recipe, reach: Reach, known: std::sync::Arc<Known>) -> Result<Task, NotRunnable> {
    recipe.right.rows.key_numbers()?;
    Ok(gathering(recipe.out.schema.clone(), move |inputs, batch| {
        let [left, right] = two(inputs)?;
        let by_time = |rows: RecordBatch| sorted(rows, recipe.right.rows.time);
        let table = known.hashed(&recipe, &right, by_time)?;
        let left = recipe.left.sift(concat_batches(&recipe.left.rows.schema, &left).map_err(bug)?, batch)?;
        let mut numbers = table.numbers.find(&recipe.left.rows.key(&left.rows), left.rows.num_rows())?;
        left.unnumber(&mut numbers);
        let (of_left, of_right) =
            (moments(&left.rows, recipe.left.rows.time)?, moments(&table.rows, recipe.right.rows.time)?);
        let lefts: Vec<u32> = (0..left.rows.num_rows() as u32).collect();
        let choices = |i: usize| -> Box<dyn DoubleEndedIterator<Item = u32> + '_> {
            let partners = table.partners.of(numbers[i]);
            Box::new(reach.of(of_left[i], partners, |row| of_right[*row as usize]).iter().copied())
        };
        let (chosen, bad) = recipe.choose((&left.rows, &table.rows), &lefts, choices, batch)?;
        let mut pairs = (Vec::new(), Vec::new());
        for (row, partner) in lefts.into_iter().zip(chosen) {
            let is_bad = bad.binary_search_by_key(&row, |(row, _)| *row).is_ok();
            if !is_bad && (partner != NONE || recipe.wanted.left_alone) {
                pairs.0.push(row);
                pairs.1.push(partner);
            }
        }
        let rows = recipe.out.rows((&left.rows, &table.rows), &pairs.0, &pairs.1, None)?;
        let mut out = recipe.evaluated(Joined { rows: vec![rows], handed: pairs.0.len(), bad }, &left.rows)?;
        out.rows.extend(left.bad);
        Ok(out)
    }))
}

/// Rows by their time; those with the same one stay as they are.
fn sorted(rows: RecordBatch, time: Option<usize>) -> Result<RecordBatch, TaskError> {
    let times = moments(&rows, time)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by_key(|row| times[*row as usize]);
    take_batch(&rows, &UInt32Array::from(order))
}

fn moments(rows: &RecordBatch, time: Option<usize>) -> Result<Vec<i64>, TaskError> {
    let column = time.and_then(|i| rows.column(i).as_primitive_opt::<TimestampMicrosecondType>());
    column.map(|times| times.values().to_vec()).ok_or_else(|| bug("a side of an as-of join has no time"))
}

/// Left rows that wait for their answer, right ones that may be one.
pub(super) struct Latest {
    meeting: Meeting,
    reach: Reach,
    /// What is added to the time of a left row, and of a right one, to know when it is given up.
    kept: (i64, i64),
    /// By number of the key: its right rows by time, with their slots.
    by_time: Vec<Vec<(i64, u32)>>,
    /// Right rows that are given up when a later one of their key is old enough: its time, and the key.
    followed: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Latest {
    /// Nobody waits.
    pub(super) fn new(recipe: Recipe, reach: Reach) -> Result<Self, NotRunnable> {
        let (left, right) = (recipe.left.rows.older, recipe.right.rows.older);
        // Left rows that will still be answered look back from here: those that wait, and those that will come.
        let back = left.min(right.saturating_sub(reach.upper));
        let of_right = reach.lower.map_or(i64::MAX, |lower| lower.saturating_neg().saturating_sub(back));
        let kept = (reach.upper.saturating_sub(right), of_right);
        let (by_time, followed) = (Vec::new(), BinaryHeap::new());
        Ok(Latest { meeting: Meeting::new(recipe)?, reach, kept, by_time, followed })
    }

    /// Puts right rows among those of their key.
    fn sort_in(&mut self, slots: impl Iterator<Item = u32>) {
        let forgets_followed = self.forgets_followed();
        for slot in slots {
            let (key, time) = (self.meeting.right.key(slot), self.meeting.right.time(slot));
            if key == NONE || !self.meeting.right.is_live(slot) {
                continue;
            }
            if self.by_time.len() <= key as usize {
                self.by_time.resize(key as usize + 1, Vec::new());
            }
            let rows = &mut self.by_time[key as usize];
            let at = rows.partition_point(|row| *row < (time, slot));
            rows.insert(at, (time, slot));
            if forgets_followed && rows.len() > 1 {
                self.followed.push(Reverse((rows[at.max(1)].0, key)));
                self.followed.extend(rows.get(at + 1).map(|next| Reverse((next.0, key))));
            }
        }
    }

    /// Whether a row can be given up because a later one of its key will always be chosen instead.
    fn forgets_followed(&self) -> bool {
        self.reach.lower.is_none() && self.meeting.recipe.pair.is_none()
    }

    /// Answers left rows that wait no more, by their time.
    fn answer(&mut self, mark: Option<i64>, batch: &BatchTime, out: &mut Evaluated) -> Result<(), TaskError> {
        let due = self.meeting.left.expire(mark);
        if due.is_empty() {
            return Ok(());
        }
        let Meeting { recipe, left, right } = &self.meeting;
        let picked = Picked::new(&due);
        let key = recipe.left.rows.keys.iter().map(|i| left.column(*i, &picked)).collect::<Result<Vec<_>, _>>()?;
        let keys = right.find(&key, due.len())?;
        let choices = |i: usize| -> Box<dyn DoubleEndedIterator<Item = u32> + '_> {
            let rows = self.by_time.get(keys[i] as usize).filter(|_| left.fits(due[i])).map_or(&[][..], Vec::as_slice);
            Box::new(self.reach.of(left.time(due[i]), rows, |row| row.0).iter().map(|row| row.1))
        };
        // Rows with which the condition fails were set aside when they came.
        let (chosen, _) = recipe.choose((left, right), &due, choices, batch)?;
        let mut pairs = (Vec::new(), Vec::new());
        for (left, right) in due.into_iter().zip(chosen) {
            if right != NONE || recipe.wanted.left_alone {
                pairs.0.push(left);
                pairs.1.push(right);
            }
        }
        self.meeting.hand_on(&pairs.0, &pairs.1, out)
    }

    /// Gives up right rows that nobody will choose.
    fn expire(&mut self, mark: Option<i64>) -> Result<(), TaskError> {
        for slot in self.meeting.right.expire(mark) {
            let (key, time) = (self.meeting.right.key(slot), self.meeting.right.time(slot));
            if let Some(rows) = self.by_time.get_mut(key as usize)
                && let Ok(at) = rows.binary_search(&(time, slot))
            {
                rows.remove(at);
            }
        }
        if let Some(mark) = mark {
            let recipe = &self.meeting.recipe;
            let behind = recipe.right.rows.older.min(recipe.left.rows.older.saturating_add(self.reach.upper));
            self.forget_followed(mark.saturating_add(behind));
        }
        self.meeting.left.tidy()?;
        if self.meeting.right.tidy()?.is_some() {
            self.by_time.clear();
            self.followed.clear();
            let live: Vec<u32> = self.meeting.right.live().collect();
            self.sort_in(live.into_iter());
        }
        Ok(())
    }

    /// Of right rows at or before this time only the last of each key can still be chosen.
    fn forget_followed(&mut self, until: i64) {
        while let Some(Reverse((_, key))) = self.followed.peek().copied().filter(|Reverse((time, _))| *time <= until) {
            self.followed.pop();
            let rows = &mut self.by_time[key as usize];
            let old = rows.partition_point(|row| row.0 <= until).saturating_sub(1);
            rows.drain(..old).for_each(|(_, slot)| self.meeting.right.outlived(slot));
        }
    }
}

impl KeyedTask for Latest {
    fn schema(&self) -> SchemaRef {
        self.meeting.recipe.out.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let [left, right] = two(inputs)?;
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let recipe = &self.meeting.recipe;
        let hopeless = if recipe.wanted.left_alone { Hopeless::AtOnce } else { Hopeless::Dropped };
        let fates =
            (by_mark(time, recipe.left.rows.older, self.kept.0), by_mark(time, recipe.right.rows.older, self.kept.1));
        let (meeting, batch) = (&mut self.meeting, &time.batch);
        let judge = Judge { fate: &fates.0, at: None, reason: LATE };
        let left = meeting.arrive(New::Left, &left, &judge, hopeless, (batch, &mut out))?;
        let judge = Judge { fate: &fates.1, at: None, reason: LATE };
        let right = meeting.arrive(New::Right, &right, &judge, Hopeless::Dropped, (batch, &mut out))?;
        let reach = self.reach;
        meeting.screen((left, right.clone()), |left, right| reach.holds(left, right), (batch, &mut out))?;
        self.sort_in(right);
        self.answer(time.mark_after, batch, &mut out)?;
        self.expire(time.mark_after)?;
        out.expired = self.meeting.expired();
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        self.meeting.save()
    }

    fn track(&mut self) {
        self.meeting.track();
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        self.meeting.changes().map(Changes::Some)
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        let (left, right) = self.kept;
        self.meeting.load(&tables, &|time| time.saturating_add(left), &|time| time.saturating_add(right))?;
        let live: Vec<u32> = self.meeting.right.live().collect();
        self.sort_in(live.into_iter());
        Ok(())
    }

    fn held(&self) -> Held {
        let held = self.meeting.held();
        let rows: usize = self.by_time.iter().map(|rows| rows.capacity() * size_of::<(i64, u32)>()).sum();
        Held { bytes: held.bytes + rows, ..held }
    }
}
