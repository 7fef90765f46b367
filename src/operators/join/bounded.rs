//! Joins of two streams whose partners lie within bounds of each other in time. Pairs come out as soon as both rows are
//! there; rows that come out alone do so in the call in which the watermark says that no partner can come any more.
//!
//! A row is late when it comes behind the watermark of the batch's start: partners of its may have been given up, so
//! that it could not be matched as it would have been in time.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::operators::join::batch::two;
use crate::operators::join::meeting::{Hopeless, Meeting, New};
use crate::operators::join::recipe::Recipe;
use crate::operators::join::truth::is_true;
use crate::operators::matching::NONE;
use crate::operators::sides::{Fate, Judge, Waiting};
use crate::plan::operator::{Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};

/// Why a row is late.
pub(super) const LATE: &str = "came behind the watermark, when partners had been given up";

/// `lower <= right.time - left.time <= upper`, in microseconds of the time columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    /// How much older a right row may be (below zero) or must be younger.
    pub lower: i64,
    /// How much younger a right row may be.
    pub upper: i64,
}

impl Within {
    /// Whether rows of these times can be partners.
    pub(super) fn holds(self, left: i64, right: i64) -> bool {
        let distance = right.saturating_sub(left);
        self.lower <= distance && distance <= self.upper
    }
}

/// How rows of a time are judged: late behind the watermark, else kept for so long.
pub(super) fn by_mark(time: &StepTime, older: i64, kept: i64) -> impl Fn(i64) -> Fate {
    let mark = time.mark_before;
    move |at: i64| match mark {
        Some(mark) if at.saturating_sub(older) < mark => Fate::Late,
        _ => Fate::Kept { due: at.saturating_add(kept), partly: false },
    }
}

/// Rows of both sides that wait.
pub(super) struct Bounded {
    meeting: Meeting,
    within: Within,
    /// What is added to the time of a left row, and of a right one, to know when it is given up: once the watermark is
    /// above.
    kept: (i64, i64),
}

impl Bounded {
    /// Nobody waits.
    pub(super) fn new(recipe: Recipe, within: Within) -> Result<Self, NotRunnable> {
        // No right row can come any more for a left one when the watermark is above its youngest partner's time.
        let left = within.upper.saturating_sub(recipe.right.rows.older);
        let right = within.lower.saturating_neg().saturating_sub(recipe.left.rows.older);
        Ok(Bounded { meeting: Meeting::new(recipe)?, within, kept: (left, right) })
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
        let within = self.within;
        let wanted = self.meeting.recipe.wanted;
        let mut search = self.meeting.search(new, slots, until)?;
        while let Some(pairs) = self.meeting.next_pairs(&mut search, |left, right| within.holds(left, right)) {
            let truth = self.meeting.test(new, &pairs, (&time.batch, out))?;
            let mut met = (Vec::new(), Vec::new());
            for (pair, (left, right)) in pairs.left.iter().zip(&pairs.right).enumerate() {
                let holds = truth.as_ref().is_none_or(|truth| is_true(truth, pair));
                if holds && self.meet(*left, *right) {
                    met.0.push(*left);
                    met.1.push(if wanted.pairs { *right } else { NONE });
                }
            }
            if wanted.pairs || wanted.left_once {
                self.meeting.hand_on(&met.0, &met.1, out)?;
            }
        }
        Ok(())
    }

    /// Two rows are partners; whether something comes out of it.
    fn meet(&mut self, left: u32, right: u32) -> bool {
        let Meeting { left: lefts, right: rights, recipe } = &mut self.meeting;
        if !lefts.is_live(left) || !rights.is_live(right) {
            return false;
        }
        lefts.matched(left);
        rights.matched(right);
        if recipe.wanted.one_partner_settles() {
            lefts.forget(left);
        }
        true
    }

    /// Gives up rows whose partners can no longer come; those that were alone come out, by time.
    fn expire(&mut self, mark: Option<i64>, out: &mut Evaluated) -> Result<(), TaskError> {
        let Meeting { left, right, recipe } = &mut self.meeting;
        let alone = |waiting: &mut Waiting| -> Vec<u32> {
            waiting.expire(mark).into_iter().filter(|slot| !waiting.is_matched(*slot)).collect()
        };
        let (wanted, lefts, rights) = (recipe.wanted, alone(left), alone(right));
        if wanted.left_alone {
            self.meeting.hand_on(&lefts, &vec![NONE; lefts.len()], out)?;
        }
        if wanted.right_alone {
            self.meeting.hand_on(&vec![NONE; rights.len()], &rights, out)?;
        }
        self.meeting.left.tidy()?;
        self.meeting.right.tidy()?;
        Ok(())
    }
}

impl KeyedTask for Bounded {
    fn schema(&self) -> SchemaRef {
        self.meeting.recipe.out.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let [left, right] = two(inputs)?;
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let recipe = &self.meeting.recipe;
        let hopeless = |alone: bool| if alone { Hopeless::AtOnce } else { Hopeless::Dropped };
        let fates =
            (by_mark(time, recipe.left.rows.older, self.kept.0), by_mark(time, recipe.right.rows.older, self.kept.1));
        let wanted = recipe.wanted;
        let judge = Judge { fate: &fates.0, at: None, reason: LATE };
        let (meeting, batch) = (&mut self.meeting, &time.batch);
        let left = meeting.arrive(New::Left, &left, &judge, hopeless(wanted.left_alone), (batch, &mut out))?;
        let judge = Judge { fate: &fates.1, at: None, reason: LATE };
        let right = meeting.arrive(New::Right, &right, &judge, hopeless(wanted.right_alone), (batch, &mut out))?;
        self.match_new(New::Left, left.clone(), right.start, time, &mut out)?;
        self.match_new(New::Right, right, left.end, time, &mut out)?;
        self.expire(time.mark_after, &mut out)?;
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
        self.meeting.load(&tables, &|time| time.saturating_add(left), &|time| time.saturating_add(right))
    }

    fn held(&self) -> Held {
        self.meeting.held()
    }
}
