//! `fold` at work: the records of one partition, from batch to batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion_common::HashMap;

use crate::expressions::Compiled;
use crate::model::Schema;
use crate::operators::carry;
use crate::operators::fold::Fold;
use crate::operators::fold::rounds::{After, Before, Course, Rounds, Stepper, ordered};
use crate::operators::known::{Known, RowBytes, Timers};
use crate::operators::lateness::TimeColumn;
use crate::operators::lifetime::Lifetime;
use crate::operators::touched::{Forgotten, Touched};
use crate::operators::values::{batch_of, bug};
use crate::plan::operator::{
    BatchTime, Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError,
};
use crate::plan::{Edge, Port, TypedExpr};

/// When a record was last stepped that came from the table before any time was known.
pub(super) const UNKNOWN: i64 = i64::MIN;

/// What tells the time for a ttl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Nothing expires.
    Still,
    /// Rows, and the watermark where they stop.
    Rows(TimeColumn),
    /// Batches.
    Batches,
}

/// A record that is kept.
pub(super) struct Record {
    pub(super) fields: Box<[u8]>,
    pub(super) last: i64,
}

/// The records of one partition.
pub(super) struct FoldTask {
    pub(super) key: Vec<usize>,
    pub(super) keys: Schema,
    pub(super) state: Schema,
    pub(super) input: SchemaRef,
    pub(super) schema: SchemaRef,
    /// The columns that bad rows keep.
    pub(super) kept: Vec<usize>,
    pub(super) aside: SchemaRef,
    pub(super) clock: Clock,
    pub(super) ttl: i64,
    pub(super) per_batch: bool,
    pub(super) every_batch: bool,
    /// Key and field columns of the table that records start from.
    pub(super) seed: Option<(Vec<usize>, Vec<usize>)>,
    /// Whether the table's records were taken over, where a row comes out for every key with every batch.
    pub(super) begun: bool,
    pub(super) init: Compiled,
    pub(super) stepper: Stepper,
    /// Over the row and its record, or over key and record where rows come out for keys.
    pub(super) yields: Compiled,
    /// Over key and record.
    pub(super) expiry: Option<Compiled>,
    pub(super) known: Known,
    pub(super) codec: RowBytes,
    pub(super) records: Vec<Option<Record>>,
    pub(super) bytes: usize,
    pub(super) timers: Timers,
    /// Records from the table whose time begins with the first watermark.
    pub(super) waiting: Vec<u32>,
    /// Numbers whose records changed.
    pub(super) touched: Touched,
    pub(super) gone: Forgotten,
    /// Whether it was told that the table's records were taken over.
    pub(super) begun_told: bool,
}

impl FoldTask {
    pub(super) fn new(of: &Fold) -> Result<Self, NotRunnable> {
        let broken = |e: TaskError| NotRunnable(format!("stage `fold` cannot be run: {e}"));
        let keys = Schema::new(of.key.iter().map(|i| of.input.columns[*i].clone()).collect());
        let state = of.records.state.clone();
        let after = |before: &Schema| Schema::new(before.columns.iter().chain(&state.columns).cloned().collect());
        let yields: Vec<TypedExpr> = of.yields.iter().map(|(_, value)| value.clone()).collect();
        let yields = Compiled::new(&yields, &after(if of.every_batch { &keys } else { &of.input }))?;
        let expiry = of.expiry.as_ref().map(|all| Compiled::new(all, &after(&keys))).transpose()?;
        let (clock, ttl) = match (&of.lives, of.time) {
            (Lifetime::Running { ttl: Some(ttl), event_time: true }, Some(time)) => (Clock::Rows(time), *ttl),
            (Lifetime::Running { ttl: Some(ttl), .. }, _) => (Clock::Batches, *ttl),
            _ => (Clock::Still, i64::MAX),
        };
        let types = |schema: &Schema| schema.columns.iter().map(|c| c.slot.ty.to_arrow()).collect::<Vec<_>>();
        let aside = carry::aside(&Edge::append(of.input.clone()));
        Ok(FoldTask {
            key: of.key.clone(),
            input: of.input.to_arrow(),
            schema: of.output.to_arrow(),
            kept: carry::keeps_but(&of.input, &["_reason"]),
            aside: Schema::new(aside).to_arrow(),
            clock,
            ttl,
            per_batch: of.lives == Lifetime::Batch,
            every_batch: of.every_batch,
            seed: of.seed.as_ref().map(|seed| (seed.key.clone(), seed.fields.clone())),
            begun: false,
            init: Compiled::new(&of.records.init, &Schema::default())?,
            stepper: Stepper::new(&of.records.step, &of.input, &state)?,
            yields,
            expiry,
            known: Known::new(&types(&keys)).map_err(broken)?,
            codec: RowBytes::new(&types(&state)).map_err(broken)?,
            keys,
            state,
            records: Vec::new(),
            bytes: 0,
            timers: Timers::default(),
            waiting: Vec::new(),
            touched: Touched::default(),
            gone: Forgotten::default(),
            begun_told: false,
        })
    }

    /// Takes the rows of a batch: what comes out for them, and what comes out for records that were over before.
    fn rows(
        &mut self,
        rows: &RecordBatch,
        table: &[RecordBatch],
        batch: &BatchTime,
        out: &mut Evaluated,
    ) -> Result<(), TaskError> {
        let keys: Vec<_> = self.key.iter().map(|i| rows.column(*i).clone()).collect();
        let numbers = self.known.assign(&keys, rows.num_rows())?;
        self.records.resize_with(self.known.end(), || None);
        let rounds = Rounds::of(&numbers);
        let in_rounds = ordered(rows, &rounds)?;
        let times = match self.clock {
            Clock::Rows(column) => column.of_rows(&in_rounds)?,
            Clock::Still | Clock::Batches => vec![batch.micros; rows.num_rows()],
        };
        let fresh = || self.fresh(&rounds.keys, table, batch);
        let ttl = matches!(self.clock, Clock::Rows(_)).then_some(self.ttl);
        let course = Course { batch, times: &times, ttl, fresh: &fresh };
        let before = self.before(&rounds.keys, &fresh)?;
        let after = self.stepper.run(&rounds, &in_rounds, before, &course)?;
        out.expired += after.expired.len();
        self.keep(&rounds.keys, &after)?;
        self.hand_on(rows, &rounds, &after, batch, out)
    }

    /// The records of these keys as they are, or as they begin.
    fn before(
        &self,
        numbers: &[u32],
        fresh: &dyn Fn() -> Result<Vec<ArrayRef>, TaskError>,
    ) -> Result<Before, TaskError> {
        let record = |number: &u32| self.records[*number as usize].as_ref();
        let last: Vec<_> = numbers.iter().map(|n| record(n).map(|r| r.last)).collect();
        let kept = self.codec.decode(numbers.iter().filter_map(record).map(|r| &*r.fields))?;
        if last.iter().all(Option::is_some) {
            return Ok(Before { fields: kept, last });
        }
        let mut next = 0;
        let mut from = Vec::with_capacity(numbers.len());
        for (i, last) in last.iter().enumerate() {
            from.push(if last.is_some() { (0, next) } else { (1, i) });
            next += usize::from(last.is_some());
        }
        let new = fresh()?;
        let fields = kept.iter().zip(&new).map(|(kept, new)| interleave(&[kept, new], &from).map_err(bug));
        Ok(Before { fields: fields.collect::<Result<_, _>>()?, last })
    }

    /// The records that these keys begin with: the table's, or else the one of `init`.
    fn fresh(&self, numbers: &[u32], table: &[RecordBatch], batch: &BatchTime) -> Result<Vec<ArrayRef>, TaskError> {
        let nothing = batch_of(&Arc::new(ArrowSchema::empty()), Vec::new(), 1)?;
        let init = self.init.eval(&nothing, batch)?;
        if let Some((_, why)) = init.failures.iter().next() {
            return Err(TaskError::Stop(format!(
                "the record that a key of `fold` begins with cannot be computed: {why}"
            )));
        }
        let mut pieces = vec![init.columns];
        let mut from = vec![(0, 0); numbers.len()];
        if let Some((keys, fields)) = &self.seed {
            let wanted: HashMap<u32, usize> = numbers.iter().enumerate().map(|(i, number)| (*number, i)).collect();
            for rows in table {
                let keys: Vec<_> = keys.iter().map(|i| rows.column(*i).clone()).collect();
                let found = self.known.find(&keys, rows.num_rows())?;
                for (row, number) in found.iter().enumerate() {
                    if let Some(i) = number.as_ref().and_then(|number| wanted.get(number)) {
                        from[*i] = (pieces.len(), row);
                    }
                }
                pieces.push(fields.iter().map(|i| rows.column(*i).clone()).collect());
            }
        }
        let field = |i: usize| {
            let parts: Vec<&dyn Array> = pieces.iter().map(|piece| piece[i].as_ref()).collect();
            interleave(&parts, &from).map_err(bug)
        };
        (0..self.state.columns.len()).map(field).collect()
    }

    /// Keeps the records as they are now.
    fn keep(&mut self, numbers: &[u32], after: &After) -> Result<(), TaskError> {
        let encoded = self.codec.encode(&after.fields, numbers.len())?;
        for (i, number) in numbers.iter().enumerate() {
            match after.last[i] {
                Some(last) => self.set(*number, encoded.row(i), last),
                None => self.drop(*number),
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self, number: u32, fields: &[u8], last: i64) {
        let slot = &mut self.records[number as usize];
        let timed = slot.as_ref().is_some_and(|record| record.last != UNKNOWN);
        self.bytes -= slot.as_ref().map_or(0, |record| record.fields.len());
        self.bytes += fields.len();
        *slot = Some(Record { fields: fields.into(), last });
        self.touched.note(number);
        if self.clock != Clock::Still && !timed && last != UNKNOWN {
            self.timers.set(last.saturating_add(self.ttl), number);
        }
    }

    fn drop(&mut self, number: u32) {
        if let Some(record) = self.records[number as usize].take() {
            self.bytes -= record.fields.len();
            if self.touched.is_on() {
                self.gone.note(&self.known, number);
            }
        }
        self.known.forget(number);
    }

    /// Drops the records whose time is over, and says what comes out for them: what was over first comes first.
    fn expire(&mut self, now: i64, batch: &BatchTime, out: &mut Evaluated) -> Result<(), TaskError> {
        let mut over = Vec::new();
        for number in self.timers.take(now) {
            let Some(record) = &self.records[number as usize] else { continue };
            let at = record.last.saturating_add(self.ttl);
            if at <= now {
                over.push((at, number));
            } else {
                self.timers.set(at, number);
            }
        }
        over.sort_by(|a, b| (a.0, self.known.key(a.1)).cmp(&(b.0, self.known.key(b.1))));
        let numbers: Vec<u32> = over.into_iter().map(|(_, number)| number).collect();
        if self.expiry.is_some() && !numbers.is_empty() {
            out.rows.push((Port::Out, self.of_numbers(self.expiry.as_ref(), &numbers, batch)?));
        }
        out.expired += numbers.len();
        numbers.into_iter().for_each(|number| self.drop(number));
        Ok(())
    }

    fn of_numbers(
        &self,
        values: Option<&Compiled>,
        numbers: &[u32],
        batch: &BatchTime,
    ) -> Result<RecordBatch, TaskError> {
        let keys = self.known.columns(numbers)?;
        self.of_records(values, keys, self.fields(numbers)?, numbers.len(), batch)
    }

    pub(super) fn fields(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>, TaskError> {
        let records = numbers.iter().filter_map(|number| self.records[*number as usize].as_ref());
        self.codec.decode(records.map(|record| &*record.fields))
    }

    /// The keys that have a record, by number.
    pub(super) fn living(&self) -> Vec<u32> {
        (0..self.records.len() as u32).filter(|number| self.records[*number as usize].is_some()).collect()
    }

    /// With the first batch the table's records are there, where every key is asked for.
    fn begin(&mut self, table: &[RecordBatch], batch: &BatchTime) -> Result<(), TaskError> {
        let Some((keys, fields)) = self.seed.clone().filter(|_| self.every_batch && !self.begun) else { return Ok(()) };
        self.begun = true;
        for rows in table {
            let keys: Vec<_> = keys.iter().map(|i| rows.column(*i).clone()).collect();
            let fields: Vec<_> = fields.iter().map(|i| rows.column(*i).clone()).collect();
            let encoded = self.codec.encode(&fields, rows.num_rows())?;
            let numbers = self.known.assign(&keys, rows.num_rows())?;
            self.records.resize_with(self.known.end(), || None);
            for (row, number) in numbers.into_iter().enumerate() {
                let new = self.records[number as usize].is_none();
                match self.clock {
                    Clock::Rows(_) => {
                        self.set(number, encoded.row(row), UNKNOWN);
                        self.waiting.extend(new.then_some(number));
                    }
                    Clock::Still | Clock::Batches => self.set(number, encoded.row(row), batch.micros),
                }
            }
        }
        Ok(())
    }

    /// Time begins for records that came from the table.
    fn start_clocks(&mut self, now: i64) {
        for number in std::mem::take(&mut self.waiting) {
            if let Some(record) = &mut self.records[number as usize]
                && record.last == UNKNOWN
            {
                record.last = now;
                self.touched.note(number);
                self.timers.set(now.saturating_add(self.ttl), number);
            }
        }
    }
}

impl KeyedTask for FoldTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, mut inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let batch = &time.batch;
        let table = if inputs.len() > 1 { inputs.remove(1) } else { Vec::new() };
        let rows = concat_batches(&self.input, inputs.iter().flatten()).map_err(bug)?;
        let mut out = Evaluated::default();
        if !self.every_batch {
            out.handed = Some(0);
        }
        self.begin(&table, batch)?;
        if self.clock == Clock::Batches {
            self.expire(batch.micros, batch, &mut out)?;
        }
        if rows.num_rows() > 0 {
            self.rows(&rows, &table, batch, &mut out)?;
        }
        if let (Clock::Rows(_), Some(mark)) = (self.clock, time.mark_after) {
            self.start_clocks(mark);
            self.expire(mark, batch, &mut out)?;
        }
        if self.every_batch {
            out.handed = Some(0);
            let mut living = self.living();
            living.sort_by(|a, b| self.known.key(*a).cmp(self.known.key(*b)));
            out.rows.push((Port::Out, self.of_numbers(Some(&self.yields), &living, batch)?));
        }
        // Behind the last batch the time of every record is over.
        if self.clock == Clock::Batches && time.mark_after == Some(StepTime::END) {
            self.expire(StepTime::END, batch, &mut out)?;
        }
        if self.per_batch {
            self.living().into_iter().for_each(|number| self.drop(number));
        }
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        self.saved()
    }

    fn track(&mut self) {
        self.touched.start();
        (self.gone, self.begun_told) = (Forgotten::default(), self.begun);
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        self.changed()
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.loaded(tables)
    }

    fn held(&self) -> Held {
        Held { keys: self.known.len(), bytes: self.known.bytes() + self.bytes, on_disk: 0 }
    }
}
