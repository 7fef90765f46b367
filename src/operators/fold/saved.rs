//! The records of a fold as rows that are kept, and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};

use crate::model::Schema;
use crate::operators::fold::task::{FoldTask, UNKNOWN};
use crate::operators::known::groups;
use crate::operators::values::{batch_of, bug};
use crate::plan::operator::{Changes, SavedTable, TableChange, TaskError};

/// The name and the layout of what is saved: `_group`, a `key.NAME` for each column of the key, a `state.NAME` for
/// each field of the record, and `last`, when it was last stepped, in microseconds ([`UNKNOWN`] where no time is known
/// yet). Fixed: state of older versions has it.
const RECORDS: &str = "records";
const LAST: &str = "last";
/// A row of no group once the table's records have been taken over.
const BEGUN: &str = "begun";

impl FoldTask {
    /// Everything that is remembered.
    pub(super) fn saved(&self) -> Result<Vec<SavedTable>, TaskError> {
        if self.per_batch {
            return Ok(Vec::new());
        }
        let rows = vec![self.rows_of(&self.living())?];
        let mut tables = vec![SavedTable { name: RECORDS.into(), identity: self.identity(), rows }];
        if self.begun {
            tables.push(SavedTable { name: BEGUN.into(), identity: 1, rows: vec![begun()?] });
        }
        Ok(tables)
    }

    /// What changed in it.
    pub(super) fn changed(&mut self) -> Result<Changes, TaskError> {
        if self.per_batch {
            return Ok(Changes::Some(Vec::new()));
        }
        let schema = self.saved_schema();
        let fields = schema.fields()[1..self.identity()].iter().map(|field| field.as_ref().clone());
        let gone = self.gone.take(&self.known, fields)?;
        let mut touched = self.touched.take();
        touched.retain(|number| self.records[*number as usize].is_some());
        let rows = vec![self.rows_of(&touched)?];
        let mut tables = vec![TableChange { name: RECORDS.into(), identity: self.identity(), gone, rows }];
        if self.begun && !std::mem::replace(&mut self.begun_told, true) {
            tables.push(TableChange { name: BEGUN.into(), identity: 1, gone: Vec::new(), rows: vec![begun()?] });
        }
        Ok(Changes::Some(tables))
    }

    /// Group and key.
    fn identity(&self) -> usize {
        1 + self.keys.columns.len()
    }

    /// The records of these numbers, as rows.
    fn rows_of(&self, numbers: &[u32]) -> Result<RecordBatch, TaskError> {
        let keys = self.known.columns(numbers)?;
        let last = numbers.iter().filter_map(|number| self.records[*number as usize].as_ref()).map(|r| r.last);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(groups(&keys, numbers.len())?)];
        columns.extend(keys);
        columns.extend(self.fields(numbers)?);
        columns.push(Arc::new(Int64Array::from_iter_values(last)));
        batch_of(&self.saved_schema(), columns, numbers.len())
    }

    /// Takes over what was saved.
    pub(super) fn loaded(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        for table in tables {
            match table.name.as_str() {
                RECORDS => table.rows.iter().try_for_each(|rows| self.load_records(rows))?,
                BEGUN => self.begun |= table.rows.iter().any(|rows| rows.num_rows() > 0),
                other => return Err(bug(format!("`fold` has no state `{other}`"))),
            }
        }
        Ok(())
    }

    fn saved_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("_group", DataType::UInt8, true)];
        let named = |prefix: &'static str| {
            move |c: &crate::model::Column| Field::new(format!("{prefix}.{}", c.name), c.slot.ty.to_arrow(), true)
        };
        fields.extend(self.keys.columns.iter().map(named("key")));
        fields.extend(self.state.columns.iter().map(named("state")));
        fields.push(Field::new(LAST, DataType::Int64, false));
        Arc::new(ArrowSchema::new(fields))
    }

    fn load_records(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let column = |name: String| {
            rows.column_by_name(&name).cloned().ok_or_else(|| bug(format!("saved records lack `{name}`")))
        };
        let all = |prefix: &str, schema: &Schema| {
            schema.names().map(|name| column(format!("{prefix}.{name}"))).collect::<Result<Vec<_>, _>>()
        };
        let fields = self.codec.encode(&all("state", &self.state)?, rows.num_rows())?;
        let last = column(LAST.into())?;
        let last = last.as_primitive_opt::<Int64Type>().ok_or_else(|| bug("saved times are no times"))?;
        let numbers = self.known.assign(&all("key", &self.keys)?, rows.num_rows())?;
        self.records.resize_with(self.known.end(), || None);
        for (row, number) in numbers.into_iter().enumerate() {
            self.set(number, fields.row(row), last.value(row));
            self.waiting.extend((last.value(row) == UNKNOWN).then_some(number));
        }
        Ok(())
    }
}

/// The row that says that the table's records have been taken over.
fn begun() -> Result<RecordBatch, TaskError> {
    let fields = vec![Field::new("_group", DataType::UInt8, true), Field::new(BEGUN, DataType::Boolean, false)];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(UInt8Array::from(vec![None::<u8>])), Arc::new(BooleanArray::from(vec![true]))];
    batch_of(&Arc::new(ArrowSchema::new(fields)), columns, 1)
}
