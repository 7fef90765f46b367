//! What an aggregate remembers, told as data, and how its state is carried over when aggregates were added or taken
//! away: what is there keeps its columns, what is new starts with cells that have seen nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};

use crate::model::Slot;
use crate::operators::aggregate::Aggregate;
use crate::operators::aggregate::lasting::Scope;
use crate::operators::groups::CompiledCall;
use crate::operators::lifetime::Lifetime;
use crate::operators::show;
use crate::operators::values::bug;
use crate::plan::TypedExpr;
use crate::plan::edge::OP;
use crate::plan::memory::{Fact, Lasts, Memory, Moved, Part};
use crate::plan::operator::{SavedTable, TaskError};

/// The table, without rows, of state in which some aggregate did not see every row.
pub(super) const PARTIAL: &str = "partial";

impl Aggregate {
    pub(super) fn remembered(&self) -> Option<Memory> {
        if self.lives == Lifetime::Batch {
            return None;
        }
        let key = |(name, key): (&String, &TypedExpr)| {
            let key_text = show::plain(key);
            let named = if key_text == *name { key_text } else { format!("{key_text} as {name}") };
            format!("{named}: {}", key.slot)
        };
        let keys: Vec<_> = self.key_names.iter().zip(&self.grouping.keys).map(key).collect();
        let mut facts = vec![Fact::layout("the group keys", keys.join(", "))];
        let mut spans = Vec::new();
        match &self.lives {
            Lifetime::Running { ttl, event_time } => {
                let by = if *event_time { "running" } else { "running on batch time" };
                facts.push(Fact::layout("the scope", by));
                spans.push(Lasts { name: "ttl", micros: *ttl });
            }
            lives => facts.push(Fact::layout("the window", lives.to_string())),
        }
        if let Some(time) = self.time.filter(|_| self.counts_by_rows()) {
            let column = self.input.columns.get(time.position()).map(|c| c.name.clone());
            facts.push(Fact::meaning("the time of rows", column.unwrap_or_default()));
        }
        let parts = self.parts().ok()?;
        let results: Vec<_> = self.results.iter().map(|r| show::named(&r.value, &r.name)).collect();
        let output = format!("{} {}", results.join(", "), self.emit);
        let shown = self.output.columns.iter().filter(|column| column.name != OP).cloned().collect();
        Some(Memory { facts, parts, spans, output, shown, minor: false })
    }

    fn counts_by_rows(&self) -> bool {
        matches!(self.lives, Lifetime::Window(_) | Lifetime::Running { event_time: true, .. })
    }

    fn parts(&self) -> Result<Vec<Part>, TaskError> {
        let compiled = self.grouping.compile().map_err(|refused| bug(refused.0))?;
        let pieces = Scope::in_pieces(&self.lives);
        let slots = |slots: Vec<&Slot>| slots.iter().map(|slot| slot.to_string()).collect::<Vec<_>>().join(", ");
        let part = |(call, made): (&crate::plan::AggregateCall, &CompiledCall)| {
            let name = show::call(call);
            let inputs = call.args.iter().chain(call.order_by.iter().map(|key| &key.value));
            let types = slots(inputs.map(|value| &value.slot).chain([&call.slot]).collect());
            let columns = if made.keeps_rows(pieces) { 0 } else { made.recipe.state_types()?.len() };
            Ok(Part { text: format!("{name}: {types}"), name, columns })
        };
        self.grouping.calls.iter().zip(compiled.calls()).map(part).collect()
    }

    pub(super) fn carried_over(&self, moved: &Moved, tables: Vec<SavedTable>) -> Result<Vec<SavedTable>, TaskError> {
        let mut carried = Vec::new();
        for table in tables {
            let rows = table.rows.iter();
            match table.name.as_str() {
                "cells" => {
                    let rows = rows.map(|rows| self.cells(moved, rows)).collect::<Result<_, _>>()?;
                    carried.push(SavedTable { rows, ..table });
                }
                "shown" => {
                    let rows = rows.map(|rows| self.given_out(moved, rows)).collect::<Result<_, _>>()?;
                    carried.push(SavedTable { rows, ..table });
                }
                name => match name.strip_prefix("rows_").and_then(|n| n.parse::<usize>().ok()) {
                    Some(old) => {
                        let new = moved.parts.iter().position(|from| *from == Some(old));
                        carried.extend(new.map(|new| SavedTable {
                            name: format!("rows_{new}"),
                            identity: table.identity,
                            rows: table.rows,
                        }));
                    }
                    None => carried.push(table),
                },
            }
        }
        if moved.parts.iter().any(Option::is_none) {
            carried.push(SavedTable { name: PARTIAL.into(), identity: 1, rows: Vec::new() });
        }
        Ok(carried)
    }

    /// Cells with the columns of state that this aggregate has.
    fn cells(&self, moved: &Moved, rows: &RecordBatch) -> Result<RecordBatch, TaskError> {
        let first = rows.schema().index_of("changed").map_err(bug)? + 1;
        let mut starts = Vec::with_capacity(moved.from.parts.len());
        let mut next = first;
        for part in &moved.from.parts {
            starts.push(next);
            next += part.columns;
        }
        let compiled = self.grouping.compile().map_err(|refused| bug(refused.0))?;
        let pieces = Scope::in_pieces(&self.lives);
        let mut states: Vec<ArrayRef> = Vec::new();
        for (call, old) in compiled.calls().iter().zip(&moved.parts) {
            if call.keeps_rows(pieces) {
                continue;
            }
            match old {
                Some(old) => {
                    let start = starts[*old];
                    states.extend_from_slice(&rows.columns()[start..start + moved.from.parts[*old].columns]);
                }
                None => states.extend(empty(call, rows.num_rows())?),
            }
        }
        replaced(rows, first, "s", states)
    }

    /// Results that readers hold for true, in the columns that come out now.
    fn given_out(&self, moved: &Moved, rows: &RecordBatch) -> Result<RecordBatch, TaskError> {
        let first = rows.schema().index_of("nth").map_err(bug)? + 1;
        let columns = self.output.columns.iter().filter(|column| column.name != OP);
        let values = columns.map(|column| {
            let ty = column.slot.ty.to_arrow();
            let old = moved.from.shown.iter().position(|old| old.name == column.name && old.slot.ty == column.slot.ty);
            match old.and_then(|old| rows.columns().get(first + old)) {
                Some(values) => Ok(values.clone()),
                None if column.slot.nullable => Ok(new_null_array(&ty, rows.num_rows())),
                None => nothing(&ty, rows.num_rows()),
            }
        });
        replaced(rows, first, "v", values.collect::<Result<_, _>>()?)
    }
}

/// The state of so many cells that have seen nothing.
fn empty(call: &CompiledCall, cells: usize) -> Result<Vec<ArrayRef>, TaskError> {
    let mut fresh = call.recipe.lasting()?;
    let none: Vec<ArrayRef> = call.recipe.state_types()?.iter().map(|ty| new_null_array(ty, 0)).collect();
    fresh.merge(&none, &[], cells)?;
    fresh.states(Some(&(0..cells as u32).collect::<Vec<_>>()))
}

/// Results that are not there, in columns that have no null: an aggregate that came later saw no row of theirs.
pub(super) fn filled(schema: &ArrowSchema, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, TaskError> {
    let fill = |(field, column): (&Arc<Field>, ArrayRef)| {
        if field.is_nullable() || column.null_count() == 0 {
            return Ok(column);
        }
        let zero = nothing(column.data_type(), column.len())?;
        let missing = arrow::compute::is_null(&column).map_err(bug)?;
        arrow::compute::kernels::zip::zip(&missing, &zero, &column).map_err(bug)
    };
    schema.fields().iter().zip(columns).map(fill).collect()
}

/// Values that stand for nothing where a column has no null: zero, the empty text.
fn nothing(ty: &DataType, rows: usize) -> Result<ArrayRef, TaskError> {
    let zero = datafusion_common::ScalarValue::new_default(ty).map_err(bug)?;
    zero.to_array_of_size(rows).map_err(bug)
}

/// The same rows with other columns from a place on.
fn replaced(rows: &RecordBatch, first: usize, name: &str, values: Vec<ArrayRef>) -> Result<RecordBatch, TaskError> {
    let schema = rows.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields()[..first].to_vec();
    let field =
        |(i, values): (usize, &ArrayRef)| Arc::new(Field::new(format!("{name}{i}"), values.data_type().clone(), true));
    fields.extend(values.iter().enumerate().map(field));
    let columns = rows.columns()[..first].iter().cloned().chain(values).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), columns, &options).map_err(bug)
}
