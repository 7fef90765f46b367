//! `generate`: rows out of nothing, always the same ones for the same seed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float64Array,
    Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

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
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(open),
    }
}

fn default_columns() -> Vec<Column> {
    let column = |name: &str, ty| Column::new(name, Slot::required(ty));
    vec![column("ts", Type::Timestamp(None)), column("value", Type::Int64)]
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let start = match settings.get("start") {
        Some(OptionValue::Timestamp(micros)) => Some(*micros),
        _ => None,
    };
    let ramp = settings.duration("ramp").unwrap_or(0).max(0).unsigned_abs();
    let whole = |name| settings.integer(name).and_then(|n| u64::try_from(n).ok());
    Ok(Box::new(Generate {
        schema: endpoint.schema.clone(),
        arrow: endpoint.schema.to_arrow(),
        pace: Pace { per_second: whole("rows_per_second").unwrap_or(1).max(1), ramp },
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
    pace: Pace,
    rows: Option<u64>,
    seed: u64,
    start: Option<i64>,
    /// When it was first asked.
    began: Option<i64>,
    done: bool,
}

/// What a row counts of the bytes a batch may take.
const ROW_BYTES: u64 = 16;

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
        let all = self.rows.unwrap_or(if limits.drain { self.pace.per_second } else { u64::MAX });
        let due = if limits.drain { all } else { all.min(self.pace.due(limits.now.saturating_sub(began))) };
        let most = (limits.rows as u64).min((limits.bytes / ROW_BYTES).max(1));
        let end = due.min(next.saturating_add(most)).max(next);
        let mut read = Read { bytes: (end - next) * ROW_BYTES, ..Read::default() };
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

    fn shown(&self, position: &Position) -> String {
        let next = position.0.get(..8).and_then(|bytes| bytes.try_into().ok());
        format!("row {}", next.map_or(0, u64::from_le_bytes))
    }

    fn version(&mut self) -> Option<u64> {
        Some(0)
    }
}

impl Generate {
    fn block(&self, start: u64, end: u64, began: i64) -> Result<RecordBatch, TaskError> {
        let column = |(i, column): (usize, &Column)| self.column(i, column, start..end, began);
        let columns = self.schema.columns.iter().enumerate().map(column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.arrow.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))
    }

    fn column(&self, i: usize, column: &Column, rows: std::ops::Range<u64>, began: i64) -> Result<ArrayRef, TaskError> {
        let array: ArrayRef = match &column.slot.ty {
            Type::Timestamp(_) if column.name == "ts" => {
                let spaced = |row| began.saturating_add(i64::try_from(self.pace.time_of(row)).unwrap_or(i64::MAX));
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(spaced)))
            }
            Type::Int64 if column.name == "value" => Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64))),
            ty => {
                let chances: Vec<u64> = rows.map(|row| mix(self.seed, row, i as u64)).collect();
                return values(ty, &column.name, &chances, began);
            }
        };
        cast(&array, &column.slot.ty.to_arrow()).map_err(bug)
    }
}

/// How fast rows come: after a slow start, evenly.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Rows a second, once the height is reached.
    per_second: u64,
    /// Microseconds until then; the rate grows evenly from none.
    ramp: u64,
}

impl Pace {
    /// How many rows there should be after so many microseconds.
    fn due(&self, micros: i64) -> u64 {
        let (micros, ramp) = (u128::from(micros.max(0).unsigned_abs()), u128::from(self.ramp));
        let (slow, fast) = (micros.min(ramp), micros.saturating_sub(ramp));
        // In the mean it is half of the full rate while it grows. Divided once, so that nothing is rounded twice.
        let (grown, parts) = if ramp == 0 { (2 * fast, 1) } else { (slow * slow + 2 * fast * ramp, ramp) };
        let rows = grown.saturating_mul(u128::from(self.per_second)) / (2_000_000 * parts);
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// After how many microseconds a row comes.
    fn time_of(&self, row: u64) -> u64 {
        let (row, ramp, rate) = (u128::from(row), u128::from(self.ramp), u128::from(self.per_second));
        let halves = row * 2_000_000 / rate;
        let micros = if halves < ramp { (row * 2_000_000 * ramp / rate).isqrt() } else { (halves + ramp) / 2 };
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// How long generated lists and maps are at most.
const LONGEST: u64 = 4;

/// Values that depend on these chances alone, one each.
fn values(ty: &Type, name: &str, chances: &[u64], began: i64) -> Result<ArrayRef, TaskError> {
    let below = |most: u64| chances.iter().map(move |v| (v % most) as i64);
    let array: ArrayRef = match ty {
        Type::Timestamp(_) => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(below(86_400_000_000).map(|t| began + t)))
        }
        Type::Bool => Arc::new(chances.iter().map(|v| Some(v % 2 == 0)).collect::<BooleanArray>()),
        Type::Float32 | Type::Float64 => {
            Arc::new(Float64Array::from_iter_values(below(100_000).map(|v| v as f64 / 100.0)))
        }
        Type::Decimal { precision, scale } => {
            let digits = 10_u64.saturating_pow(u32::from(*precision).min(5));
            let array = Decimal128Array::from_iter_values(below(digits).map(i128::from));
            Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(bug)?)
        }
        Type::String => Arc::new(StringArray::from(below(1000).map(|v| format!("{name}{v}")).collect::<Vec<_>>())),
        Type::Json => Arc::new(StringArray::from(below(1000).map(|v| v.to_string()).collect::<Vec<_>>())),
        Type::Bytes => Arc::new(BinaryArray::from_iter_values(chances.iter().map(|v| v.to_be_bytes()))),
        Type::Date => Arc::new(Date32Array::from_iter_values(below(3650).map(|v| 18_000 + v as i32))),
        Type::Time => Arc::new(Time64MicrosecondArray::from_iter_values(below(86_400_000_000))),
        Type::Duration => Arc::new(DurationMicrosecondArray::from_iter_values(below(3_600_000_000))),
        Type::List(_) | Type::Map(..) | Type::Struct(_) => return nested(ty, name, chances, began),
        _ => Arc::new(Int64Array::from_iter_values(below(100))),
    };
    cast(&array, &ty.to_arrow()).map_err(bug)
}

fn nested(ty: &Type, name: &str, chances: &[u64], began: i64) -> Result<ArrayRef, TaskError> {
    let lengths = || chances.iter().map(|chance| (chance % (LONGEST + 1)) as usize);
    let items = |salt: u64| -> Vec<u64> {
        let of_one = |chance: &u64| (0..chance % (LONGEST + 1)).map(move |item| (item, salt));
        chances.iter().flat_map(|chance| of_one(chance).map(|(item, salt)| mix(*chance, item, salt))).collect()
    };
    match (ty, ty.to_arrow()) {
        (Type::Struct(columns), DataType::Struct(fields)) => {
            let field = |(i, column): (usize, &Column)| {
                let chances: Vec<u64> = chances.iter().map(|chance| mix(*chance, 0, i as u64 + 1)).collect();
                values(&column.slot.ty, &column.name, &chances, began)
            };
            let columns = columns.iter().enumerate().map(field).collect::<Result<Vec<_>, _>>()?;
            let array = StructArray::try_new_with_length(fields, columns, None, chances.len());
            Ok(Arc::new(array.map_err(bug)?))
        }
        (Type::List(slot), DataType::List(field)) => {
            let items = values(&slot.ty, name, &items(1), began)?;
            let array = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths()), items, None);
            Ok(Arc::new(array.map_err(bug)?))
        }
        (Type::Map(key, slot), DataType::Map(field, sorted)) => {
            // Keys of a map differ: each is the name of its place.
            let places: Vec<u64> = lengths().flat_map(|length| 0..length as u64).collect();
            let (keys, items) = (values(key, "k", &places, began)?, values(&slot.ty, name, &items(1), began)?);
            let DataType::Struct(fields) = field.data_type().clone() else {
                return Err(TaskError::Bug("a map without keys and values".into()));
            };
            let entries = StructArray::try_new(fields, vec![keys, items], None).map_err(bug)?;
            let array = MapArray::try_new(field, OffsetBuffer::from_lengths(lengths()), entries, None, sorted);
            Ok(Arc::new(array.map_err(bug)?))
        }
        (_, other) => Err(TaskError::Bug(format!("no values of type {other} can be made"))),
    }
}

fn bug(error: ArrowError) -> TaskError {
    TaskError::Bug(error.to_string())
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
        let pace = Pace { per_second: 10, ramp: 0 };
        Generate { schema, arrow, pace, rows, seed: 1, start: None, began: None, done: false }
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
    fn the_rate_grows_to_its_height_and_a_row_never_comes_before_its_time() {
        for (per_second, ramp) in [(10, 4_000_000), (7, 3_000_001), (100_000, 10_000_000), (3, 0)] {
            let pace = Pace { per_second, ramp };
            assert_eq!(pace.due(0), 0);
            let full = pace.due(i64::try_from(ramp).unwrap() + 1_000_000);
            assert_eq!(full, (u128::from(per_second) * (u128::from(ramp) + 2_000_000) / 2_000_000) as u64);
            for row in (0..full).step_by(usize::try_from(full / 100 + 1).unwrap()) {
                let at = i64::try_from(pace.time_of(row)).unwrap();
                assert!(pace.due(at) <= row + 1, "row {row} of {pace:?} is counted before it comes");
                let next = i64::try_from(pace.time_of(row + 1)).unwrap();
                assert!(at <= next && pace.due(next + 1) > row, "row {row} of {pace:?} comes too late");
            }
        }
        let slow = Pace { per_second: 10, ramp: 4_000_000 };
        assert_eq!([1, 2, 3, 4, 5].map(|s| slow.due(s * 1_000_000)), [1, 5, 11, 20, 30]);
    }

    #[test]
    fn lists_maps_and_structs_are_made_as_well() {
        let inner = Column::new("n", Slot::required(Type::Int32));
        let list = Type::List(Box::new(Slot::nullable(Type::Struct(vec![inner]))));
        let map = Type::Map(Box::new(Type::String), Box::new(Slot::nullable(Type::Decimal { precision: 5, scale: 1 })));
        let columns =
            || vec![Column::new("l", Slot::required(list.clone())), Column::new("m", Slot::nullable(map.clone()))];
        let whole = read(&mut source(Some(40), columns()), &Position::default(), &limits(0, 1000, true));
        let mut cut = source(Some(40), columns());
        let front = read(&mut cut, &Position::default(), &limits(0, 13, true));
        assert_eq!(whole.blocks[0].slice(0, 13), front.blocks[0]);
        let lists = whole.blocks[0].column(0).as_list::<i32>();
        assert!((0..40).any(|row| lists.value_length(row) == 0) && (0..40).any(|row| lists.value_length(row) == 4));
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
