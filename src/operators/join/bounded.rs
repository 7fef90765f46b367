//! Joins of two streams whose partners lie within bounds of each other in time. Pairs come out as soon as both rows are
//! there; rows that come out alone do so in the call in which the watermark says that no partner can come any more.
//!
//! A row is late when it comes behind the watermark of the batch's start: partners of its may have been given up, so
//! that it could not be matched as it would have been in time. Of two rows with which the condition fails, the one that
//! came last is bad (of those that came together the right one), because the other has been taken in already.

use std::ops::Range;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::operators::join::arrivals::Stand;
use crate::operators::join::batch::two;
use crate::operators::join::recipe::Recipe;
use crate::operators::join::rows::{Pick, Picked};
use crate::operators::join::truth::is_true;
use crate::operators::join::waiting::Waiting;
use crate::operators::matching::NONE;
use crate::operators::values::batch_of;
use crate::plan::Port;
use crate::plan::operator::{Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};

/// How many pairs are looked at in one go, about.
const PAIRS: usize = 32_768;

/// `lower <= right.time - left.time <= upper`, in microseconds of the time columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    /// How much older a right row may be (below zero) or must be younger.
    pub lower: i64,
    /// How much younger a right row may be.
    pub upper: i64,
}

/// Rows of both sides that wait.
pub(super) struct Bounded {
    recipe: Recipe,
    within: Within,
    stands: (Stand, Stand),
    left: Waiting,
    right: Waiting,
}

/// The side that rows come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Left,
    Right,
}

impl Bounded {
    /// `older`: by how much rows of either side are older than their time column says.
    pub(super) fn new(recipe: Recipe, within: Within, older: (i64, i64)) -> Result<Self, NotRunnable> {
        let waiting = |side: &crate::operators::join::recipe::Side| {
            Ok::<_, NotRunnable>(Waiting::new(side.schema.clone(), side.keys.clone(), recipe.key_numbers()?))
        };
        // No right row can come any more for a left one when the watermark is above its youngest partner's time.
        let left = Stand { older: older.0, kept: within.upper.saturating_sub(older.1) };
        let right = Stand { older: older.1, kept: within.lower.saturating_neg().saturating_sub(older.0) };
        Ok(Bounded {
            left: waiting(&recipe.left)?,
            right: waiting(&recipe.right)?,
            recipe,
            within,
            stands: (left, right),
        })
    }

    /// Matches new rows with those of the other side that came before `until`.
    fn match_new(
        &mut self,
        new: New,
        slots: Range<u32>,
        until: u32,
        time: &StepTime,
        out: &mut Evaluated,
    ) -> Result<(), TaskError> {
        let (mine, others, side) = match new {
            New::Left => (&self.left, &self.right, &self.recipe.left),
            New::Right => (&self.right, &self.left, &self.recipe.right),
        };
        let rows: Vec<u32> = slots.clone().collect();
        let picked = Picked::new(&rows);
        let key = side.keys.iter().map(|i| mine.column(*i, &picked)).collect::<Result<Vec<_>, _>>()?;
        let keys = others.find(&key, rows.len())?;
        let mut found = (Vec::new(), Vec::new());
        for (slot, key) in slots.zip(keys) {
            let (mine, others) = if new == New::Left { (&self.left, &self.right) } else { (&self.right, &self.left) };
            if mine.key(slot) == NONE {
                continue;
            }
            let at = mine.time(slot);
            let partners = others.of_key(key, until).filter(|other| match new {
                New::Left => self.within.holds(at, others.time(*other)),
                New::Right => self.within.holds(others.time(*other), at),
            });
            found.1.extend(partners);
            found.0.resize(found.1.len(), slot);
            if found.0.len() >= PAIRS {
                self.settle(new, std::mem::take(&mut found), time, out)?;
            }
        }
        self.settle(new, found, time, out)
    }

    /// Finds out which pairs of new rows with others are pairs indeed, and hands them on.
    fn settle(
        &mut self,
        new: New,
        (mine, others): (Vec<u32>, Vec<u32>),
        time: &StepTime,
        out: &mut Evaluated,
    ) -> Result<(), TaskError> {
        if mine.is_empty() {
            return Ok(());
        }
        let (left, right) = if new == New::Left { (&mine, &others) } else { (&others, &mine) };
        let mut truth = None;
        if let Some(test) = &self.recipe.pair {
            let (holds, failures) = test.eval((&self.left, &self.right), (left, right), &time.batch)?;
            let mut bad: Vec<(u32, String)> = failures.iter().map(|(pair, why)| (mine[pair], why.to_owned())).collect();
            bad.dedup_by_key(|(slot, _)| *slot);
            self.set_bad_aside(new, bad, out)?;
            truth = Some(holds);
        }
        let mut pairs = (Vec::new(), Vec::new());
        for pair in 0..mine.len() {
            if truth.as_ref().is_none_or(|truth| is_true(truth, pair)) {
                let alive = if new == New::Left { &self.left } else { &self.right }.is_live(mine[pair]);
                if alive && self.meet(left[pair], right[pair]) {
                    pairs.0.push(left[pair]);
                    pairs.1.push(if self.recipe.wanted.pairs { right[pair] } else { NONE });
                }
            }
        }
        if !self.recipe.wanted.pairs && !self.recipe.wanted.left_once {
            return Ok(());
        }
        self.hand_on(&pairs.0, &pairs.1, out)
    }

    /// Two rows are partners; whether something comes out of it.
    fn meet(&mut self, left: u32, right: u32) -> bool {
        let first = self.left.matched(left);
        self.right.matched(right);
        if self.recipe.wanted.one_partner_settles() {
            self.left.forget(left);
            return first;
        }
        true
    }

    fn set_bad_aside(&mut self, new: New, bad: Vec<(u32, String)>, out: &mut Evaluated) -> Result<(), TaskError> {
        if bad.is_empty() {
            return Ok(());
        }
        let (slots, reasons): (Vec<u32>, Vec<String>) = bad.into_iter().unzip();
        let (waiting, side) = match new {
            New::Left => (&mut self.left, &self.recipe.left),
            New::Right => (&mut self.right, &self.recipe.right),
        };
        let rows = taken(waiting, &side.schema, &slots)?;
        slots.iter().for_each(|slot| waiting.forget(*slot));
        out.taken -= slots.len();
        out.rows.push(side.aside(Port::Bad, &rows, &reasons)?);
        Ok(())
    }

    fn hand_on(&self, left: &[u32], right: &[u32], out: &mut Evaluated) -> Result<(), TaskError> {
        if !left.is_empty() {
            let rows = self.recipe.out.rows((&self.left, &self.right), left, right, None)?;
            out.rows.push((Port::Out, rows));
        }
        Ok(())
    }

    /// Gives up rows whose partners can no longer come; those that were alone come out, by time.
    fn expire(&mut self, mark: Option<i64>, out: &mut Evaluated) -> Result<(), TaskError> {
        let alone = |waiting: &Waiting, gone: Vec<u32>| -> Vec<u32> {
            gone.into_iter().filter(|slot| !waiting.is_matched(*slot)).collect()
        };
        let left = self.left.expire(mark);
        let right = self.right.expire(mark);
        if self.recipe.wanted.left_alone {
            let left = alone(&self.left, left);
            self.hand_on(&left, &vec![NONE; left.len()], out)?;
        }
        if self.recipe.wanted.right_alone {
            let right = alone(&self.right, right);
            self.hand_on(&vec![NONE; right.len()], &right, out)?;
        }
        self.left.tidy()?;
        self.right.tidy()?;
        Ok(())
    }
}

/// Rows by their slots.
pub(super) fn taken(waiting: &Waiting, schema: &SchemaRef, slots: &[u32]) -> Result<RecordBatch, TaskError> {
    let picked = Picked { positions: UInt32Array::from(slots.to_vec()), run: None };
    let columns = (0..schema.fields().len()).map(|i| waiting.column(i, &picked)).collect::<Result<_, _>>()?;
    batch_of(schema, columns, slots.len())
}

impl Within {
    fn holds(self, left: i64, right: i64) -> bool {
        let distance = right.saturating_sub(left);
        self.lower <= distance && distance <= self.upper
    }
}

impl KeyedTask for Bounded {
    fn schema(&self) -> SchemaRef {
        self.recipe.out.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let [left, right] = two(inputs)?;
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let wanted = self.recipe.wanted;
        let left = self.recipe.left.arrive(&left, self.stands.0, time, wanted.left_alone, &mut out)?;
        let right = self.recipe.right.arrive(&right, self.stands.1, time, wanted.right_alone, &mut out)?;
        let left = self.left.keep(left)?;
        let right = self.right.keep(right)?;
        self.match_new(New::Left, left.clone(), right.start, time, &mut out)?;
        self.match_new(New::Right, right, left.end, time, &mut out)?;
        self.expire(time.mark_after, &mut out)?;
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(vec![self.recipe.left.save(&self.left)?, self.recipe.right.save(&self.right)?])
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.recipe.left.load(&tables, self.stands.0, &mut self.left)?;
        self.recipe.right.load(&tables, self.stands.1, &mut self.right)
    }

    fn held(&self) -> Held {
        Held { keys: self.left.len() + self.right.len(), bytes: self.left.memory() + self.right.memory() }
    }
}
