//! Rows of one side that wait for partners: by key, in the order they came, each until its time is up. Rows are named
//! by the place they were given (`slot`), which stays theirs until [`Waiting::tidy`] says otherwise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch, interleave, take};
use arrow::datatypes::SchemaRef;

use crate::model::key_groups::key_groups;
use crate::operators::matching::{KeyNumbers, NONE};
use crate::operators::sides::picking::{Pick, Picked};
use crate::operators::touched::{GoneRows, Touched};
use crate::operators::values::bug;
use crate::plan::operator::{StepTime, TaskError};

/// Fewer dead rows than this are not worth the work of throwing them out; tests have few rows.
const WORTH_IT: usize = if cfg!(test) { 2 } else { 4_096 };

/// Due at once, whatever the watermark.
pub(in crate::operators) const NOW: i64 = i64::MIN;

/// The rows of one side.
pub(in crate::operators) struct Waiting {
    schema: SchemaRef,
    /// Positions of the key.
    keys: Vec<usize>,
    /// Numbers of the keys; a row without one is found by nobody.
    numbers: KeyNumbers,
    /// By number of the key: its first and last row.
    chains: Vec<(u32, u32)>,
    slots: Vec<Slot>,
    chunks: Vec<Chunk>,
    /// Rows by the time at which they are given up.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    live: usize,
    /// The number of the next row. Numbers rise from slot to slot, but for rows that were loaded.
    next: i64,
    /// Rows from this number on came since changes were last asked for.
    told: i64,
    /// How many rows were given up since somebody asked, because their time was up.
    expired: usize,
    /// Slots of rows that came or had their first partner.
    touched: Touched,
    /// Slots of rows that went, and the groups and numbers of those that went before slots were given anew.
    gone: Vec<u32>,
    gone_before: GoneRows,
}

struct Slot {
    /// What the row is known by, with the group of its key.
    number: i64,
    time: i64,
    due: i64,
    key: u32,
    /// The next row with the same key.
    next: u32,
    matched: bool,
    live: bool,
}

/// Rows that came together, or were put together.
struct Chunk {
    start: usize,
    rows: RecordBatch,
}

/// Rows to be kept, with what is known of each.
pub(in crate::operators) struct Arrivals {
    /// The rows.
    pub rows: RecordBatch,
    /// Their event time.
    pub times: Vec<i64>,
    /// Until when they are kept: they go when the watermark is above.
    pub due: Vec<i64>,
    /// Whether they have had a partner already.
    pub matched: Vec<bool>,
    /// Whether they can have partners.
    pub fit: Vec<bool>,
    /// What they are known by; none: they are new.
    pub numbers: Option<Vec<i64>>,
}

impl Waiting {
    /// Nothing waits.
    pub(in crate::operators) fn new(schema: SchemaRef, keys: Vec<usize>, numbers: KeyNumbers) -> Self {
        Waiting {
            schema,
            keys,
            numbers,
            chains: Vec::new(),
            slots: Vec::new(),
            chunks: Vec::new(),
            due: BinaryHeap::new(),
            live: 0,
            next: 0,
            told: 0,
            expired: 0,
            touched: Touched::default(),
            gone: Vec::new(),
            gone_before: GoneRows::default(),
        }
    }

    /// Keeps rows; gives back their slots, in order.
    pub(in crate::operators) fn keep(&mut self, rows: Arrivals) -> Result<Range<u32>, TaskError> {
        let start = self.slots.len();
        let count = rows.rows.num_rows();
        if count == 0 {
            return Ok(start as u32..start as u32);
        }
        let keys = self.number(&rows.rows)?;
        for (row, key) in keys.into_iter().enumerate() {
            let slot = (start + row) as u32;
            let key = if rows.fit[row] { key } else { NONE };
            let (due, matched) = (rows.due[row], rows.matched[row]);
            let number = rows.numbers.as_ref().map_or(self.next, |numbers| numbers[row]);
            self.next = self.next.max(number.saturating_add(1));
            self.slots.push(Slot { number, time: rows.times[row], due, key, next: NONE, matched, live: true });
            self.touched.note(slot);
            self.due.push(Reverse((due, slot)));
            self.link(key, slot);
        }
        self.live += count;
        self.chunks.push(Chunk { start, rows: rows.rows });
        Ok(start as u32..(start + count) as u32)
    }

    fn number(&mut self, rows: &RecordBatch) -> Result<Vec<u32>, TaskError> {
        let key: Vec<_> = self.keys.iter().map(|i| rows.column(*i).clone()).collect();
        let numbers = self.numbers.assign(&key, rows.num_rows())?;
        self.chains.resize(self.numbers.len(), (NONE, NONE));
        Ok(numbers)
    }

    fn link(&mut self, key: u32, slot: u32) {
        if key == NONE {
            return;
        }
        let (first, last) = &mut self.chains[key as usize];
        if *first == NONE {
            *first = slot;
        } else {
            self.slots[*last as usize].next = slot;
        }
        *last = slot;
    }

    /// The number of each key, for [`Waiting::of_key`].
    pub(in crate::operators) fn find(&self, key: &[ArrayRef], rows: usize) -> Result<Vec<u32>, TaskError> {
        self.numbers.find(key, rows)
    }

    /// The rows of a key before a slot, in the order they came.
    pub(in crate::operators) fn of_key(&self, key: u32, before: u32) -> impl Iterator<Item = u32> {
        let next = |at: &u32| Some(self.slots.get(*at as usize)?.next);
        let first = if key == NONE { NONE } else { self.chains[key as usize].0 };
        std::iter::successors(Some(first), next)
            .take_while(move |at| *at < before)
            .filter(|at| self.slots[*at as usize].live)
    }

    /// A row's time.
    pub(in crate::operators) fn time(&self, slot: u32) -> i64 {
        self.slots[slot as usize].time
    }

    /// A row's key.
    pub(in crate::operators) fn key(&self, slot: u32) -> u32 {
        self.slots[slot as usize].key
    }

    /// Notes that a row has a partner; whether it had none before.
    pub(in crate::operators) fn matched(&mut self, slot: u32) -> bool {
        let first = !std::mem::replace(&mut self.slots[slot as usize].matched, true);
        if first {
            self.touched.note(slot);
        }
        first
    }

    /// Whether a row has had a partner.
    pub(in crate::operators) fn is_matched(&self, slot: u32) -> bool {
        self.slots[slot as usize].matched
    }

    /// Whether a row is still here.
    pub(in crate::operators) fn is_live(&self, slot: u32) -> bool {
        self.slots[slot as usize].live
    }

    /// Gives up a row.
    pub(in crate::operators) fn forget(&mut self, slot: u32) {
        let gone = &mut self.slots[slot as usize];
        if !std::mem::replace(&mut gone.live, false) {
            return;
        }
        self.live -= 1;
        if self.touched.is_on() && gone.number < self.told {
            self.gone.push(slot);
        }
        if gone.key != NONE {
            // Rows mostly go in the order they came: the chain then starts with one that is still here.
            let first = &mut self.chains[gone.key as usize].0;
            while *first != NONE && !self.slots[*first as usize].live {
                *first = self.slots[*first as usize].next;
            }
        }
    }

    /// Gives up the rows whose time is up, by that time; which ones.
    pub(in crate::operators) fn expire(&mut self, mark: Option<i64>) -> Vec<u32> {
        let mut gone = Vec::new();
        while let Some(Reverse((due, slot))) = self.due.peek().copied() {
            if due != NOW && mark.is_none_or(|mark| due >= mark && mark != StepTime::END) {
                break;
            }
            self.due.pop();
            if self.is_live(slot) {
                self.expired += usize::from(due != NOW);
                self.forget(slot);
                gone.push(slot);
            }
        }
        gone
    }

    /// Gives up a row that is of no use any more.
    pub(in crate::operators) fn outlived(&mut self, slot: u32) {
        self.expired += 1;
        self.forget(slot);
    }

    /// How many rows were given up since this was last asked, because their time was up.
    pub(in crate::operators) fn expired(&mut self) -> usize {
        std::mem::take(&mut self.expired)
    }

    /// Whether a row can have partners.
    pub(in crate::operators) fn fits(&self, slot: u32) -> bool {
        self.key(slot) != NONE
    }

    /// Every row that is here, in the order they came.
    pub(in crate::operators) fn live(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.live).map(|(i, _)| i as u32)
    }

    /// Throws out what was given up and puts small chunks together. Where rows got other slots: the new one for each
    /// of the old ones, [`NONE`] for those that are gone.
    pub(in crate::operators) fn tidy(&mut self) -> Result<Option<Vec<u32>>, TaskError> {
        let dead = self.slots.len() - self.live;
        if dead > WORTH_IT.max(self.live) || (self.live == 0 && dead > 0) {
            return self.renumber().map(Some);
        }
        // A chunk is at least twice as large as the next one, so that there are few of them.
        while let [.., a, b] = &self.chunks[..]
            && a.rows.num_rows() < 2 * b.rows.num_rows()
        {
            let rows = concat_batches(&self.schema, [&a.rows, &b.rows]).map_err(bug)?;
            let start = a.start;
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(Chunk { start, rows });
        }
        Ok(None)
    }

    fn renumber(&mut self) -> Result<Vec<u32>, TaskError> {
        self.settle_gone()?;
        let kept = self.rows()?;
        let mut moved = vec![NONE; self.slots.len()];
        self.live().enumerate().for_each(|(new, old)| moved[old as usize] = new as u32);
        let mut old_slots = std::mem::take(&mut self.slots);
        old_slots.retain(|slot| slot.live);
        self.touched.renumber(|old| Some(moved[old as usize]).filter(|new| *new != NONE));
        self.due = old_slots.iter().enumerate().map(|(i, slot)| Reverse((slot.due, i as u32))).collect();
        self.due.shrink_to_fit();
        self.numbers.clear();
        self.chains.clear();
        let keys = self.number(&kept)?;
        for (i, (slot, key)) in old_slots.into_iter().zip(keys).enumerate() {
            let key = if slot.key == NONE { NONE } else { key };
            self.slots.push(Slot { next: NONE, key, ..slot });
            self.link(key, i as u32);
        }
        self.slots.shrink_to_fit();
        self.chunks.clear();
        if kept.num_rows() > 0 {
            self.chunks.push(Chunk { start: 0, rows: kept });
        }
        Ok(moved)
    }

    /// Begins to note what comes and goes.
    pub(in crate::operators) fn track(&mut self) {
        self.touched.start();
        self.gone.clear();
        self.told = self.next;
        self.gone_before = GoneRows::default();
    }

    /// What came of rows since that was last asked: the slots of those that are new or have had their first partner,
    /// in the order they came, and what those were known by that went.
    pub(in crate::operators) fn changes(&mut self) -> Result<(Vec<u32>, GoneRows), TaskError> {
        self.settle_gone()?;
        self.told = self.next;
        let mut touched = self.touched.take();
        touched.retain(|slot| self.is_live(*slot));
        Ok((touched, std::mem::take(&mut self.gone_before)))
    }

    /// Notes what rows that went are known by, as long as they are there.
    fn settle_gone(&mut self) -> Result<(), TaskError> {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return Ok(());
        }
        let groups = self.groups(&gone)?;
        self.gone_before.groups.extend(groups);
        let numbers = gone.iter().map(|slot| self.slots[*slot as usize].number);
        self.gone_before.numbers.extend(numbers);
        Ok(())
    }

    /// The key groups of rows.
    pub(in crate::operators) fn groups(&self, slots: &[u32]) -> Result<Vec<u8>, TaskError> {
        let picked = Picked::new(slots);
        let key = self.keys.iter().map(|i| self.column(*i, &picked)).collect::<Result<Vec<_>, _>>()?;
        if key.is_empty() { Ok(vec![0; slots.len()]) } else { key_groups(&key).map_err(bug) }
    }

    /// What a row is known by, with the group of its key.
    pub(in crate::operators) fn number_of(&self, slot: u32) -> i64 {
        self.slots[slot as usize].number
    }

    /// Every row that is here, in the order they came.
    pub(in crate::operators) fn rows(&self) -> Result<RecordBatch, TaskError> {
        let mut kept = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            let end = chunk.start + chunk.rows.num_rows();
            let live: BooleanArray = self.slots[chunk.start..end].iter().map(|slot| Some(slot.live)).collect();
            kept.push(filter_record_batch(&chunk.rows, &live).map_err(bug)?);
        }
        concat_batches(&self.schema, &kept).map_err(bug)
    }

    /// How many rows wait.
    pub(in crate::operators) fn len(&self) -> usize {
        self.live
    }

    /// Bytes of memory, about.
    pub(in crate::operators) fn memory(&self) -> usize {
        let rows: usize = self.chunks.iter().map(|chunk| chunk.rows.get_array_memory_size()).sum();
        rows + self.slots.capacity() * size_of::<Slot>()
            + self.due.capacity() * size_of::<(i64, u32)>()
            + self.chains.capacity() * size_of::<(u32, u32)>()
            + self.numbers.memory()
    }

    /// The chunk a slot lies in.
    fn chunk(&self, slot: u32) -> usize {
        self.chunks.partition_point(|chunk| chunk.start <= slot as usize) - 1
    }
}

impl Pick for Waiting {
    fn column(&self, index: usize, rows: &Picked) -> Result<ArrayRef, TaskError> {
        let positions = &rows.positions;
        if positions.null_count() == positions.len() {
            return Ok(new_null_array(self.schema.field(index).data_type(), positions.len()));
        }
        let mut used = vec![NONE; self.chunks.len()];
        let mut columns: Vec<&dyn Array> = Vec::new();
        let none = new_null_array(self.schema.field(index).data_type(), 1);
        if positions.null_count() > 0 {
            columns.push(&none);
        }
        let mut places = Vec::with_capacity(positions.len());
        for position in positions {
            let Some(slot) = position else {
                places.push((0, 0));
                continue;
            };
            let chunk = self.chunk(slot);
            if used[chunk] == NONE {
                used[chunk] = columns.len() as u32;
                columns.push(self.chunks[chunk].rows.column(index));
            }
            places.push((used[chunk] as usize, slot as usize - self.chunks[chunk].start));
        }
        if let [one] = columns[..] {
            let rows: UInt32Array = places.iter().map(|(_, row)| *row as u32).collect();
            return take(one, &rows, None).map_err(bug);
        }
        interleave(&columns, &places).map_err(bug)
    }
}
