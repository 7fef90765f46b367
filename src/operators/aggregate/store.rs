//! What an aggregate remembers: a cell for each key and stretch of time (a pane, a session, or all there is). Cells
//! keep partial results; for aggregates that cannot be merged they keep the arguments of their rows. Knows nothing of
//! what the stretches mean.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt8Array};
use arrow::compute::concat;
use datafusion_common::HashMap;

use crate::operators::aggregate::kept::Kept;
use crate::operators::cells::Cells;
use crate::operators::groups::{CompiledCall, CompiledGrouping, explained};
use crate::operators::known::{Known, groups};
use crate::operators::touched::Touched;
use crate::operators::values::bug;
use crate::plan::operator::{Held, TaskError};

/// Cells by number.
pub(super) struct Store {
    pub(super) grouping: Arc<CompiledGrouping>,
    pub(super) known: Known,
    pub(super) heads: Vec<Head>,
    /// The living cells of each key, by their starts.
    of_key: Vec<Vec<u32>>,
    /// By aggregate; none where rows are kept.
    lasting: Vec<Option<Box<dyn Cells>>>,
    kept: Vec<Option<Kept>>,
    dead: usize,
    /// How many cells were forgotten since somebody asked, because their time was over.
    expired: usize,
    /// What the next cell is known by.
    next: i64,
    /// Cells from this number on were made since changes were last asked for.
    told: i64,
    /// Cells that changed.
    pub(super) touched: Touched,
    /// Older cells that were forgotten: the bytes of their keys, and their numbers.
    gone: Vec<(Arc<[u8]>, i64)>,
}

/// Where a cell belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// What the cell is known by when it is saved, with the group of its key.
    pub(super) number: i64,
    /// The number of its key.
    pub(super) key: u32,
    /// Where its stretch starts.
    pub(super) start: i64,
    /// Where it ends, or when its last row came.
    pub(super) end: i64,
    /// How many rows went into it.
    pub(super) rows: i64,
    /// It is not forgotten.
    pub(super) alive: bool,
    /// Something came since its result was last given out.
    pub(super) changed: bool,
}

/// Partial results of some keys, each once, apart from the cells they came from.
pub(super) struct Part {
    /// Numbers of keys.
    pub(super) keys: Vec<u32>,
    states: Vec<ArrayRef>,
}

/// Results that are to be put together from cells or parts: each has a group for each of its keys.
pub(super) struct Wanted<'a> {
    /// The key of each group.
    pub(super) keys: &'a [u32],
    /// Parts, with the group of each of their keys.
    pub(super) parts: &'a [(Arc<Part>, Vec<usize>)],
    /// The groups that the rows of a cell belong to.
    pub(super) groups_of: &'a HashMap<u32, Vec<usize>>,
}

impl Store {
    /// `pieces`: results are put together from several cells.
    pub(super) fn new(grouping: Arc<CompiledGrouping>, pieces: bool) -> Result<Self, TaskError> {
        let keeps = |call: &CompiledCall| call.keeps_rows(pieces);
        let lasting = grouping.calls().iter().map(|c| (!keeps(c)).then(|| c.recipe.lasting()).transpose());
        let lasting = lasting.collect::<Result<_, _>>()?;
        let kept = grouping.calls().iter().map(|c| keeps(c).then(|| Kept::new(c)).transpose());
        let kept = kept.collect::<Result<_, _>>()?;
        let known = Known::new(&grouping.key_types())?;
        let (heads, of_key, touched, gone) = (Vec::new(), Vec::new(), Touched::default(), Vec::new());
        Ok(Store {
            grouping,
            known,
            heads,
            of_key,
            lasting,
            kept,
            dead: 0,
            expired: 0,
            next: 0,
            told: 0,
            touched,
            gone,
        })
    }

    /// The aggregates whose partial results are kept.
    pub(super) fn merging(&self) -> impl Iterator<Item = &CompiledCall> {
        self.grouping.calls().iter().zip(&self.lasting).filter(|(_, cells)| cells.is_some()).map(|(call, _)| call)
    }

    /// The aggregates whose rows are kept, by their places.
    pub(super) fn keeping(&mut self) -> impl Iterator<Item = (usize, &CompiledCall, &mut Kept)> {
        let calls = self.grouping.calls().iter().zip(&mut self.kept).enumerate();
        calls.filter_map(|(i, (call, kept))| kept.as_mut().map(|kept| (i, call, kept)))
    }

    /// What is kept of rows, by the place of the aggregate.
    pub(super) fn kept(&self) -> impl Iterator<Item = (usize, &Kept)> {
        self.kept.iter().enumerate().filter_map(|(i, kept)| kept.as_ref().map(|kept| (i, kept)))
    }

    /// The living cells of a key, by their starts.
    pub(super) fn cells_of(&self, key: u32) -> &[u32] {
        self.of_key.get(key as usize).map_or(&[], Vec::as_slice)
    }

    /// The living cell of a key that starts there.
    pub(super) fn cell(&self, key: u32, start: i64) -> Option<u32> {
        let cells = self.cells_of(key);
        let at = cells.binary_search_by_key(&start, |cell| self.heads[*cell as usize].start).ok()?;
        Some(cells[at])
    }

    /// A new cell.
    pub(super) fn add(&mut self, key: u32, start: i64, end: i64) -> u32 {
        self.add_known(self.next, key, start, end)
    }

    /// A cell that was saved under this number.
    pub(super) fn add_known(&mut self, number: i64, key: u32, start: i64, end: i64) -> u32 {
        self.next = self.next.max(number.saturating_add(1));
        let cell = self.heads.len() as u32;
        self.heads.push(Head { number, key, start, end, rows: 0, alive: true, changed: false });
        if self.of_key.len() <= key as usize {
            self.of_key.resize_with(key as usize + 1, Vec::new);
        }
        let heads = &self.heads;
        let cells = &mut self.of_key[key as usize];
        let at = cells.partition_point(|other| heads[*other as usize].start <= start);
        cells.insert(at, cell);
        cell
    }

    /// Forgets a cell, and its key with the last one.
    pub(super) fn forget(&mut self, cell: u32) {
        let head = &mut self.heads[cell as usize];
        if !std::mem::replace(&mut head.alive, false) {
            return;
        }
        let (key, number) = (head.key, head.number);
        if self.touched.is_on() && number < self.told {
            self.gone.extend(self.known.shared(key).map(|key| (key, number)));
        }
        self.dead += 1;
        let cells = &mut self.of_key[key as usize];
        cells.retain(|other| *other != cell);
        if cells.is_empty() {
            self.known.forget(key);
        }
    }

    /// Forgets a cell whose time is over.
    pub(super) fn expire(&mut self, cell: u32) {
        self.expired += usize::from(self.heads[cell as usize].alive);
        self.forget(cell);
    }

    /// How many cells were forgotten since this was last asked, because their time was over.
    pub(super) fn expired(&mut self) -> usize {
        std::mem::take(&mut self.expired)
    }

    /// Begins to note what changes.
    pub(super) fn track(&mut self) {
        self.touched.start();
        self.gone.clear();
        self.told = self.next;
        self.keeping().for_each(|(_, _, kept)| kept.track());
    }

    /// What changed since that was last asked: living cells, in the order of their making; groups and numbers of those
    /// that were forgotten.
    pub(super) fn changes(&mut self) -> Result<(Vec<u32>, UInt8Array, Int64Array), TaskError> {
        self.told = self.next;
        let mut touched = self.touched.take();
        touched.retain(|cell| self.heads[*cell as usize].alive);
        let (keys, numbers): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gone).into_iter().unzip();
        let columns = self.known.decoded(keys.iter().map(AsRef::as_ref))?;
        Ok((touched, groups(&columns, keys.len())?, Int64Array::from(numbers)))
    }

    /// The key groups of cells.
    pub(super) fn groups(&self, cells: &[u32]) -> Result<UInt8Array, TaskError> {
        let keys: Vec<u32> = cells.iter().map(|cell| self.heads[*cell as usize].key).collect();
        groups(&self.key_columns(&keys)?, keys.len())
    }

    /// Living cells, in the order of their making.
    pub(super) fn living(&self) -> Vec<u32> {
        (0..self.heads.len() as u32).filter(|cell| self.heads[*cell as usize].alive).collect()
    }

    /// Adds partial results to cells. Cells that are new must be among them.
    pub(super) fn merge(&mut self, states: &[ArrayRef], cells: &[usize]) -> Result<(), TaskError> {
        let total = self.heads.len();
        let mut next = 0;
        for (call, lasting) in self.grouping.calls().iter().zip(&mut self.lasting) {
            let Some(lasting) = lasting else { continue };
            let width = call.recipe.state_types()?.len();
            lasting.merge(&states[next..next + width], cells, total)?;
            next += width;
        }
        Ok(())
    }

    /// The partial results of cells.
    pub(super) fn states(&self, cells: &[u32]) -> Result<Vec<ArrayRef>, TaskError> {
        let mut states = Vec::new();
        for lasting in self.lasting.iter().flatten() {
            states.extend(lasting.states(Some(cells))?);
        }
        Ok(states)
    }

    /// The partial results of cells whose keys differ.
    pub(super) fn part(&self, cells: &[u32]) -> Result<Part, TaskError> {
        let keys = cells.iter().map(|cell| self.heads[*cell as usize].key).collect();
        Ok(Part { keys, states: self.states(cells)? })
    }

    /// Parts as one; keys in the order of their first appearance.
    pub(super) fn merged(&self, parts: &[Arc<Part>]) -> Result<Part, TaskError> {
        let mut numbers: HashMap<u32, usize> = HashMap::default();
        let mut keys = Vec::new();
        let mut groups = Vec::new();
        for key in parts.iter().flat_map(|part| &part.keys) {
            groups.push(*numbers.entry(*key).or_insert_with(|| {
                keys.push(*key);
                keys.len() - 1
            }));
        }
        let mut next = 0;
        let mut states = Vec::new();
        for call in self.merging() {
            let width = call.recipe.state_types()?.len();
            let mut cells = call.recipe.transient()?;
            let columns = (next..next + width).map(|i| together(parts.iter().map(|p| &p.states[i])));
            cells.merge(&columns.collect::<Result<Vec<_>, _>>()?, &groups, keys.len())?;
            states.extend(cells.states(None)?);
            next += width;
        }
        Ok(Part { keys, states })
    }

    /// The keys of these numbers.
    pub(super) fn key_columns(&self, keys: &[u32]) -> Result<Vec<ArrayRef>, TaskError> {
        self.known.columns(keys)
    }

    /// The results of cells, each by itself.
    pub(super) fn results(&self, cells: &[u32]) -> Result<Vec<ArrayRef>, TaskError> {
        let keys: Vec<_> = cells.iter().map(|cell| self.heads[*cell as usize].key).collect();
        let groups_of: HashMap<u32, Vec<usize>> = match self.kept.iter().any(Option::is_some) {
            true => cells.iter().enumerate().map(|(group, cell)| (*cell, vec![group])).collect(),
            false => HashMap::default(),
        };
        let mut columns = Vec::new();
        for ((call, lasting), kept) in self.grouping.calls().iter().zip(&self.lasting).zip(&self.kept) {
            let result = match (lasting, kept) {
                (Some(lasting), _) => lasting.results(Some(cells)).and_then(|result| call.fitted(result)),
                (None, Some(kept)) => kept.results(call, &groups_of, cells.len()),
                (None, None) => Err(bug("an aggregate keeps something").into()),
            };
            columns.push(self.explained(result, call, &keys)?);
        }
        Ok(columns)
    }

    /// Results put together of parts and rows.
    pub(super) fn put_together(&self, wanted: &Wanted<'_>) -> Result<Vec<ArrayRef>, TaskError> {
        let groups: Vec<usize> = wanted.parts.iter().flat_map(|(_, groups)| groups.iter().copied()).collect();
        let total = wanted.keys.len();
        let mut next = 0;
        let mut columns = Vec::new();
        for (call, kept) in self.grouping.calls().iter().zip(&self.kept) {
            let result = if let Some(kept) = kept {
                kept.results(call, wanted.groups_of, total)
            } else {
                let width = call.recipe.state_types()?.len();
                let mut cells = call.recipe.transient()?;
                let states = (next..next + width).map(|i| together(wanted.parts.iter().map(|(p, _)| &p.states[i])));
                cells.merge(&states.collect::<Result<Vec<_>, _>>()?, &groups, total)?;
                next += width;
                cells.results(None).and_then(|result| call.fitted(result))
            };
            columns.push(self.explained(result, call, wanted.keys)?);
        }
        Ok(columns)
    }

    fn explained(
        &self,
        result: Result<ArrayRef, crate::operators::cells::CellError>,
        call: &CompiledCall,
        keys: &[u32],
    ) -> Result<ArrayRef, TaskError> {
        match result {
            Ok(result) => Ok(result),
            Err(error) => Err(explained(error, call, &self.key_columns(keys)?)),
        }
    }

    /// Drops forgotten cells where they are more than the others. The new number of each cell, where numbers changed.
    pub(super) fn compact(&mut self) -> Result<Option<Vec<Option<u32>>>, TaskError> {
        if self.dead == 0 || (self.dead < 1024 && self.dead < self.heads.len()) || self.dead * 2 < self.heads.len() {
            return Ok(None);
        }
        let living = self.living();
        let mut renumbered = vec![None; self.heads.len()];
        living.iter().enumerate().for_each(|(new, old)| renumbered[*old as usize] = Some(new as u32));
        for lasting in self.lasting.iter_mut().flatten() {
            lasting.keep(&living)?;
        }
        for (_, _, kept) in self.keeping() {
            kept.renumber(&renumbered)?;
        }
        self.heads = living.iter().map(|cell| self.heads[*cell as usize]).collect();
        let new = |cell: &u32| renumbered[*cell as usize];
        self.of_key.iter_mut().for_each(|cells| *cells = cells.iter().filter_map(new).collect());
        self.dead = 0;
        self.touched.renumber(|cell| renumbered[cell as usize]);
        Ok(Some(renumbered))
    }

    /// How much it holds.
    pub(super) fn held(&self) -> Held {
        let cells: usize = self.lasting.iter().flatten().map(|cells| cells.bytes()).sum();
        let kept: usize = self.kept.iter().flatten().map(Kept::bytes).sum();
        let lists = self.of_key.capacity() * size_of::<Vec<u32>>() + self.heads.len() * size_of::<u32>();
        let heads = self.heads.capacity() * size_of::<Head>();
        Held { keys: self.known.len(), bytes: self.known.bytes() + cells + kept + heads + lists, on_disk: 0 }
    }
}

/// Columns behind each other.
fn together<'a>(columns: impl Iterator<Item = &'a ArrayRef>) -> Result<ArrayRef, TaskError> {
    let columns: Vec<&dyn arrow::array::Array> = columns.map(AsRef::as_ref).collect();
    concat(&columns).map_err(bug)
}
