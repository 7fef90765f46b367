//! Windows that follow from time: the panes that hold rows, and the results of windows made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::{HashMap, HashSet};

use crate::operators::aggregate::store::{Part, Store, Wanted};
use crate::operators::aggregate::tree::{Panes, Tree};
use crate::operators::spans::{Spans, TimeSpan};
use crate::plan::operator::TaskError;

/// The panes that hold rows.
#[derive(Default)]
pub(super) struct Windows {
    /// By their numbers.
    panes: BTreeMap<i64, Pane>,
    tree: Tree,
}

struct Pane {
    start: i64,
    /// In the order of their making.
    cells: Vec<u32>,
}

/// Results, each with its window and the number of its key.
#[derive(Default)]
pub(super) struct Raw {
    pub(super) spans: Vec<TimeSpan>,
    pub(super) keys: Vec<u32>,
    pub(super) columns: Vec<ArrayRef>,
}

impl Windows {
    /// The cell of a key in the pane that starts there; new where there is none.
    pub(super) fn cell(&mut self, spans: &Spans, store: &mut Store, key: u32, pane: TimeSpan) -> u32 {
        let number = spans.pane_number(pane.start);
        self.tree.changed(number);
        if let Some(cell) = store.cell(key, pane.start) {
            return cell;
        }
        let cell = store.add(key, pane.start, pane.end);
        self.note(spans, pane.start, cell);
        cell
    }

    fn note(&mut self, spans: &Spans, start: i64, cell: u32) {
        let pane = self.panes.entry(spans.pane_number(start)).or_insert(Pane { start, cells: Vec::new() });
        pane.cells.push(cell);
    }

    /// Looks for the panes anew, after cells were loaded or got other numbers.
    pub(super) fn rebuild(&mut self, spans: &Spans, store: &Store) {
        self.panes.clear();
        for cell in store.living() {
            self.note(spans, store.heads[cell as usize].start, cell);
        }
    }

    /// The windows that hold rows and end in `(after, until]`, by their ends.
    pub(super) fn ending(&self, spans: &Spans, after: i64, until: i64) -> Vec<TimeSpan> {
        let mut found = Vec::new();
        let mut covered = after;
        for pane in self.panes.values() {
            let (Some(first), Some(last)) = (spans.first_end(pane.start), spans.last_end(pane.start)) else { continue };
            if first > until {
                break;
            }
            let (from, to) = (covered.max(first.saturating_sub(1)), until.min(last));
            if from < to {
                found.extend(spans.ending(from, to));
                covered = covered.max(to);
            }
        }
        found
    }

    /// The results of whole windows.
    pub(super) fn results(&mut self, spans: &Spans, store: &Store, windows: &[TimeSpan]) -> Result<Raw, TaskError> {
        if spans.back_to_back() {
            return self.of_panes(spans, store, windows);
        }
        let mut raw = Raw::default();
        let mut parts: Vec<(Arc<Part>, Vec<usize>)> = Vec::new();
        let mut groups_of: HashMap<u32, Vec<usize>> = HashMap::default();
        let mut numbers: HashMap<u32, usize> = HashMap::default();
        let keeps_rows = store.kept().next().is_some();
        for window in windows {
            let (from, to) = (spans.pane_number(window.start), spans.pane_number(window.end));
            let source = Source { panes: &self.panes, store };
            let of_window = self.tree.parts(from, to, &source)?;
            numbers.clear();
            for part in of_window {
                let group = |key: &u32| {
                    *numbers.entry(*key).or_insert_with(|| {
                        raw.spans.push(*window);
                        raw.keys.push(*key);
                        raw.keys.len() - 1
                    })
                };
                let groups = part.keys.iter().map(group).collect();
                parts.push((part, groups));
            }
            if keeps_rows {
                for cell in self.panes.range(from..to).flat_map(|(_, pane)| &pane.cells) {
                    let group = numbers[&store.heads[*cell as usize].key];
                    groups_of.entry(*cell).or_default().push(group);
                }
            }
        }
        if !raw.keys.is_empty() {
            raw.columns = store.put_together(&Wanted { keys: &raw.keys, parts: &parts, groups_of: &groups_of })?;
        }
        Ok(raw)
    }

    /// Where every window is a pane.
    fn of_panes(&self, spans: &Spans, store: &Store, windows: &[TimeSpan]) -> Result<Raw, TaskError> {
        let mut raw = Raw::default();
        let mut cells = Vec::new();
        for window in windows {
            let pane = self.panes.get(&spans.pane_number(window.start));
            for cell in pane.into_iter().flat_map(|pane| &pane.cells) {
                raw.spans.push(*window);
                raw.keys.push(store.heads[*cell as usize].key);
                cells.push(*cell);
            }
        }
        if !cells.is_empty() {
            raw.columns = store.results(&cells)?;
        }
        Ok(raw)
    }

    /// The windows and keys whose results may have changed with these cells, of windows that end in `(after, until]`.
    pub(super) fn touched(spans: &Spans, store: &Store, cells: &[u32], after: i64, until: i64) -> Vec<(TimeSpan, u32)> {
        let mut found: BTreeMap<TimeSpan, Vec<u32>> = BTreeMap::new();
        let mut seen: HashSet<(TimeSpan, u32)> = HashSet::default();
        for cell in cells {
            let head = &store.heads[*cell as usize];
            if !head.alive {
                continue;
            }
            for window in spans.containing(head.start) {
                if window.end > after && window.end <= until && seen.insert((window, head.key)) {
                    found.entry(window).or_default().push(head.key);
                }
            }
        }
        found.into_iter().flat_map(|(window, keys)| keys.into_iter().map(move |key| (window, key))).collect()
    }

    /// The results of some keys in some windows.
    pub(super) fn some_results(store: &Store, wanted: &[(TimeSpan, u32)]) -> Result<Raw, TaskError> {
        let mut raw = Raw::default();
        let (mut cells, mut groups) = (Vec::new(), Vec::new());
        let mut groups_of: HashMap<u32, Vec<usize>> = HashMap::default();
        for (group, (window, key)) in wanted.iter().enumerate() {
            raw.spans.push(*window);
            raw.keys.push(*key);
            let of_key = store.cells_of(*key);
            let from = of_key.partition_point(|cell| store.heads[*cell as usize].start < window.start);
            for cell in &of_key[from..] {
                if store.heads[*cell as usize].start >= window.end {
                    break;
                }
                cells.push(*cell);
                groups.push(group);
                groups_of.entry(*cell).or_default().push(group);
            }
        }
        if !wanted.is_empty() {
            let parts = [(Arc::new(store.part(&cells)?), groups)];
            raw.columns = store.put_together(&Wanted { keys: &raw.keys, parts: &parts, groups_of: &groups_of })?;
        }
        Ok(raw)
    }

    /// Forgets the panes whose last window has ended by then.
    pub(super) fn evict(&mut self, spans: &Spans, store: &mut Store, until: i64) {
        while let Some(first) = self.panes.first_entry()
            && spans.last_end(first.get().start).is_none_or(|end| end <= until)
        {
            let (number, pane) = first.remove_entry();
            pane.cells.iter().for_each(|cell| store.expire(*cell));
            self.tree.changed(number);
        }
    }
}

struct Source<'a> {
    panes: &'a BTreeMap<i64, Pane>,
    store: &'a Store,
}

impl Panes for Source<'_> {
    fn any(&self, from: i64, to: i64) -> bool {
        self.panes.range(from..to).next().is_some()
    }

    fn pane(&self, number: i64) -> Result<Option<Arc<Part>>, TaskError> {
        self.panes.get(&number).map(|pane| self.store.part(&pane.cells).map(Arc::new)).transpose()
    }

    fn merged(&self, parts: &[Arc<Part>]) -> Result<Part, TaskError> {
        self.store.merged(parts)
    }
}
