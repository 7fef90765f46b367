//! What an aggregate saves: rows of keys, stretches and columns of our own, whatever keeps them in memory.
//!
//! | table | columns behind `_group` | a row is |
//! | --- | --- | --- |
//! | `cells` | `k0 ..`, `start`, `end`, `rows`, `changed`, `s0 ..` | a cell; `s` as in the table of `operators/cells.rs` |
//! | `rows_N` | `k0 ..`, `start`, `v0 ..` | a row of the N-th aggregate, which has to see all its rows |
//! | `shown` | `k0 ..`, `start`, `at`, `v0 ..` | a result that readers hold for true: `at` is the window's end, or `start` is of its cell |
//! | `partial` | | it is there, without rows, where an aggregate came later and did not see every row |
//! | `pace` | `last` | when results last came; of no group |
//! | `clock` | `zero`, `last` | the time from which windows of batch time are counted, the time of the last batch; of no group |
//!
//! `start` and `end` are microseconds since 1970: of a pane or session; the times of a key's first and last rows where
//! it is running; the number of the window where windows are of so many rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};

use crate::operators::aggregate::lasting::{Lasting, Scope};
use crate::operators::aggregate::memory::PARTIAL;
use crate::operators::aggregate::shown::Place;
use crate::operators::known::groups;
use crate::operators::values::bug;
use crate::plan::operator::{SavedTable, TaskError};

impl Lasting {
    pub(super) fn saved(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut tables = vec![self.saved_cells()?];
        for (i, kept) in self.store.kept() {
            let mut rows = Vec::new();
            for piece in kept.pieces() {
                let living = |row: &u32| self.store.heads[piece.cells[*row as usize] as usize].alive;
                let chosen: Vec<u32> = (0..piece.cells.len() as u32).filter(living).collect();
                let cells: Vec<u32> = chosen.iter().map(|row| piece.cells[*row as usize]).collect();
                let chosen = chosen.into();
                let values = piece.columns.iter().map(|c| crate::operators::values::take_rows(c, &chosen));
                let starts = self.numbers(&cells, |head| head.start);
                rows.push(self.table(&cells, &[("start", starts)], "v", values.collect::<Result<_, _>>()?)?);
            }
            tables.push(SavedTable { name: format!("rows_{i}"), rows });
        }
        if let Some(shown) = &self.shown {
            let (places, values) = shown.to_save()?;
            tables.push(SavedTable { name: "shown".into(), rows: vec![self.saved_shown(&places, values)?] });
        }
        tables.push(SavedTable { name: "pace".into(), rows: vec![self.saved_pace()?] });
        if let Scope::BatchWindows(ticks, _) = &self.scope {
            tables.push(ticks.save("clock")?);
        }
        if self.partial {
            tables.push(SavedTable { name: PARTIAL.into(), rows: Vec::new() });
        }
        Ok(tables)
    }

    fn saved_cells(&self) -> Result<SavedTable, TaskError> {
        let cells = self.store.living();
        let changed: BooleanArray =
            cells.iter().map(|cell| Some(self.store.heads[*cell as usize].changed)).collect::<Vec<_>>().into();
        let own = [
            ("start", self.numbers(&cells, |head| head.start)),
            ("end", self.numbers(&cells, |head| head.end)),
            ("rows", self.numbers(&cells, |head| head.rows)),
            ("changed", Arc::new(changed) as ArrayRef),
        ];
        let rows = self.table(&cells, &own, "s", self.store.states(&cells)?)?;
        Ok(SavedTable { name: "cells".into(), rows: vec![rows] })
    }

    fn saved_shown(&self, places: &[Place], values: Vec<ArrayRef>) -> Result<RecordBatch, TaskError> {
        let by_window = self.is_by_window();
        let head = |number: u32| self.store.heads[number as usize];
        let keys: Vec<u32> =
            places.iter().map(|(_, number)| if by_window { *number } else { head(*number).key }).collect();
        let starts: Int64Array =
            places.iter().map(|(_, number)| if by_window { 0 } else { head(*number).start }).collect::<Vec<_>>().into();
        let ends: Int64Array = places.iter().map(|(end, _)| *end).collect::<Vec<_>>().into();
        self.keyed(&keys, &[("start", Arc::new(starts) as ArrayRef), ("at", Arc::new(ends) as ArrayRef)], "v", values)
    }

    fn saved_pace(&self) -> Result<RecordBatch, TaskError> {
        let fields = vec![Field::new("_group", DataType::UInt8, true), Field::new("last", DataType::Int64, true)];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt8Array::from(vec![None::<u8>])), Arc::new(Int64Array::from(vec![self.pace.last()]))];
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)
    }

    fn is_by_window(&self) -> bool {
        matches!(self.scope, Scope::Windows(..) | Scope::BatchWindows(..))
    }

    fn numbers(&self, cells: &[u32], of: fn(&crate::operators::aggregate::store::Head) -> i64) -> ArrayRef {
        let numbers: Vec<i64> = cells.iter().map(|cell| of(&self.store.heads[*cell as usize])).collect();
        Arc::new(Int64Array::from(numbers))
    }

    /// Rows of cells.
    fn table(
        &self,
        cells: &[u32],
        own: &[(&str, ArrayRef)],
        name: &str,
        values: Vec<ArrayRef>,
    ) -> Result<RecordBatch, TaskError> {
        let keys: Vec<u32> = cells.iter().map(|cell| self.store.heads[*cell as usize].key).collect();
        self.keyed(&keys, own, name, values)
    }

    /// Rows of keys: group, key, columns with names, columns with numbers.
    fn keyed(
        &self,
        keys: &[u32],
        own: &[(&str, ArrayRef)],
        name: &str,
        values: Vec<ArrayRef>,
    ) -> Result<RecordBatch, TaskError> {
        let key_columns = self.store.key_columns(keys)?;
        let field = |name: String, column: &ArrayRef| Field::new(name, column.data_type().clone(), true);
        let mut fields = vec![Field::new("_group", DataType::UInt8, true)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(groups(&key_columns, keys.len())?)];
        fields.extend(key_columns.iter().enumerate().map(|(i, column)| field(format!("k{i}"), column)));
        columns.extend(key_columns);
        fields.extend(own.iter().map(|(name, column)| field((*name).to_owned(), column)));
        columns.extend(own.iter().map(|(_, column)| column.clone()));
        fields.extend(values.iter().enumerate().map(|(i, column)| field(format!("{name}{i}"), column)));
        columns.extend(values);
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)
    }

    pub(super) fn loaded(&mut self, tables: &[SavedTable]) -> Result<(), TaskError> {
        let of = |name: &str| -> Vec<RecordBatch> {
            let mine = tables.iter().filter(|table| table.name == name).flat_map(|table| &table.rows);
            mine.filter(|rows| rows.num_rows() > 0).cloned().collect()
        };
        self.partial = tables.iter().any(|table| table.name == PARTIAL);
        if let Scope::BatchWindows(ticks, _) = &mut self.scope {
            tables.iter().filter(|table| table.name == "clock").try_for_each(|table| ticks.load(table))?;
        }
        for rows in of("pace") {
            let last = numbers(&rows, "last")?;
            self.pace.load(last.is_valid(0).then(|| last.value(0)));
        }
        of("cells").iter().try_for_each(|rows| self.load_cells(rows))?;
        let kept: Vec<usize> = self.store.kept().map(|(i, _)| i).collect();
        for i in kept {
            of(&format!("rows_{i}")).iter().try_for_each(|rows| self.load_rows(i, rows))?;
        }
        of("shown").iter().try_for_each(|rows| self.load_shown(rows))?;
        self.rebuild();
        Ok(())
    }

    fn load_cells(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let keys = self.load_keys(rows)?;
        let (start, end, count) = (numbers(rows, "start")?, numbers(rows, "end")?, numbers(rows, "rows")?);
        let changed = column(rows, "changed")?.as_boolean().clone();
        let mut cells = Vec::with_capacity(keys.len());
        for (i, key) in keys.iter().enumerate() {
            let cell = self.store.add(*key, start.value(i), end.value(i));
            let head = &mut self.store.heads[cell as usize];
            (head.rows, head.changed) = (count.value(i), changed.value(i));
            if head.changed {
                self.changed.push(cell);
            }
            cells.push(cell as usize);
        }
        let first = rows.schema().index_of("changed").map_err(bug)? + 1;
        self.store.merge(&rows.columns()[first..], &cells)
    }

    fn load_rows(&mut self, call: usize, rows: &RecordBatch) -> Result<(), TaskError> {
        let keys = self.load_keys(rows)?;
        let start = numbers(rows, "start")?;
        let cell = |(i, key): (usize, &u32)| {
            self.store.cell(*key, start.value(i)).ok_or_else(|| bug("a saved row belongs to no cell"))
        };
        let cells = keys.iter().enumerate().map(cell).collect::<Result<Vec<_>, _>>()?;
        let first = rows.schema().index_of("start").map_err(bug)? + 1;
        let mut keeping = self.store.keeping();
        match keeping.find(|(i, ..)| *i == call) {
            Some((_, _, kept)) => kept.push(cells, rows.columns()[first..].to_vec()),
            None => Err(bug("a saved row belongs to no aggregate")),
        }
    }

    fn load_shown(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let keys = self.load_keys(rows)?;
        let (start, at) = (numbers(rows, "start")?, numbers(rows, "at")?);
        let by_window = self.is_by_window();
        let mut places: Vec<Place> = Vec::with_capacity(keys.len());
        for (i, key) in keys.iter().enumerate() {
            let number = if by_window { Some(*key) } else { self.store.cell(*key, start.value(i)) };
            places.push((at.value(i), number.ok_or_else(|| bug("a shown result belongs to no cell"))?));
        }
        let first = rows.schema().index_of("at").map_err(bug)? + 1;
        let Some(shown) = &mut self.shown else { return Ok(()) };
        let plain = Arc::new(ArrowSchema::new(shown.fields()));
        let rows = crate::operators::values::batch_of(&plain, rows.columns()[first..].to_vec(), keys.len())?;
        shown.note(&places, &rows)
    }

    fn load_keys(&mut self, rows: &RecordBatch) -> Result<Vec<u32>, TaskError> {
        let keys = self.store.grouping.key_types().len();
        self.store.known.assign(&rows.columns()[1..=keys], rows.num_rows())
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, TaskError> {
    rows.column_by_name(name).ok_or_else(|| bug(format!("saved rows lack `{name}`")))
}

fn numbers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, TaskError> {
    column(rows, name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| bug(format!("saved `{name}` is no number")))
}
