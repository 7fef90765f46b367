//! How far a source was read, as tables like those of operators: so that what moved in a batch can be said alone, however
//! many files were read before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::engine::durable::ingest;
use crate::engine::marks::Heard;
use crate::engine::snapshot::SourceState;
use crate::plan::operator::{SavedTable, TableChange};
use crate::plan::seams::{Position, Split};

/// The table of positions.
const POSITIONS: &str = "positions";
/// The table of what is known of the time of each split.
const HEARD: &str = "heard";
/// Rows are told apart by the group, which is none, and the split.
const IDENTITY: usize = 2;

/// What became of positions in a batch.
pub(in crate::engine) fn moved<'a>(
    moved: impl Iterator<Item = (&'a Split, &'a Position)>,
) -> Result<TableChange, ArrowError> {
    Ok(TableChange { name: POSITIONS.into(), identity: IDENTITY, gone: Vec::new(), rows: vec![positions(moved)?] })
}

/// All positions.
pub(in crate::engine) fn all<'a>(
    known: impl Iterator<Item = (&'a Split, &'a Position)>,
) -> Result<SavedTable, ArrowError> {
    Ok(SavedTable { name: POSITIONS.into(), identity: IDENTITY, rows: vec![positions(known)?] })
}

/// What is known of the time of each split: `now` as it is, `before` as it was when it was last told.
pub(in crate::engine) fn heard_anew(
    now: &BTreeMap<Split, Heard>,
    before: &BTreeMap<Split, Heard>,
) -> Result<TableChange, ArrowError> {
    let new = now.iter().filter(|(split, heard)| before.get(*split) != Some(*heard));
    let gone: Vec<&Split> = before.keys().filter(|split| !now.contains_key(*split)).collect();
    let gone = if gone.is_empty() { Vec::new() } else { vec![splits(&gone)?] };
    Ok(TableChange { name: HEARD.into(), identity: IDENTITY, gone, rows: vec![heard(new)?] })
}

/// The same, all of it.
pub(in crate::engine) fn all_heard(now: &BTreeMap<Split, Heard>) -> Result<SavedTable, ArrowError> {
    Ok(SavedTable { name: HEARD.into(), identity: IDENTITY, rows: vec![heard(now.iter())?] })
}

/// Without positions in logs of this checkpoint: elsewhere they mean nothing. And whether there were any.
pub(super) fn without_logs(tables: &[SavedTable]) -> Result<(Vec<SavedTable>, bool), String> {
    let SourceState { mut positions, heard } = read(tables)?;
    let before = positions.len();
    positions.retain(|split, _| !ingest::is_log(split));
    let had = positions.len() < before;
    if !had {
        return Ok((tables.to_vec(), false));
    }
    let tables = all(positions.iter()).and_then(|positions| Ok(vec![positions, all_heard(&heard)?]));
    tables.map(|tables| (tables, true)).map_err(|e| e.to_string())
}

/// As it was then, but where it is read from a log, from where it is now: what is used up in a log may be gone.
pub(super) fn logs_as_now(then: &[SavedTable], now: &[SavedTable]) -> Result<Vec<SavedTable>, String> {
    let (then, now) = (read(then)?, read(now)?);
    let logged = now.positions.into_iter().filter(|(split, _)| ingest::is_log(split));
    let mut positions = then.positions;
    positions.retain(|split, _| !ingest::is_log(split));
    positions.extend(logged);
    let tables = all(positions.iter()).and_then(|positions| Ok(vec![positions, all_heard(&then.heard)?]));
    tables.map_err(|e| e.to_string())
}

/// Positions by split, and what is known of their time, from tables.
pub(in crate::engine) fn read(tables: &[SavedTable]) -> Result<SourceState, String> {
    let mut state = SourceState::default();
    for (table, rows) in tables.iter().flat_map(|table| table.rows.iter().map(move |rows| (table.name.as_str(), rows)))
    {
        let names = rows.columns().get(1).and_then(|c| c.as_string_opt::<i32>()).ok_or("positions have no names")?;
        let split = |row: usize| Split { id: names.value(row).to_owned() };
        if table == POSITIONS {
            let values =
                rows.columns().get(2).and_then(|c| c.as_binary_opt::<i32>()).ok_or("positions have no bytes")?;
            state.positions.extend((0..rows.num_rows()).map(|row| (split(row), Position(values.value(row).to_vec()))));
        } else {
            let times = |i: usize| rows.columns().get(i).and_then(|c| c.as_primitive_opt::<Int64Type>());
            let (newest, last) =
                (times(2).ok_or("positions have no times")?, times(3).ok_or("positions have no times")?);
            state.heard.extend((0..rows.num_rows()).map(|row| {
                let newest = newest.is_valid(row).then(|| newest.value(row));
                (split(row), Heard { newest, last: last.value(row) })
            }));
        }
    }
    Ok(state)
}

fn positions<'a>(all: impl Iterator<Item = (&'a Split, &'a Position)>) -> Result<RecordBatch, ArrowError> {
    let (names, values): (Vec<&str>, Vec<&[u8]>) = all.map(|(split, at)| (split.id.as_str(), at.0.as_slice())).unzip();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::new_null(names.len())),
        Arc::new(StringArray::from(names)),
        Arc::new(BinaryArray::from(values)),
    ];
    let position = Field::new("position", DataType::Binary, false);
    RecordBatch::try_new(schema(vec![position]), columns)
}

fn heard<'a>(all: impl Iterator<Item = (&'a Split, &'a Heard)>) -> Result<RecordBatch, ArrowError> {
    let all: Vec<_> = all.collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::new_null(all.len())),
        Arc::new(all.iter().map(|(split, _)| Some(split.id.as_str())).collect::<StringArray>()),
        Arc::new(all.iter().map(|(_, heard)| heard.newest).collect::<Int64Array>()),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, heard)| heard.last))),
    ];
    let fields = vec![Field::new("newest", DataType::Int64, true), Field::new("last", DataType::Int64, false)];
    RecordBatch::try_new(schema(fields), columns)
}

fn splits(all: &[&Split]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::new_null(all.len())),
        Arc::new(StringArray::from_iter_values(all.iter().map(|split| &split.id))),
    ];
    RecordBatch::try_new(schema(Vec::new()), columns)
}

fn schema(rest: Vec<Field>) -> SchemaRef {
    let mut fields = vec![Field::new("_group", DataType::UInt8, true), Field::new("split", DataType::Utf8, false)];
    fields.extend(rest);
    Arc::new(Schema::new(fields))
}
