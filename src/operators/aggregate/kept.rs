//! The rows of an aggregate that has to see them all: its arguments and what it is ordered by, in the order in which
//! rows came. Of equal rows one is kept where equal arguments count once.

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
}

/// Rows in the order they came.
pub(super) struct Piece {
    /// The cell of each.
    pub(super) cells: Vec<u32>,
    /// Arguments, then what it is ordered by.
    pub(super) columns: Vec<ArrayRef>,
}

impl Kept {
    pub(super) fn new(call: &CompiledCall) -> Result<Self, TaskError> {
        let types = call.kept_types();
        let seen = call.is_distinct().then(|| seen(&types)).transpose()?;
        Ok(Kept { types, args: call.args.len(), pieces: Vec::new(), seen })
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
        let piece = match &mut self.seen {
            Some(seen) => {
                let mut row: Vec<ArrayRef> = vec![std::sync::Arc::new(UInt32Array::from(cells.clone()))];
                row.extend(columns.iter().cloned());
                let first = UInt32Array::from(seen.first_of_each(&row)?);
                let cells = first.values().iter().map(|i| cells[*i as usize]).collect();
                Piece { cells, columns: columns.iter().map(|c| take_rows(c, &first)).collect::<Result<_, _>>()? }
            }
            None => Piece { cells, columns },
        };
        if !piece.cells.is_empty() {
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
        let column = |(i, ty): (usize, &DataType)| {
            let columns: Vec<&dyn arrow::array::Array> = pieces.iter().map(|p| p.columns[i].as_ref()).collect();
            if columns.is_empty() { Ok(new_empty_array(ty)) } else { concat(&columns).map_err(bug) }
        };
        Ok(Piece { cells, columns: self.types.iter().enumerate().map(column).collect::<Result<_, _>>()? })
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
                chosen.push(Piece { cells: Vec::new(), columns });
            }
        }
        let columns = self.whole(&chosen)?.columns;
        call.of_rows(&columns[..self.args], &columns[self.args..], &groups, total)
    }

    /// Gives the rows of a cell to another.
    pub(super) fn move_rows(&mut self, moved: &HashMap<u32, u32>) {
        for cell in self.pieces.iter_mut().flat_map(|piece| &mut piece.cells) {
            if let Some(to) = moved.get(cell) {
                *cell = *to;
            }
        }
    }

    /// Drops the rows of forgotten cells and gives the others their new numbers.
    pub(super) fn renumber(&mut self, renumbered: &[Option<u32>]) -> Result<(), TaskError> {
        let whole = self.whole(&self.pieces)?;
        let living = |row: &usize| renumbered[whole.cells[*row] as usize].is_some();
        let rows: Vec<u32> = (0..whole.cells.len()).filter(living).map(|row| row as u32).collect();
        let cells = rows.iter().filter_map(|row| renumbered[whole.cells[*row as usize] as usize]).collect();
        let rows = UInt32Array::from(rows);
        let columns = whole.columns.iter().map(|c| take_rows(c, &rows)).collect::<Result<_, _>>()?;
        self.pieces.clear();
        if self.seen.is_some() {
            self.seen = Some(seen(&self.types)?);
        }
        self.push(cells, columns)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let piece = |p: &Piece| {
            let columns: usize = p.columns.iter().map(|c| c.get_array_memory_size()).sum();
            columns + p.cells.capacity() * size_of::<u32>()
        };
        // What was seen is held a second time.
        self.pieces.iter().map(piece).sum::<usize>() * if self.seen.is_some() { 2 } else { 1 }
    }
}

fn seen(types: &[DataType]) -> Result<KeyTable, TaskError> {
    KeyTable::new(&std::iter::once(DataType::UInt32).chain(types.iter().cloned()).collect::<Vec<_>>())
}
