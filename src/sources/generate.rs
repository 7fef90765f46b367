//! `generate`: rows out of nothing, always the same ones for the same seed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float64Array,
    Int64Array, RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use crate::connect::COUNT;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Limits, Position, Positions, Read, Source, Split};
use crate::plan::{Doc, OptionKind, OptionSpec, OptionValue, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new("generate", "makes rows at an even rate, for trying things out and for load", "generate() { OPTIONS }")
            .details(
                "Without a schema the columns are Spark's: `ts`, evenly spaced from `start`, and `value`, counting from 0. \
                 With one, a column named `ts` is evenly spaced, and every other column holds values that depend on `seed` \
                 and the row's number alone.",
            )
            .example("source ticks = generate() { rows_per_second: 1000, time: ts, watermark: 0s }")
            .example("source orders = generate() { rows_per_second: 100, rows: 5000, seed: 7, schema: { user_id: string, amount: float64, ts: timestamp } }")
            .alias("rate"),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("rows_per_second", COUNT, "1", "how many rows a second"),
            OptionSpec::with_default("ramp", OptionKind::Duration, "0s", "how long the rate takes to reach its height"),
            OptionSpec::optional("rows", COUNT, "how many rows in all; `--once` takes them without waiting"),
            OptionSpec::with_default("seed", OptionKind::Integer { min: 0, max: i64::MAX }, "0", "another seed gives other values"),
            OptionSpec::optional("start", OptionKind::Timestamp, "the first `ts`; the time of the first batch otherwise"),
        ],
        rows: RowsFrom::Schema { default: Some(default_columns()), extra: nothing_extra },
        rewinds: true,
        table: true,
        mode: appends,
        feature: None,
        open: SourceEntry::by(open),
    }
}

fn default_columns() -> Vec<Column> {
    let column = |name: &str, ty| Column::new(name, Slot::required(ty));
    vec![column("ts", Type::Timestamp(None)), column("value", Type::Int64)]
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    if settings.duration("ramp").unwrap_or(0) > 0 {
        return Err(NotRunnable("source `generate` with `ramp` can be checked, but not run yet".into()));
    }
    if let Some(nested) = endpoint.schema.columns.iter().find(|c| c.slot.ty.is_nested()) {
        return Err(NotRunnable(format!("source `generate` cannot make values of type {} yet", nested.slot.ty)));
    }
    let start = match settings.get("start") {
        Some(OptionValue::Timestamp(micros)) => Some(*micros),
        _ => None,
    };
    let whole = |name| settings.integer(name).and_then(|n| u64::try_from(n).ok());
    Ok(Box::new(Generate {
        schema: endpoint.schema.clone(),
        arrow: endpoint.schema.to_arrow(),
        per_second: whole("rows_per_second").unwrap_or(1).max(1),
        rows: whole("rows"),
        seed: whole("seed").unwrap_or(0),
        start,
        began: None,
        done: false,
    }))
}

struct Generate {
    schema: Schema,
    arrow: SchemaRef,
    per_second: u64,
    rows: Option<u64>,
    seed: u64,
    start: Option<i64>,
    /// When it was first asked.
    began: Option<i64>,
    done: bool,
}

/// Rows of a block.
const BLOCK_ROWS: u64 = 8_192;

impl Source for Generate {
    fn discover(&mut self, _: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        self.began.get_or_insert(limits.now);
        Ok(vec![Split { id: "rows".into() }])
    }

    fn read(&mut self, _: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let number = |at: usize| from.0.get(at..at + 8).and_then(|b| b.try_into().ok());
        let began = number(8).map(i64::from_le_bytes).or(self.began).unwrap_or(limits.now);
        let next = number(0).map_or(0, u64::from_le_bytes);
        let all = self.rows.unwrap_or(if limits.drain { self.per_second } else { u64::MAX });
        let due = if limits.drain { all } else { all.min(self.due(limits.now.saturating_sub(began))) };
        let end = due.min(next.saturating_add(limits.rows as u64)).max(next);
        let mut read = Read { bytes: (end - next) * 16, ..Read::default() };
        for start in (next..end).step_by(BLOCK_ROWS as usize) {
            read.blocks.push(self.block(start, end.min(start + BLOCK_ROWS), self.start.unwrap_or(began))?);
        }
        self.done = end == all;
        read.exhausted = end == due;
        let position = [end.to_le_bytes(), began.to_le_bytes()].concat();
        read.to = if end == next { from.clone() } else { Position(position) };
        Ok(read)
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }

    fn ended(&self) -> bool {
        self.done
    }

    fn version(&mut self) -> Option<u64> {
        Some(0)
    }
}

impl Generate {
    /// How many rows there should be after so many microseconds.
    fn due(&self, micros: i64) -> u64 {
        let rows = u128::from(micros.max(0).unsigned_abs()) * u128::from(self.per_second) / 1_000_000;
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    fn block(&self, start: u64, end: u64, began: i64) -> Result<RecordBatch, TaskError> {
        let column = |(i, column): (usize, &Column)| self.column(i, column, start..end, began);
        let columns = self.schema.columns.iter().enumerate().map(column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.arrow.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))
    }

    fn column(&self, i: usize, column: &Column, rows: std::ops::Range<u64>, began: i64) -> Result<ArrayRef, TaskError> {
        let values = || rows.clone().map(|row| mix(self.seed, row, i as u64));
        let below = |most: u64| values().map(move |v| (v % most) as i64);
        let spaced =
            |row: u64| began.saturating_add((u128::from(row) * 1_000_000 / u128::from(self.per_second)) as i64);
        let array: ArrayRef = match &column.slot.ty {
            Type::Timestamp(_) if column.name == "ts" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(spaced)))
            }
            Type::Int64 if column.name == "value" => Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64))),
            Type::Timestamp(_) => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(below(86_400_000_000).map(|t| began + t)))
            }
            Type::Bool => Arc::new(values().map(|v| Some(v % 2 == 0)).collect::<BooleanArray>()),
            Type::Float32 | Type::Float64 => {
                Arc::new(Float64Array::from_iter_values(below(100_000).map(|v| v as f64 / 100.0)))
            }
            Type::Decimal { precision, scale } => {
                let digits = 10_u64.saturating_pow(u32::from(*precision).min(5));
                let array = Decimal128Array::from_iter_values(below(digits).map(i128::from));
                let array = array.with_precision_and_scale(*precision, *scale);
                Arc::new(array.map_err(|e| TaskError::Bug(e.to_string()))?)
            }
            Type::String => {
                Arc::new(StringArray::from(below(1000).map(|v| format!("{}{v}", column.name)).collect::<Vec<_>>()))
            }
            Type::Json => Arc::new(StringArray::from(below(1000).map(|v| v.to_string()).collect::<Vec<_>>())),
            Type::Bytes => Arc::new(BinaryArray::from_iter_values(values().map(u64::to_be_bytes))),
            Type::Date => Arc::new(Date32Array::from_iter_values(below(3650).map(|v| 18_000 + v as i32))),
            Type::Time => Arc::new(Time64MicrosecondArray::from_iter_values(below(86_400_000_000))),
            Type::Duration => Arc::new(DurationMicrosecondArray::from_iter_values(below(3_600_000_000))),
            _ => Arc::new(Int64Array::from_iter_values(below(100))),
        };
        cast(&array, &column.slot.ty.to_arrow()).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

/// A number that depends on these three alone (the finish of SplitMix64).
fn mix(seed: u64, row: u64, column: u64) -> u64 {
    let mut x = seed ^ row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ column.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    use super::*;

    fn source(rows: Option<u64>, columns: Vec<Column>) -> Generate {
        let schema = Schema::new(columns);
        let arrow = schema.to_arrow();
        Generate { schema, arrow, per_second: 10, rows, seed: 1, start: None, began: None, done: false }
    }

    fn limits(now: i64, rows: usize, drain: bool) -> Limits {
        Limits { rows, bytes: u64::MAX, now, drain, threads: 1 }
    }

    fn read(source: &mut Generate, from: &Position, limits: &Limits) -> Read {
        let splits = source.discover(&Positions::new(), limits).unwrap();
        source.read(&splits[0], from, limits).unwrap()
    }

    #[test]
    fn rows_fall_due_evenly_from_the_first_batch_on() {
        let mut source = source(None, default_columns());
        let first = read(&mut source, &Position::default(), &limits(5_000_000, 100, false));
        assert!(first.blocks.is_empty());
        let second = read(&mut source, &first.to, &limits(5_450_000, 100, false));
        let times = second.blocks[0].column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        assert_eq!(times, [5_000_000, 5_100_000, 5_200_000, 5_300_000]);
        let third = read(&mut source, &second.to, &limits(5_600_000, 100, false));
        assert_eq!(third.blocks[0].column(1).as_primitive::<Int64Type>().values().to_vec(), [4, 5]);
    }

    #[test]
    fn the_same_seed_gives_the_same_rows_however_they_are_cut() {
        let schema = || {
            let types =
                [Type::String, Type::Float64, Type::Decimal { precision: 12, scale: 2 }, Type::Bool, Type::Date];
            types.into_iter().enumerate().map(|(i, ty)| Column::new(format!("c{i}"), Slot::required(ty))).collect()
        };
        let whole = read(&mut source(Some(50), schema()), &Position::default(), &limits(0, 1000, true));
        let mut cut = source(Some(50), schema());
        let front = read(&mut cut, &Position::default(), &limits(0, 20, true));
        let back = read(&mut cut, &front.to, &limits(0, 1000, true));
        assert_eq!(whole.blocks[0].slice(0, 20), front.blocks[0]);
        assert_eq!(whole.blocks[0].slice(20, 30), back.blocks[0]);
        assert!(cut.ended());
    }
}
