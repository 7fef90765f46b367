//! A partition of an operator: its task, or, where memory is short, the file that its state lies in until the next
//! batch. A batch warms the partitions one after the other; those that fit stay warm, always the same ones, so that only
//! what does not fit is read and written.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::engine::durable::changed::is_nothing;
use crate::engine::pool::guarded;
use crate::engine::room::{ColdFile, GrowingFile, Room};
use crate::plan::Operator;
use crate::plan::operator::{Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, Task, TaskError};

/// One of the partitions.
pub(super) struct Part {
    /// None while it is cold.
    task: Option<Box<dyn KeyedTask>>,
    /// What lies on disk: all that it remembers.
    file: Option<ColdFile>,
    /// What a cold task remembers.
    held: Held,
    /// It notes what changes.
    tracks: bool,
    /// What changed before it was put on disk and was not asked for yet.
    changes: Option<Changes>,
    /// What it is to take over, on its way to the disk.
    arriving: Option<GrowingFile>,
    shared: Option<Shared>,
}

/// What partitions that may be cold have in common.
struct Shared {
    operator: Arc<dyn Operator>,
    room: Arc<Room>,
    /// Bytes that the room knows of.
    told: usize,
}

impl Shared {
    /// So many bytes are in memory now. Gives whether all of it together is too much.
    fn takes(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.told, bytes);
        self.room.now_takes(before, bytes)
    }
}

impl Part {
    /// Remembers nothing yet. Without a room it is always warm.
    pub(super) fn new(operator: &Arc<dyn Operator>, room: Option<&Arc<Room>>) -> Result<Self, NotRunnable> {
        let shared = room.map(|room| Shared { operator: Arc::clone(operator), room: Arc::clone(room), told: 0 });
        let task = Some(fresh(operator.as_ref())?);
        Ok(Part { task, file: None, held: Held::default(), tracks: false, changes: None, arriving: None, shared })
    }

    /// Takes its rows of a batch.
    pub(super) fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        if self.changes.is_some() {
            return Err(TaskError::Bug("nobody asked what changed in the batch before".into()));
        }
        let task = self.warm()?;
        let out = guarded(|| task.step(inputs, time))?;
        self.make_room()?;
        Ok(out)
    }

    /// All that it remembers.
    pub(super) fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        match (&self.task, &self.file) {
            (Some(task), _) => task.save(),
            (None, Some(file)) => file.tables(),
            (None, None) => Err(gone()),
        }
    }

    /// Takes over what was saved: once, before the first step.
    pub(super) fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.warm()?.load(tables)?;
        self.make_room()
    }

    /// Takes over, by and by, what is too much to be in memory at once.
    pub(super) fn arrive(&mut self, tables: &[SavedTable]) -> Result<(), TaskError> {
        let Some(shared) = &self.shared else { return Err(TaskError::Bug("it must be in memory".into())) };
        let mut file = self.arriving.take().map_or_else(|| shared.room.begin(), Ok)?;
        file.add(tables)?;
        self.arriving = Some(file);
        Ok(())
    }

    /// All of it has arrived.
    pub(super) fn arrived(&mut self) -> Result<(), TaskError> {
        if let Some(file) = self.arriving.take() {
            let file = file.end()?;
            self.held = Held { on_disk: file.bytes(), ..Held::default() };
            (self.file, self.task) = (Some(file), None);
        }
        Ok(())
    }

    /// From now on it notes what changes.
    pub(super) fn track(&mut self) {
        self.tracks = true;
        self.changes = None;
        if let Some(task) = &mut self.task {
            task.track();
        }
    }

    /// What changed since this was last asked.
    pub(super) fn changes(&mut self) -> Result<Changes, TaskError> {
        match (self.changes.take(), &mut self.task) {
            (Some(changes), _) => Ok(changes),
            (None, Some(task)) => task.changes(),
            (None, None) => Ok(Changes::Some(Vec::new())),
        }
    }

    /// How much it remembers; bytes in memory.
    pub(super) fn held(&self) -> Held {
        self.task.as_ref().map_or(self.held, |task| task.held())
    }

    /// Whether it may lie on disk.
    pub(super) fn may_be_cold(&self) -> bool {
        self.shared.is_some()
    }

    fn warm(&mut self) -> Result<&mut Box<dyn KeyedTask>, TaskError> {
        if self.task.is_none() {
            let (Some(file), Some(shared)) = (&self.file, &self.shared) else { return Err(gone()) };
            let mut task = fresh(shared.operator.as_ref()).map_err(|NotRunnable(why)| TaskError::Bug(why))?;
            task.load(file.tables()?)?;
            if self.tracks {
                task.track();
            }
            self.task = Some(task);
        }
        self.task.as_mut().ok_or_else(gone)
    }

    /// Puts it on disk where memory is short.
    fn make_room(&mut self) -> Result<(), TaskError> {
        let (Some(shared), Some(task)) = (&mut self.shared, &mut self.task) else { return Ok(()) };
        let held = task.held();
        let is_too_much = shared.takes(held.bytes);
        if !is_too_much || held == Held::default() {
            // What lies on disk is outdated.
            self.file = None;
            return Ok(());
        }
        let changes = if self.tracks { Some(task.changes()?) } else { None };
        let is_as_it_was = changes.as_ref().is_some_and(is_nothing);
        if !is_as_it_was || self.file.is_none() {
            self.file = Some(shared.room.put(&task.save()?)?);
        }
        self.changes = changes;
        self.task = None;
        let on_disk = self.file.as_ref().map_or(0, ColdFile::bytes);
        self.held = Held { keys: held.keys, bytes: 0, on_disk };
        shared.takes(0);
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(shared) = &mut self.shared {
            shared.takes(0);
        }
    }
}

fn fresh(operator: &dyn Operator) -> Result<Box<dyn KeyedTask>, NotRunnable> {
    match operator.task()? {
        Task::Keyed(task) => Ok(task),
        Task::Rows(_) => Err(NotRunnable(format!("`{}` is not made to gather rows", operator.word()))),
    }
}

fn gone() -> TaskError {
    TaskError::Bug("a partition lost its state in a batch that failed".into())
}
