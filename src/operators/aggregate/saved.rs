//! What an aggregate saves: rows of keys, stretches and columns of our own, whatever keeps them in memory.
//!
//! | table | columns behind `_group` | a row is |
//! | --- | --- | --- |
//! | `cells` | `cell`, `k0 ..`, `start`, `end`, `rows`, `changed`, `s0 ..` | a cell, whose number is `cell`; `s` as in the table of `operators/cells.rs` |
//! | `rows_N` | `cell`, `row`, `v0 ..` | a row of the N-th aggregate, which has to see all its rows; with its cell it goes |
//! | `shown` | `k0 ..`, `at`, `nth`, `v0 ..` | a result of the window that ends at `at` which readers hold for true, the nth of its key |
//! | `shown` | `cell`, `nth`, `v0 ..` | the same where cells stand for themselves |
//! | `partial` | | it is there, without rows, where an aggregate came later and did not see every row |
//! | `pace` | `last` | when results last came; of no group |
//! | `clock` | `zero`, `last` | the time from which windows of batch time are counted, the time of the last batch; of no group |
//!
//! `start` and `end` are microseconds since 1970: of a pane or session; the times of a key's first and last rows where
//! it is running; the number of the window where windows are of so many rows. What stands before `k`, `v` and `start`
//! identifies a row, and `nth`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, UInt8Type};
use datafusion_common::HashMap;

use crate::operators::aggregate::kept::Piece;
use crate::operators::aggregate::lasting::{Lasting, Scope};
use crate::operators::aggregate::memory::PARTIAL;
use crate::operators::aggregate::shown::{Place, Shown};
use crate::operators::known::groups;
use crate::operators::values::bug;
use crate::plan::operator::{SavedTable, TaskError};

/// Group and number of a cell.
pub(super) const OF_CELL: usize = 2;
/// Group and number of its cell, and its own.
pub(super) const OF_ROW: usize = 3;

impl Lasting {
    pub(super) fn saved(&self) -> Result<Vec<SavedTable>, TaskError> {
        let table = |name: String, identity, rows| SavedTable { name, identity, rows };
        let mut tables = vec![table("cells".into(), OF_CELL, vec![self.saved_cells(&self.store.living())?])];
        for (i, kept) in self.store.kept() {
            let living = |cell: u32| self.store.heads[cell as usize].alive;
            let rows = kept.pieces().iter().map(|piece| self.saved_rows(&piece.of_cells(living)?));
            tables.push(table(format!("rows_{i}"), OF_ROW, rows.collect::<Result<_, _>>()?));
        }
        if let Some(shown) = &self.shown {
            let rows = self.saved_shown(shown, &shown.places())?;
            tables.push(table("shown".into(), self.identity_of_shown(), vec![rows]));
        }
        tables.push(table("pace".into(), 1, vec![self.saved_pace()?]));
        if let Scope::BatchWindows(ticks, _) = &self.scope {
            tables.push(ticks.save("clock")?);
        }
        if self.partial {
            tables.push(table(PARTIAL.into(), 1, Vec::new()));
        }
        Ok(tables)
    }

    /// Cells as rows.
    pub(super) fn saved_cells(&self, cells: &[u32]) -> Result<RecordBatch, TaskError> {
        let head = |cell: &u32| &self.store.heads[*cell as usize];
        let keys: Vec<u32> = cells.iter().map(|cell| head(cell).key).collect();
        let key_columns = self.store.key_columns(&keys)?;
        let groups = groups(&key_columns, keys.len())?;
        let changed: BooleanArray = cells.iter().map(|cell| Some(head(cell).changed)).collect();
        let mut columns = vec![("cell".to_owned(), self.numbers(cells, |head| head.number))];
        columns.extend(numbered("k", key_columns));
        columns.extend([
            ("start".to_owned(), self.numbers(cells, |head| head.start)),
            ("end".to_owned(), self.numbers(cells, |head| head.end)),
            ("rows".to_owned(), self.numbers(cells, |head| head.rows)),
            ("changed".to_owned(), Arc::new(changed) as ArrayRef),
        ]);
        columns.extend(numbered("s", self.store.states(cells)?));
        table_of(groups, columns)
    }

    /// Rows that an aggregate keeps.
    pub(super) fn saved_rows(&self, piece: &Piece) -> Result<RecordBatch, TaskError> {
        let mut distinct = piece.cells.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let groups = self.store.groups(&distinct)?;
        let group = |cell: &u32| Some(groups.value(distinct.partition_point(|other| other < cell)));
        let mut columns = vec![
            ("cell".to_owned(), self.numbers(&piece.cells, |head| head.number)),
            ("row".to_owned(), Arc::new(Int64Array::from(piece.numbers.clone())) as ArrayRef),
        ];
        columns.extend(numbered("v", piece.columns.clone()));
        table_of(piece.cells.iter().map(group).collect(), columns)
    }

    /// What is shown in some places, as rows.
    pub(super) fn saved_shown(&self, shown: &Shown, places: &[Place]) -> Result<RecordBatch, TaskError> {
        let (mut of_row, mut nth, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            for (i, row) in shown.at(*place).iter().enumerate() {
                of_row.push(*place);
                nth.push(i as i64);
                rows.push(row.as_ref());
            }
        }
        let (groups, mut columns) = if self.is_by_window() {
            let keys: Vec<u32> = of_row.iter().map(|(_, key)| *key).collect();
            let ends = of_row.iter().map(|(end, _)| *end);
            self.by_window(self.store.key_columns(&keys)?, ends)?
        } else {
            let cells: Vec<u32> = of_row.iter().map(|(_, cell)| *cell).collect();
            (self.store.groups(&cells)?, vec![("cell".to_owned(), self.numbers(&cells, |head| head.number))])
        };
        columns.push(("nth".to_owned(), Arc::new(Int64Array::from(nth))));
        columns.extend(numbered("v", shown.decoded(rows.into_iter())?));
        table_of(groups, columns)
    }

    /// What results of windows are known by: the groups of their keys; the keys, and the ends of the windows.
    pub(super) fn by_window(
        &self,
        keys: Vec<ArrayRef>,
        ends: impl Iterator<Item = i64>,
    ) -> Result<(UInt8Array, Vec<(String, ArrayRef)>), TaskError> {
        let ends = Int64Array::from_iter_values(ends);
        let groups = groups(&keys, ends.len())?;
        let mut columns: Vec<_> = numbered("k", keys).collect();
        columns.push(("at".to_owned(), Arc::new(ends)));
        Ok((groups, columns))
    }

    /// By how many columns results are known that readers hold for true.
    pub(super) fn identity_of_shown(&self) -> usize {
        if self.is_by_window() { 3 + self.store.grouping.key_types().len() } else { OF_CELL + 1 }
    }

    pub(super) fn saved_pace(&self) -> Result<RecordBatch, TaskError> {
        let last: ArrayRef = Arc::new(Int64Array::from(vec![self.pace.last()]));
        table_of(UInt8Array::from(vec![None::<u8>]), vec![("last".to_owned(), last)])
    }

    pub(super) fn is_by_window(&self) -> bool {
        matches!(self.scope, Scope::Windows(..) | Scope::BatchWindows(..))
    }

    fn numbers(&self, cells: &[u32], of: fn(&crate::operators::aggregate::store::Head) -> i64) -> ArrayRef {
        let numbers: Vec<i64> = cells.iter().map(|cell| of(&self.store.heads[*cell as usize])).collect();
        Arc::new(Int64Array::from(numbers))
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
        let mut cells = Loaded::default();
        // Most states have no row that names a cell, and cells may be millions.
        let names_cells = |table: &SavedTable| table.name == "shown" || table.name.starts_with("rows_");
        let is_named = tables.iter().any(|table| names_cells(table) && table.rows.iter().any(|r| r.num_rows() > 0));
        of("cells").iter().try_for_each(|rows| self.load_cells(rows, is_named.then_some(&mut cells)))?;
        let kept: Vec<usize> = self.store.kept().map(|(i, _)| i).collect();
        for i in kept {
            self.load_rows(i, &of(&format!("rows_{i}")), &cells)?;
        }
        of("shown").iter().try_for_each(|rows| self.load_shown(rows, &cells))?;
        self.rebuild();
        Ok(())
    }

    fn load_cells(&mut self, rows: &RecordBatch, mut known: Option<&mut Loaded>) -> Result<(), TaskError> {
        let keys = self.store.grouping.key_types().len();
        let keys = self.store.known.assign(&rows.columns()[OF_CELL..OF_CELL + keys], rows.num_rows())?;
        let (number, start, end) = (numbers(rows, "cell")?, numbers(rows, "start")?, numbers(rows, "end")?);
        let (count, groups) = (numbers(rows, "rows")?, groups_of(rows)?);
        let changed = column(rows, "changed")?.as_boolean().clone();
        let mut cells = Vec::with_capacity(keys.len());
        for (i, key) in keys.iter().enumerate() {
            let cell = self.store.add_known(number.value(i), *key, start.value(i), end.value(i));
            let head = &mut self.store.heads[cell as usize];
            (head.rows, head.changed) = (count.value(i), changed.value(i));
            if head.changed {
                self.changed.push(cell);
            }
            if let Some(known) = &mut known {
                known.insert((groups.value(i), number.value(i)), cell);
            }
            cells.push(cell as usize);
        }
        let first = rows.schema().index_of("changed").map_err(bug)? + 1;
        self.store.merge(&rows.columns()[first..], &cells)
    }

    /// Rows are kept in the order in which they came: that of their numbers, for those of one key.
    fn load_rows(&mut self, call: usize, rows: &[RecordBatch], known: &Loaded) -> Result<(), TaskError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), rows).map_err(bug)?;
        let (groups, cell, number) = (groups_of(&rows)?, numbers(&rows, "cell")?, numbers(&rows, "row")?);
        let cell = |i: usize| known.get(&(groups.value(i), cell.value(i))).copied();
        let cells = (0..rows.num_rows()).map(|i| cell(i).ok_or_else(|| bug("a saved row belongs to no cell")));
        let columns = rows.columns()[OF_ROW..].to_vec();
        let piece = Piece { cells: cells.collect::<Result<_, _>>()?, numbers: number.values().to_vec(), columns };
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|row| piece.numbers[*row as usize]);
        let mut keeping = self.store.keeping();
        match keeping.find(|(i, ..)| *i == call) {
            Some((_, _, kept)) => kept.push_known(piece.some(order)?),
            None => Err(bug("a saved row belongs to no aggregate")),
        }
    }

    fn load_shown(&mut self, rows: &RecordBatch, known: &Loaded) -> Result<(), TaskError> {
        let places: Vec<Place> = if self.is_by_window() {
            let keys = self.store.grouping.key_types().len();
            let keys = self.store.known.assign(&rows.columns()[1..=keys], rows.num_rows())?;
            numbers(rows, "at")?.values().iter().copied().zip(keys).collect()
        } else {
            let (groups, cell) = (groups_of(rows)?, numbers(rows, "cell")?);
            let of = |i: usize| known.get(&(groups.value(i), cell.value(i))).map(|cell| (0, *cell));
            let places = (0..rows.num_rows()).map(|i| of(i).ok_or_else(|| bug("a shown result belongs to no cell")));
            places.collect::<Result<_, _>>()?
        };
        let first = rows.schema().index_of("nth").map_err(bug)? + 1;
        let Some(shown) = &mut self.shown else { return Ok(()) };
        let plain = Arc::new(ArrowSchema::new(shown.fields()));
        let rows = crate::operators::values::batch_of(&plain, rows.columns()[first..].to_vec(), places.len())?;
        shown.note(&places, &rows)
    }
}

/// Cells by group and number.
type Loaded = HashMap<(u8, i64), u32>;

/// Columns with numbers in their names.
fn numbered(name: &'static str, columns: Vec<ArrayRef>) -> impl Iterator<Item = (String, ArrayRef)> {
    columns.into_iter().enumerate().map(move |(i, column)| (format!("{name}{i}"), column))
}

/// Rows of key groups with these columns behind.
pub(super) fn table_of(groups: UInt8Array, columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch, TaskError> {
    let field = |(name, column): &(String, ArrayRef)| Field::new(name, column.data_type().clone(), true);
    let mut fields = vec![Field::new("_group", DataType::UInt8, true)];
    fields.extend(columns.iter().map(field));
    let groups: ArrayRef = Arc::new(groups);
    let columns = std::iter::once(groups).chain(columns.into_iter().map(|(_, column)| column)).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)
}

fn groups_of(rows: &RecordBatch) -> Result<&UInt8Array, TaskError> {
    rows.column(0).as_primitive_opt::<UInt8Type>().ok_or_else(|| bug("saved rows have no key groups"))
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, TaskError> {
    rows.column_by_name(name).ok_or_else(|| bug(format!("saved rows lack `{name}`")))
}

fn numbers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, TaskError> {
    column(rows, name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| bug(format!("saved `{name}` is no number")))
}
