//! Rows that are handed in from outside instead of being read: for test blocks and for programs that use the library.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Limits, Position, Positions, Read, Source, Split};

/// The end where rows are handed in.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<(Mutex<Waiting>, Condvar)>);

/// The end where rows are handed in, for another thread than the one that steps.
#[derive(Debug, Clone)]
pub struct Inlet {
    pub(super) queue: Queue,
    /// Rows replace those that were there.
    pub(super) table: bool,
}

impl Inlet {
    /// More rows for a source, or a table's rows from now on.
    pub fn give(&self, rows: Vec<RecordBatch>) {
        if self.table { self.queue.replace(rows) } else { self.queue.push(rows) }
    }

    /// Says that this input will be given no more rows.
    pub fn end(&self) {
        self.queue.end();
    }

    /// Waits until no more than so many bytes wait to be read. False where nobody will ever read them.
    pub fn wait_for_room(&self, bytes: usize) -> bool {
        let held = |waiting: &Waiting| waiting.blocks.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        let full = |waiting: &mut Waiting| !self.table && !waiting.closed && held(waiting) > bytes;
        let (_, changed) = &*self.queue.0;
        let waiting = changed.wait_while(self.queue.waiting(), full).unwrap_or_else(PoisonError::into_inner);
        !waiting.closed
    }
}

/// The end where they are read.
pub(super) struct Queued {
    queue: Queue,
    /// Whether a batch takes one block that was handed in, as Spark's queue does where asked, or all.
    one_at_a_time: bool,
    /// A table keeps its rows and is read from the start.
    table: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    blocks: Vec<RecordBatch>,
    /// Rows that could not be read where they came from.
    bad: Vec<BadRow>,
    /// Blocks that were forgotten: positions count from the first one ever.
    forgotten: usize,
    version: u64,
    ended: bool,
    /// The reading end is gone.
    closed: bool,
}

impl Queue {
    /// More rows for a source.
    pub(super) fn push(&self, rows: Vec<RecordBatch>) {
        self.waiting().blocks.extend(rows.into_iter().filter(|r| r.num_rows() > 0));
    }

    /// Rows for a source that could not be read where they came from.
    pub(super) fn push_bad(&self, rows: Vec<BadRow>) {
        self.waiting().bad.extend(rows);
    }

    /// Other rows for a table.
    pub(super) fn replace(&self, rows: Vec<RecordBatch>) {
        let mut waiting = self.waiting();
        waiting.blocks = rows;
        waiting.version += 1;
    }

    /// Nothing will follow.
    pub(super) fn end(&self) {
        self.waiting().ended = true;
    }

    /// Whether rows wait to be read.
    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.blocks.is_empty() && waiting.bad.is_empty()
    }

    /// The reading end of a source.
    pub(super) fn source(&self, one_at_a_time: bool) -> Queued {
        Queued { queue: self.clone(), one_at_a_time, table: false }
    }

    /// The reading end of a table.
    pub(super) fn table(&self) -> Queued {
        Queued { queue: self.clone(), one_at_a_time: false, table: true }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.0.1.notify_all();
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.waiting().closed = true;
        self.queue.changed();
    }
}

impl Source for Queued {
    fn discover(&mut self, known: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        let split = Split { id: "queue".into() };
        let read = known.get(&split).map_or(0, number);
        let waiting = self.queue.waiting();
        let more = read < waiting.forgotten + waiting.blocks.len() || !waiting.bad.is_empty();
        Ok(if more { vec![split] } else { Vec::new() })
    }

    fn read(&mut self, _: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let mut waiting = self.queue.waiting();
        let skip = number(from).saturating_sub(waiting.forgotten);
        let mut left = limits.rows;
        let mut blocks = Vec::new();
        while left > 0 && skip + blocks.len() < waiting.blocks.len() {
            let at = skip + blocks.len();
            let block = waiting.blocks[at].clone();
            if block.num_rows() > left {
                waiting.blocks.splice(at..=at, [block.slice(0, left), block.slice(left, block.num_rows() - left)]);
                blocks.push(block.slice(0, left));
                break;
            }
            left -= block.num_rows();
            blocks.push(block);
            if self.one_at_a_time {
                break;
            }
        }
        let read = waiting.forgotten + skip + blocks.len();
        let bytes = blocks.iter().map(|b| b.get_array_memory_size() as u64).sum();
        let exhausted = skip + blocks.len() == waiting.blocks.len();
        let bad = std::mem::take(&mut waiting.bad);
        Ok(Read { blocks, bad, to: Position((read as u64).to_le_bytes().to_vec()), bytes, exhausted })
    }

    fn ack(&mut self, _: &Split, position: &Position) -> Result<(), TaskError> {
        if !self.table {
            let mut waiting = self.queue.waiting();
            let done = number(position).saturating_sub(waiting.forgotten).min(waiting.blocks.len());
            waiting.blocks.drain(..done);
            waiting.forgotten += done;
            self.queue.changed();
        }
        Ok(())
    }

    fn ended(&self) -> bool {
        let waiting = self.queue.waiting();
        waiting.ended && waiting.blocks.is_empty() && waiting.bad.is_empty()
    }

    fn version(&mut self) -> Option<u64> {
        Some(self.queue.waiting().version)
    }
}

/// A position as a count of blocks.
fn number(position: &Position) -> usize {
    let bytes: [u8; 8] = position.0.as_slice().try_into().unwrap_or_default();
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}
