//! Operators that gather rows or remember some: a task for each partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::UInt8Type;
use arrow::error::ArrowError;

use crate::engine::exchange;
use crate::engine::failure::sampled;
use crate::engine::flow::Parts;
use crate::engine::part::Part;
use crate::engine::pool::Pool;
use crate::engine::room::Room;
use crate::engine::tables::add;
use crate::model::key_groups::partition_of;
use crate::plan::Operator;
use crate::plan::Port;
use crate::plan::measure::Measured;
use crate::plan::memory::placeless;
use crate::plan::operator::{
    Changes, Distribution, Evaluated, Held, NotRunnable, Properties, SavedTable, StepTime, TableChange, TaskError,
};

/// So many bytes of state that comes piece by piece are in memory before they are dealt out.
const AT_ONCE: usize = 16 << 20;

/// The tasks of one operator.
pub(super) struct Keyed {
    distribution: Distribution,
    /// Everything there is to say of the operator, places aside: tasks of two that say the same are the same.
    text: String,
    parts: Vec<Part>,
    /// It was told that nothing is remembered, so that this need not be told again.
    told_empty: bool,
    /// What it is to take over, as far as it came.
    arriving: Arriving,
}

/// State that comes piece by piece.
#[derive(Default)]
struct Arriving {
    tables: Vec<SavedTable>,
    bytes: usize,
    /// Some of it is with the partitions already.
    is_dealt_out: bool,
}

/// What an operator reads through one of its inputs.
pub(super) struct Input {
    pub(super) parts: Parts,
    /// The parts are the partitions it wants.
    pub(super) in_place: bool,
    /// Columns that need not be moved.
    pub(super) unread: BTreeSet<usize>,
}

/// What came out of all partitions.
#[derive(Default)]
pub(super) struct KeyedOut {
    /// Rows that leave the straight way, by partition.
    pub(super) rows: Parts,
    /// Rows that leave otherwise, partition after partition.
    pub(super) sides: Vec<(Port, RecordBatch)>,
    pub(super) handed: u64,
    pub(super) filtered: u64,
    pub(super) taken: u64,
    pub(super) partly_late: u64,
    /// What was forgotten because its time was over.
    pub(super) expired: u64,
    /// Bad rows that did not come in but were made.
    pub(super) made_bad: u64,
    pub(super) measured: Vec<Measured>,
}

impl Keyed {
    /// Makes a task for each partition; `partitions` where the operator leaves the number open. What is remembered by key
    /// need not all be in memory, where there is a room for it.
    pub(super) fn new(
        operator: &Arc<dyn Operator>,
        partitions: usize,
        room: Option<&Arc<Room>>,
    ) -> Result<Self, NotRunnable> {
        let Properties { distribution, stateful, .. } = operator.properties();
        let count = match &distribution {
            Distribution::Any | Distribution::Single => 1,
            Distribution::Beside { .. } => partitions,
            Distribution::ByKey(_) => partitions,
            Distribution::Partitions { count, .. } => (*count).max(1),
        };
        let room = room.filter(|_| stateful && matches!(distribution, Distribution::ByKey(_)));
        let parts = (0..count).map(|_| Part::new(operator, room)).collect::<Result<_, _>>()?;
        Ok(Keyed {
            distribution,
            text: placeless(operator.as_ref()),
            parts,
            told_empty: false,
            arriving: Arriving::default(),
        })
    }

    /// Runs one batch; `inputs` in the order of the operator's inputs.
    pub(super) fn step(&mut self, inputs: Vec<Input>, time: &StepTime, pool: &Pool) -> Result<KeyedOut, TaskError> {
        let partitions = self.parts.len();
        let mut shares: Vec<Vec<Vec<RecordBatch>>> = vec![Vec::with_capacity(inputs.len()); partitions];
        for (i, input) in inputs.into_iter().enumerate() {
            for (share, rows) in shares.iter_mut().zip(self.share(i, input, partitions, pool)?) {
                share.push(rows);
            }
        }
        let work: Vec<_> = self.parts.iter_mut().zip(shares).collect();
        let results = pool.map(work, |(part, share)| {
            let sample = share.iter().flatten().next().cloned();
            part.step(share, time).map_err(|error| match &sample {
                Some(rows) => sampled(error, rows),
                None => error,
            })
        })?;
        let mut out = KeyedOut::default();
        results.into_iter().for_each(|one| out.add(one));
        Ok(out)
    }

    /// Whether the tasks of another one could go on in the place of these.
    pub(super) fn is_like(&self, other: &Keyed) -> bool {
        let alike = |(one, other): (&Part, &Part)| one.may_be_cold() == other.may_be_cold();
        self.remembers_like(other)
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(alike)
    }

    /// Whether what another one saves is what this one would.
    pub(super) fn remembers_like(&self, other: &Keyed) -> bool {
        self.text == other.text && self.distribution == other.distribution
    }

    /// Goes on with the tasks of another one, which gets these.
    pub(super) fn take_over(&mut self, other: &mut Keyed) {
        std::mem::swap(&mut self.parts, &mut other.parts);
    }

    /// The state of all partitions, as one.
    pub(super) fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut saved: Vec<SavedTable> = Vec::new();
        for i in 0..self.parts.len() {
            self.saved_part(i)?.into_iter().for_each(|table| add(&mut saved, table));
        }
        Ok(saved)
    }

    /// Hands on the state of all partitions: as one, or where it may be large one after the other.
    pub(super) fn each_saved(
        &self,
        to: &mut dyn FnMut(Vec<SavedTable>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        if !self.may_be_cold() {
            return to(self.save()?);
        }
        (0..self.parts.len()).try_for_each(|i| to(self.saved_part(i)?))
    }

    /// What is known to every partition is in the first one only.
    fn saved_part(&self, i: usize) -> Result<Vec<SavedTable>, TaskError> {
        let mut tables = self.parts[i].save()?;
        if i > 0 {
            for table in &mut tables {
                table.rows = table.rows.iter().map(of_a_group).collect::<Result<_, _>>()?;
            }
        }
        Ok(tables)
    }

    /// From now on all partitions note what changes.
    pub(super) fn track(&mut self) {
        self.told_empty = false;
        self.parts.iter_mut().for_each(Part::track);
    }

    /// What changed in the state of all partitions, as one.
    pub(super) fn changes(&mut self) -> Result<Changes, TaskError> {
        let mut all: Vec<TableChange> = Vec::new();
        let mut whole = false;
        for (i, part) in self.parts.iter_mut().enumerate() {
            let Changes::Some(tables) = part.changes()? else {
                whole = true;
                continue;
            };
            let own = |rows: Vec<RecordBatch>| -> Result<Vec<_>, TaskError> {
                let rows = rows.into_iter().map(|rows| if i == 0 { Ok(rows) } else { of_a_group(&rows) });
                let rows = rows.collect::<Result<Vec<_>, _>>()?;
                Ok(rows.into_iter().filter(|rows| rows.num_rows() > 0).collect())
            };
            for table in tables {
                let (gone, rows) = (own(table.gone)?, own(table.rows)?);
                match all.iter_mut().find(|known| known.name == table.name) {
                    Some(known) => {
                        known.gone.extend(gone);
                        known.rows.extend(rows);
                    }
                    None => all.push(TableChange { gone, rows, ..table }),
                }
            }
        }
        if !whole {
            return Ok(Changes::Some(all));
        }
        // Where one partition tells everything, nothing less will do for the others.
        let all = self.save()?;
        let again = std::mem::replace(&mut self.told_empty, all.is_empty()) && all.is_empty();
        Ok(if again { Changes::Some(Vec::new()) } else { Changes::All(all) })
    }

    /// Gives every task the rows of its key groups.
    pub(super) fn load(&mut self, tables: &[SavedTable], pool: &Pool) -> Result<(), TaskError> {
        let partitions = self.parts.len();
        let loaded =
            pool.map(self.parts.iter_mut().enumerate().collect(), |(i, part)| part.load(share(tables, i, partitions)?));
        loaded.map(drop)
    }

    /// Takes over state piece by piece: rows of a table, behind those that came before.
    pub(super) fn arrive(&mut self, more: SavedTable) -> Result<(), TaskError> {
        self.arriving.bytes += more.rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        add(&mut self.arriving.tables, more);
        if self.arriving.bytes > AT_ONCE && self.may_be_cold() { self.deal_out() } else { Ok(()) }
    }

    /// All of it has arrived.
    pub(super) fn arrived(&mut self, pool: &Pool) -> Result<(), TaskError> {
        if self.arriving.is_dealt_out {
            self.deal_out()?;
            self.parts.iter_mut().try_for_each(Part::arrived)?;
        }
        let Arriving { tables, is_dealt_out, .. } = std::mem::take(&mut self.arriving);
        if is_dealt_out { Ok(()) } else { self.load(&tables, pool) }
    }

    fn deal_out(&mut self) -> Result<(), TaskError> {
        let partitions = self.parts.len();
        for (i, part) in self.parts.iter_mut().enumerate() {
            part.arrive(&share(&self.arriving.tables, i, partitions)?)?;
        }
        self.arriving.tables.iter_mut().for_each(|table| table.rows.clear());
        (self.arriving.bytes, self.arriving.is_dealt_out) = (0, true);
        Ok(())
    }

    /// How much all partitions remember.
    pub(super) fn held(&self) -> Held {
        self.parts.iter().map(Part::held).fold(Held::default(), |sum, more| Held {
            keys: sum.keys + more.keys,
            bytes: sum.bytes + more.bytes,
            on_disk: sum.on_disk + more.on_disk,
        })
    }

    /// Whether it may lie on disk instead of in memory.
    pub(super) fn may_be_cold(&self) -> bool {
        self.parts.iter().all(Part::may_be_cold)
    }

    fn share(&self, input: usize, rows: Input, partitions: usize, pool: &Pool) -> Result<Parts, TaskError> {
        if rows.in_place && rows.parts.len() == partitions {
            return Ok(rows.parts);
        }
        let blocks: Vec<_> = rows.parts.into_iter().flatten().collect();
        let unread = rows.unread;
        match &self.distribution {
            Distribution::Any | Distribution::Single => Ok(vec![blocks]),
            Distribution::Beside { whole } if whole.contains(&input) => Ok(vec![blocks; partitions]),
            Distribution::Beside { .. } => Ok(exchange::in_runs(blocks, partitions)),
            Distribution::ByKey(keys) => match keys.get(input) {
                Some(columns) => exchange::by_key(blocks, columns, &unread, partitions, pool),
                None => Err(TaskError::Bug(format!("input {input} has no keys to be brought together by"))),
            },
            Distribution::Partitions { by, .. } if by.is_empty() => Ok(exchange::evenly(blocks, partitions)),
            Distribution::Partitions { by, .. } => exchange::by_key(blocks, by, &unread, partitions, pool),
        }
    }
}

impl KeyedOut {
    fn add(&mut self, one: Evaluated) {
        let mut straight = Vec::new();
        let mut went = 0;
        for (port, rows) in one.rows.into_iter().filter(|(_, rows)| rows.num_rows() > 0) {
            went += if matches!(port, Port::Out | Port::Branch(_)) { rows.num_rows() } else { 0 };
            if port == Port::Out {
                straight.push(rows);
            } else {
                self.sides.push((port, rows));
            }
        }
        self.rows.push(straight);
        self.handed += one.handed.unwrap_or(went) as u64;
        self.filtered += one.filtered as u64;
        self.taken += one.taken as u64;
        self.partly_late += one.partly_late as u64;
        self.expired += one.expired as u64;
        self.made_bad += one.made_bad as u64;
        self.measured.extend(one.measured);
    }
}

/// The rows that belong to a key group; the others are saved by the first partition.
fn of_a_group(rows: &RecordBatch) -> Result<RecordBatch, TaskError> {
    let chosen = is_not_null(rows.column(0)).map_err(bug)?;
    filter_record_batch(rows, &chosen).map_err(bug)
}

/// What of tables belongs to a partition.
fn share(tables: &[SavedTable], partition: usize, partitions: usize) -> Result<Vec<SavedTable>, TaskError> {
    let share = |table: &SavedTable| {
        let rows = table.rows.iter().map(|rows| of_partition(rows, partition, partitions));
        Ok(SavedTable { name: table.name.clone(), identity: table.identity, rows: rows.collect::<Result<_, _>>()? })
    };
    tables.iter().map(share).collect()
}

/// The rows of a partition's groups, and those that every partition must know.
fn of_partition(rows: &RecordBatch, partition: usize, partitions: usize) -> Result<RecordBatch, TaskError> {
    if partitions == 1 {
        return Ok(rows.clone());
    }
    let groups = rows.column(0).as_primitive_opt::<UInt8Type>();
    let groups = groups.ok_or_else(|| TaskError::Bug("saved state has no key groups".into()))?;
    let chosen = groups.iter().map(|group| group.is_none_or(|group| partition_of(group, partitions) == partition));
    filter_record_batch(rows, &chosen.map(Some).collect::<BooleanArray>()).map_err(bug)
}

fn bug(error: ArrowError) -> TaskError {
    TaskError::Bug(error.to_string())
}
