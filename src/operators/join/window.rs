//! Joins of what is in the same window: rows are kept until their windows close, and each window is joined when it does.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::operators::join::batch::two;
use crate::operators::join::meeting::{Hopeless, Meeting, New};
use crate::operators::join::pairing::Pairing;
use crate::operators::join::recipe::Recipe;
use crate::operators::matching::{Buckets, NONE};
use crate::operators::sides::{Judge, Waiting, Windowed, pick};
use crate::operators::spans::TimeSpan;
use crate::plan::Port;
use crate::plan::operator::{Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};

/// Why a row is late.
const LATE: &str = "came when every window of its time had closed";

/// Rows of both sides in open windows.
pub(super) struct InWindows {
    meeting: Meeting,
    windows: Windowed,
}

impl InWindows {
    /// No window is open.
    pub(super) fn new(recipe: Recipe, windows: Windowed) -> Result<Self, NotRunnable> {
        Ok(InWindows { meeting: Meeting::new(recipe)?, windows })
    }

    /// Joins the rows of one window.
    fn join(&self, span: TimeSpan, rows: [Vec<u32>; 2], time: &StepTime) -> Result<Vec<RecordBatch>, TaskError> {
        let Meeting { recipe, left, right } = &self.meeting;
        let live = |waiting: &Waiting, slots: Vec<u32>| -> Vec<u32> {
            slots.into_iter().filter(|slot| waiting.is_live(*slot)).collect()
        };
        let [lefts, rights] = rows;
        let (lefts, rights) = (live(left, lefts), live(right, rights));
        let left_rows = pick(left, &recipe.left.rows.schema, &lefts)?;
        let right_rows = pick(right, &recipe.right.rows.schema, &rights)?;
        let (mut of_left, mut of_right, count) = recipe.numbered(&left_rows, &right_rows)?;
        unnumber(&mut of_left, &lefts, left);
        unnumber(&mut of_right, &rights, right);
        let pairing = Pairing {
            left: &left_rows,
            right: &right_rows,
            numbers: &of_left,
            partners: &Buckets::new(&of_right, count),
            window: Some((span.start, span.end)),
        };
        let joined = recipe.join(&pairing, &time.batch)?;
        match joined.bad.first() {
            // Rows with which the condition fails were set aside when they came.
            Some((_, why)) => {
                Err(TaskError::Stop(format!("the condition of `join` is not the same every time: {why}")))
            }
            None => Ok(joined.rows),
        }
    }

    fn tidy(&mut self) -> Result<(), TaskError> {
        if let Some(moved) = self.meeting.left.tidy()? {
            self.windows.renumber(0, &moved);
        }
        if let Some(moved) = self.meeting.right.tidy()? {
            self.windows.renumber(1, &moved);
        }
        Ok(())
    }
}

/// Takes the number from rows that can have no partner.
fn unnumber(numbers: &mut [u32], slots: &[u32], waiting: &Waiting) {
    numbers.iter_mut().zip(slots).filter(|(_, slot)| !waiting.fits(**slot)).for_each(|(n, _)| *n = NONE);
}

impl KeyedTask for InWindows {
    fn schema(&self) -> SchemaRef {
        self.meeting.recipe.out.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let [left, right] = two(inputs)?;
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let closing = self.windows.begin(time)?;
        let wanted = self.meeting.recipe.wanted;
        let older = self.windows.older((self.meeting.recipe.left.rows.older, self.meeting.recipe.right.rows.older));
        let hopeless = |alone: bool| if alone { Hopeless::Kept } else { Hopeless::Dropped };
        let (meeting, windows) = (&mut self.meeting, &mut self.windows);
        let fates = (
            |time: i64| windows.fate(time.saturating_sub(older.0)),
            |time: i64| windows.fate(time.saturating_sub(older.1)),
        );
        let judge = Judge { fate: &fates.0, at: closing.at, reason: LATE };
        let left = meeting.arrive(New::Left, &left, &judge, hopeless(wanted.left_alone), (&time.batch, &mut out))?;
        let judge = Judge { fate: &fates.1, at: closing.at, reason: LATE };
        let right =
            meeting.arrive(New::Right, &right, &judge, hopeless(wanted.right_alone), (&time.batch, &mut out))?;
        let shared = |l: i64, r: i64| windows.shared(l.saturating_sub(older.0), r.saturating_sub(older.1));
        meeting.screen((left.clone(), right.clone()), shared, (&time.batch, &mut out))?;
        windows.enter(0, left, &meeting.left, older.0);
        windows.enter(1, right, &meeting.right, older.1);
        for (span, rows) in self.windows.close(closing) {
            out.rows.extend(self.join(span, rows, time)?.into_iter().map(|rows| (Port::Out, rows)));
        }
        self.meeting.left.expire(closing.until);
        self.meeting.right.expire(closing.until);
        out.expired = self.meeting.expired();
        self.tidy()?;
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut saved = self.meeting.save()?;
        saved.extend(self.windows.save()?);
        Ok(saved)
    }

    fn track(&mut self) {
        self.meeting.track();
        self.windows.track();
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        let mut changes = self.meeting.changes()?;
        changes.extend(self.windows.changes()?);
        Ok(Changes::Some(changes))
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.windows.load(&tables)?;
        let older = self.windows.older((self.meeting.recipe.left.rows.older, self.meeting.recipe.right.rows.older));
        let windows = &self.windows;
        let due = |older: i64| move |time: i64| windows.due(time.saturating_sub(older));
        self.meeting.load(&tables, &due(older.0), &due(older.1))?;
        self.windows.enter(0, self.meeting.left.live(), &self.meeting.left, older.0);
        self.windows.enter(1, self.meeting.right.live(), &self.meeting.right, older.1);
        Ok(())
    }

    fn held(&self) -> Held {
        let held = self.meeting.held();
        Held { bytes: held.bytes + self.windows.memory(), ..held }
    }
}
