//! `cogroup` at work: the rows of a batch, or those of each window when it closes.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::operators::cogroup::lists::Lists;
use crate::operators::gathering::gathering;
use crate::operators::sides::{Judge, Waiting, Windowed, pick};
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, Task, TaskError};

/// Why a row is late.
const LATE: &str = "came when every window of its time had closed";

/// The rows of one batch.
pub(super) fn of_batch(lists: Lists) -> Task {
    gathering(lists.schema.clone(), move |inputs, _| {
        let [left, right] = two(inputs)?;
        let left = concat_batches(&lists.sides.0.schema, &left).map_err(bug)?;
        let right = concat_batches(&lists.sides.1.schema, &right).map_err(bug)?;
        Ok(Evaluated::taken(lists.group(&left, &right, None)?, left.num_rows() + right.num_rows()))
    })
}

fn two(inputs: Vec<Vec<RecordBatch>>) -> Result<[Vec<RecordBatch>; 2], TaskError> {
    <[Vec<RecordBatch>; 2]>::try_from(inputs)
        .map_err(|given| bug(format!("a cogroup was given {} inputs", given.len())))
}

/// Rows of both inputs in open windows.
pub(super) struct InWindows {
    lists: Lists,
    left: Waiting,
    right: Waiting,
    windows: Windowed,
}

impl InWindows {
    /// No window is open.
    pub(super) fn new(lists: Lists, windows: Windowed) -> Result<Self, NotRunnable> {
        Ok(InWindows { left: lists.sides.0.waiting()?, right: lists.sides.1.waiting()?, lists, windows })
    }

    fn older(&self) -> (i64, i64) {
        self.windows.older((self.lists.sides.0.older, self.lists.sides.1.older))
    }

    fn tidy(&mut self) -> Result<(), TaskError> {
        if let Some(moved) = self.left.tidy()? {
            self.windows.renumber(0, &moved);
        }
        if let Some(moved) = self.right.tidy()? {
            self.windows.renumber(1, &moved);
        }
        Ok(())
    }
}

impl KeyedTask for InWindows {
    fn schema(&self) -> SchemaRef {
        self.lists.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let closing = self.windows.begin(time)?;
        let older = self.older();
        let sides = [(&self.lists.sides.0, &mut self.left, older.0), (&self.lists.sides.1, &mut self.right, older.1)];
        for (input, ((side, waiting, older), blocks)) in sides.into_iter().zip(two(inputs)?).enumerate() {
            let fate = |time: i64| self.windows.fate(time.saturating_sub(older));
            let judge = Judge { fate: &fate, at: closing.at, reason: LATE };
            let rows = side.in_time(&blocks, &judge, &mut out)?;
            out.taken += rows.num_rows();
            let slots = waiting.keep(side.arrivals(rows, &|_| true, true, &judge, &mut out)?)?;
            self.windows.enter(input, slots, waiting, older);
        }
        for (span, [left, right]) in self.windows.close(closing) {
            let left = pick(&self.left, &self.lists.sides.0.schema, &left)?;
            let right = pick(&self.right, &self.lists.sides.1.schema, &right)?;
            out.rows.push((Port::Out, self.lists.group(&left, &right, Some((span.start, span.end)))?));
        }
        self.left.expire(closing.until);
        self.right.expire(closing.until);
        out.expired = self.left.expired() + self.right.expired();
        self.tidy()?;
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut saved = vec![self.lists.sides.0.save(&self.left)?, self.lists.sides.1.save(&self.right)?];
        saved.extend(self.windows.save()?);
        Ok(saved)
    }

    fn track(&mut self) {
        self.left.track();
        self.right.track();
        self.windows.track();
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        let Lists { sides: (left, right), .. } = &self.lists;
        let mut changes = vec![left.changes(&mut self.left)?, right.changes(&mut self.right)?];
        changes.extend(self.windows.changes()?);
        Ok(Changes::Some(changes))
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.windows.load(&tables)?;
        let older = self.older();
        let windows = &self.windows;
        let due = |older: i64| move |time: i64| windows.due(time.saturating_sub(older));
        self.lists.sides.0.load(&tables, &mut self.left, &due(older.0))?;
        self.lists.sides.1.load(&tables, &mut self.right, &due(older.1))?;
        self.windows.enter(0, self.left.live(), &self.left, older.0);
        self.windows.enter(1, self.right.live(), &self.right, older.1);
        Ok(())
    }

    fn held(&self) -> Held {
        let bytes = self.left.memory() + self.right.memory() + self.windows.memory();
        Held { keys: self.left.len() + self.right.len(), bytes, on_disk: 0 }
    }
}
