//! `dedupe` at work: when each key may come again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};

use crate::operators::dedupe::Dedupe;
use crate::operators::known::{Known, Timers, groups};
use crate::operators::lateness::{LateRows, TimeColumn};
use crate::operators::touched::{Forgotten, Touched};
use crate::operators::values::{batch_of, bug, take_batch};
use crate::plan::Port;
use crate::plan::operator::{
    Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TableChange, TaskError,
};

/// Why a row is late.
const LATE: &str = "older than any key that is remembered";

/// The name and the layout of what is saved: `_group`, a `key.NAME` for each column of the key, and `until`, the
/// instant from which on a row of the key passes again, in microseconds. Fixed: state of older versions has it.
const TABLE: &str = "keys";
const UNTIL: &str = "until";

/// Remembers keys.
pub(super) struct DedupeTask {
    key: Vec<usize>,
    within: i64,
    /// None: batches tell the time.
    time: Option<TimeColumn>,
    schema: SchemaRef,
    late: LateRows,
    known: Known,
    /// By number: from when on a row of the key passes again. [`FREE`] where the number is nobody's.
    until: Vec<i64>,
    timers: Timers,
    /// Numbers whose keys have another time now.
    touched: Touched,
    gone: Forgotten,
}

const FREE: i64 = i64::MIN;

impl DedupeTask {
    pub(super) fn new(of: &Dedupe) -> Result<Self, NotRunnable> {
        let schema = of.input.to_arrow();
        let types: Vec<_> = of.key.iter().map(|i| schema.field(*i).data_type().clone()).collect();
        let known = Known::new(&types).map_err(|e| NotRunnable(format!("stage `dedupe` cannot be run: {e}")))?;
        Ok(DedupeTask {
            key: of.key.clone(),
            within: of.within,
            time: of.time,
            schema,
            late: LateRows::of(&of.input),
            known,
            until: Vec::new(),
            timers: Timers::default(),
            touched: Touched::default(),
            gone: Forgotten::default(),
        })
    }

    fn block(&mut self, block: &RecordBatch, time: &StepTime, out: &mut Evaluated) -> Result<(), TaskError> {
        let times = match self.time {
            Some(column) => column.of_rows(block)?,
            None => vec![time.batch.micros; block.num_rows()],
        };
        let mark = self.time.and(time.mark_before);
        let late_by = |at: i64| mark.map(|mark| mark.saturating_sub(at.saturating_add(self.within)));
        let (mut late, mut fine) = (Vec::new(), Vec::with_capacity(block.num_rows()));
        for (row, at) in times.iter().enumerate() {
            match late_by(*at) {
                Some(by) if by >= 0 => late.push((row as u32, by)),
                _ => fine.push(row as u32),
            }
        }
        out.rows.extend(self.late.of_block(block, &late, LATE)?);
        let all = late.is_empty();
        let rows = if all { block.clone() } else { take_batch(block, &UInt32Array::from(fine.clone()))? };
        let keys: Vec<_> = self.key.iter().map(|i| rows.column(*i).clone()).collect();
        let numbers = self.known.assign(&keys, rows.num_rows())?;
        self.until.resize(self.known.end(), FREE);
        let mut passed = Vec::new();
        for (i, number) in numbers.into_iter().enumerate() {
            if self.passes(number, times[fine[i] as usize]) {
                passed.push(i as u32);
            }
        }
        out.filtered += rows.num_rows() - passed.len();
        if passed.len() == rows.num_rows() {
            out.rows.push((Port::Out, rows));
        } else if !passed.is_empty() {
            out.rows.push((Port::Out, take_batch(&rows, &UInt32Array::from(passed))?));
        }
        Ok(())
    }

    /// Whether a row of a key is the first one; if so its key is remembered.
    fn passes(&mut self, number: u32, at: i64) -> bool {
        let until = self.until[number as usize];
        if until != FREE && at < until {
            return false;
        }
        self.remember(number, at.saturating_add(self.within).max(FREE + 1));
        true
    }

    fn remember(&mut self, number: u32, until: i64) {
        if self.until[number as usize] == FREE {
            self.timers.set(self.needed_until(until), number);
        }
        self.until[number as usize] = until;
        self.touched.note(number);
    }

    /// From when on a key is of no use. Rows of event time may come out of order: one that is not late can be older
    /// than the mark by the time that keys are remembered, so the key of a row before it must still be known.
    fn needed_until(&self, until: i64) -> i64 {
        if self.time.is_some() { until.saturating_add(self.within) } else { until }
    }

    /// Forgets what is of no use any more; how many keys.
    fn forget(&mut self, now: i64) -> usize {
        let before = self.known.len();
        for number in self.timers.take(now) {
            let needed = self.needed_until(self.until[number as usize]);
            if needed > now {
                self.timers.set(needed, number);
            } else {
                self.until[number as usize] = FREE;
                if self.touched.is_on() {
                    self.gone.note(&self.known, number);
                }
                self.known.forget(number);
            }
        }
        before - self.known.len()
    }

    /// The keys of these numbers that are remembered, as rows.
    fn rows_of(&self, mut numbers: Vec<u32>) -> Result<RecordBatch, TaskError> {
        numbers.retain(|number| self.until[*number as usize] != FREE);
        let keys = self.known.columns(&numbers)?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(groups(&keys, numbers.len())?)];
        columns.extend(keys);
        columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| self.until[*n as usize]))));
        batch_of(&self.saved_schema(), columns, numbers.len())
    }

    fn saved_keys(&self) -> impl Iterator<Item = Field> {
        self.key.iter().map(|i| self.schema.field(*i)).map(saved_field)
    }

    fn saved_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("_group", DataType::UInt8, true)];
        fields.extend(self.saved_keys());
        fields.push(Field::new(UNTIL, DataType::Int64, false));
        Arc::new(ArrowSchema::new(fields))
    }
}

/// Saved keys that pass again so much later, or sooner.
pub(super) fn shifted(tables: Vec<SavedTable>, by: i64) -> Result<Vec<SavedTable>, TaskError> {
    let shift = |rows: RecordBatch| {
        let at = rows.schema().index_of(UNTIL).map_err(bug)?;
        let until = rows.column(at).as_primitive_opt::<Int64Type>().ok_or_else(|| bug("saved times are no times"))?;
        let until: Int64Array = until.unary(|until| until.saturating_add(by).max(FREE + 1));
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(until);
        RecordBatch::try_new(rows.schema(), columns).map_err(bug)
    };
    let table = |table: SavedTable| {
        let rows = table.rows.into_iter().map(shift).collect::<Result<_, TaskError>>()?;
        Ok(SavedTable { rows, ..table })
    };
    tables.into_iter().map(table).collect()
}

fn saved_field(key: &Field) -> Field {
    key.clone().with_name(format!("key.{}", key.name()))
}

impl KeyedTask for DedupeTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let mut out = Evaluated::default();
        for block in inputs.into_iter().flatten().filter(|block| block.num_rows() > 0) {
            self.block(&block, time, &mut out)?;
        }
        let now = if self.time.is_some() { time.mark_after } else { Some(time.batch.micros) };
        if let Some(now) = now {
            out.expired = self.forget(now);
        }
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let rows = self.rows_of((0..self.until.len() as u32).collect())?;
        Ok(vec![SavedTable { name: TABLE.into(), identity: 1 + self.key.len(), rows: vec![rows] }])
    }

    fn track(&mut self) {
        self.touched.start();
        self.gone = Forgotten::default();
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        let fields: Vec<_> = self.saved_keys().collect();
        let gone = self.gone.take(&self.known, fields.into_iter())?;
        let touched = self.touched.take();
        let rows = vec![self.rows_of(touched)?];
        Ok(Changes::Some(vec![TableChange { name: TABLE.into(), identity: 1 + self.key.len(), gone, rows }]))
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        for rows in tables.iter().filter(|table| table.name == TABLE).flat_map(|table| &table.rows) {
            let column = |name: &str| rows.column_by_name(name).ok_or_else(|| bug(format!("saved keys lack `{name}`")));
            let name = |i: &usize| format!("key.{}", self.schema.field(*i).name());
            let keys = self.key.iter().map(|i| column(&name(i)).cloned()).collect::<Result<Vec<_>, _>>()?;
            let until =
                column(UNTIL)?.as_primitive_opt::<Int64Type>().ok_or_else(|| bug("saved times are no times"))?;
            let numbers = self.known.assign(&keys, rows.num_rows())?;
            self.until.resize(self.known.end(), FREE);
            for (number, until) in numbers.into_iter().zip(until.values()) {
                self.remember(number, *until);
            }
        }
        Ok(())
    }

    fn held(&self) -> Held {
        let times = self.until.capacity() * size_of::<i64>() + self.timers.bytes();
        Held { keys: self.known.len(), bytes: self.known.bytes() + times, on_disk: 0 }
    }
}
