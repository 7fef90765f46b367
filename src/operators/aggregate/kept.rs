//! The rows of an aggregate that has to see them all: its arguments and what it is ordered by, in the order in which
//! rows came. Of equal rows one is kept where equal arguments count once.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion_common::HashMap;

use crate::operators::cells::CellError;
use crate::operators::groups::CompiledCall;
use crate::operators::keys::KeyTable;
use crate::operators::values::{bug, take_rows};
use crate::plan::operator::TaskError;

/// Pieces are put together when they are so many.
const PIECES: usize = 64;

/// The rows of one aggregate.
pub(super) struct Kept {
    types: Vec<DataType>,
    args: usize,
    pieces: Vec<Piece>,
    /// Cell and values of the rows that are there, where equal ones are kept once.
    seen: Option<KeyTable>,
    /// The number of the next row. Rows stand in the order of their numbers; those of one key group differ.
    next: i64,
    /// Rows from this number on came since changes were last asked for; none: nobody asks.
    told: Option<i64>,
    /// Numbers of older rows that another cell has now.
    moved: Vec<i64>,
}

/// Rows in the order they came.
pub(super) struct Piece {
    /// The cell of each.
    pub(super) cells: Vec<u32>,
    /// What each is known by when it is saved, with its cell.
    pub(super) numbers: Vec<i64>,
    /// Arguments, then what it is ordered by.
    pub(super) columns: Vec<ArrayRef>,
}

impl Kept {
    pub(super) fn new(call: &CompiledCall) -> Result<Self, TaskError> {
        let types = call.kept_types();
        let seen = call.is_distinct().then(|| seen(&types)).transpose()?;
        Ok(Kept { types, args: call.args.len(), pieces: Vec::new(), seen, next: 0, told: None, moved: Vec::new() })
    }

    /// The rows.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Takes rows.
    pub(super) fn push(&mut self, cells: Vec<u32>, columns: Vec<ArrayRef>) -> Result<(), TaskError> {
        if cells.is_empty() {
            return Ok(());
        }
        let (cells, columns) = match &mut self.seen {
            Some(seen) => {
                let first = UInt32Array::from(seen.first_of_each(&with_cells(&cells, &columns))?);
                let cells = first.values().iter().map(|i| cells[*i as usize]).collect();
                (cells, columns.iter().map(|c| take_rows(c, &first)).collect::<Result<_, _>>()?)
            }
            None => (cells, columns),
        };
        let numbers = (self.next..self.next + cells.len() as i64).collect();
        self.put(Piece { cells, numbers, columns })
    }

    /// Takes rows that were there before, in the order of their numbers.
    pub(super) fn push_known(&mut self, piece: Piece) -> Result<(), TaskError> {
        if let Some(seen) = &mut self.seen {
            seen.assign(&with_cells(&piece.cells, &piece.columns))?;
        }
        self.put(piece)
    }

    fn put(&mut self, piece: Piece) -> Result<(), TaskError> {
        if let Some(last) = piece.numbers.last() {
            self.next = self.next.max(last.saturating_add(1));
            self.pieces.push(piece);
        }
        if self.pieces.len() > PIECES {
            let all = std::mem::take(&mut self.pieces);
            self.pieces.push(self.whole(&all)?);
        }
        Ok(())
    }

    fn whole(&self, pieces: &[Piece]) -> Result<Piece, TaskError> {
        let cells = pieces.iter().flat_map(|piece| piece.cells.iter().copied()).collect();
        let numbers = pieces.iter().flat_map(|piece| piece.numbers.iter().copied()).collect();
        let column = |(i, ty): (usize, &DataType)| {
            let columns: Vec<&dyn arrow::array::Array> = pieces.iter().map(|p| p.columns[i].as_ref()).collect();
            if columns.is_empty() { Ok(new_empty_array(ty)) } else { concat(&columns).map_err(bug) }
        };
        Ok(Piece { cells, numbers, columns: self.types.iter().enumerate().map(column).collect::<Result<_, _>>()? })
    }

    /// The results of groups of cells.
    pub(super) fn results(
        &self,
        call: &CompiledCall,
        groups_of: &HashMap<u32, Vec<usize>>,
        total: usize,
    ) -> Result<ArrayRef, CellError> {
        let mut groups = Vec::new();
        let mut chosen = Vec::new();
        for piece in &self.pieces {
            let mut rows = Vec::new();
            for (row, cell) in piece.cells.iter().enumerate() {
                for group in groups_of.get(cell).into_iter().flatten() {
                    rows.push(row as u32);
                    groups.push(*group);
                }
            }
            if !rows.is_empty() {
                let rows = UInt32Array::from(rows);
                let columns = piece.columns.iter().map(|c| take_rows(c, &rows)).collect::<Result<_, _>>()?;
                chosen.push(Piece { cells: Vec::new(), numbers: Vec::new(), columns });
            }
        }
        let columns = self.whole(&chosen)?.columns;
        call.of_rows(&columns[..self.args], &columns[self.args..], &groups, total)
    }

    /// Gives the rows of a cell to another.
    pub(super) fn move_rows(&mut self, moved: &HashMap<u32, u32>) {
        let told = self.told.unwrap_or(i64::MIN);
        for piece in &mut self.pieces {
            for (cell, number) in piece.cells.iter_mut().zip(&piece.numbers) {
                if let Some(to) = moved.get(cell) {
                    *cell = *to;
                    self.moved.extend((*number < told).then_some(*number));
                }
            }
        }
    }

    /// Drops the rows of forgotten cells and gives the others their new numbers.
    pub(super) fn renumber(&mut self, renumbered: &[Option<u32>]) -> Result<(), TaskError> {
        let whole = self.whole(&self.pieces)?;
        let living = |row: &usize| renumbered[whole.cells[*row] as usize].is_some();
        let rows: Vec<u32> = (0..whole.cells.len()).filter(living).map(|row| row as u32).collect();
        let cells = rows.iter().filter_map(|row| renumbered[whole.cells[*row as usize] as usize]).collect();
        let numbers = rows.iter().map(|row| whole.numbers[*row as usize]).collect();
        let rows = UInt32Array::from(rows);
        let columns = whole.columns.iter().map(|c| take_rows(c, &rows)).collect::<Result<_, _>>()?;
        self.pieces.clear();
        if self.seen.is_some() {
            self.seen = Some(seen(&self.types)?);
        }
        self.push_known(Piece { cells, numbers, columns })
    }

    /// Begins to note what changes.
    pub(super) fn track(&mut self) {
        (self.told, self.moved) = (Some(self.next), Vec::new());
    }

    /// The rows that came or were given to another cell since that was last asked; none: nobody noted it.
    pub(super) fn changes(&mut self) -> Result<Piece, TaskError> {
        let told = self.told.replace(self.next).ok_or_else(|| bug("nobody noted what changed"))?;
        let mut moved = std::mem::take(&mut self.moved);
        moved.sort_unstable();
        moved.dedup();
        let mut chosen = Vec::new();
        for piece in &self.pieces {
            let (Some(first), Some(last)) = (piece.numbers.first(), piece.numbers.last()) else { continue };
            let from = moved.partition_point(|number| number < first);
            let to = moved.partition_point(|number| number <= last);
            // Rows of several key groups may have the same number, when they were in several partitions before.
            let older = moved[from..to].iter().flat_map(|number| {
                let first = piece.numbers.partition_point(|other| other < number);
                first..piece.numbers.partition_point(|other| other <= number)
            });
            let new = piece.numbers.partition_point(|number| *number < told)..piece.numbers.len();
            let rows: Vec<u32> = older.chain(new).map(|row| row as u32).collect();
            if !rows.is_empty() {
                chosen.push(piece.some(rows)?);
            }
        }
        self.whole(&chosen)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let piece = |p: &Piece| {
            let columns: usize = p.columns.iter().map(|c| c.get_array_memory_size()).sum();
            columns + p.cells.capacity() * size_of::<u32>() + p.numbers.capacity() * size_of::<i64>()
        };
        // What was seen is held a second time.
        self.pieces.iter().map(piece).sum::<usize>() * if self.seen.is_some() { 2 } else { 1 }
    }
}

impl Piece {
    /// These of its rows.
    pub(super) fn some(&self, rows: Vec<u32>) -> Result<Piece, TaskError> {
        let cells = rows.iter().map(|row| self.cells[*row as usize]).collect();
        let numbers = rows.iter().map(|row| self.numbers[*row as usize]).collect();
        let rows = UInt32Array::from(rows);
        let columns = self.columns.iter().map(|c| take_rows(c, &rows)).collect::<Result<_, _>>()?;
        Ok(Piece { cells, numbers, columns })
    }

    /// The rows whose cell `f` takes.
    pub(super) fn of_cells(&self, f: impl Fn(u32) -> bool) -> Result<Piece, TaskError> {
        self.some((0..self.cells.len() as u32).filter(|row| f(self.cells[*row as usize])).collect())
    }
}

fn with_cells(cells: &[u32], columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let cells: ArrayRef = Arc::new(UInt32Array::from(cells.to_vec()));
    std::iter::once(cells).chain(columns.iter().cloned()).collect()
}

fn seen(types: &[DataType]) -> Result<KeyTable, TaskError> {
    KeyTable::new(&std::iter::once(DataType::UInt32).chain(types.iter().cloned()).collect::<Vec<_>>())
}
