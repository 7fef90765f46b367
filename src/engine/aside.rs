//! State whose stage an edit took away: it is kept for an hour, in the checkpoint too, should the stage come again.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use crate::engine::keyed::Keyed;
use crate::engine::program::{Program, Step};
use crate::engine::session::Session;
use crate::engine::snapshot::State;
use crate::plan::memory::Taking;
use crate::plan::operator::{Held, SavedTable, TaskError};

/// How long state is kept that nobody took over, in microseconds.
const KEPT: i64 = 3_600_000_000;

/// Among the tables that are put aside: since when, and the text in which its stage stood.
const NOTE: &str = "put_aside";

/// What was put aside of an operator.
pub(super) struct Aside {
    /// The operator's word.
    word: String,
    pub(super) what: What,
    /// Since when.
    since: i64,
    /// The text in which its stage stood last.
    text: Arc<[u8]>,
}

/// State that nobody has.
pub(super) enum What {
    /// In the tasks that had it.
    Tasks(Keyed),
    /// As it was found in a checkpoint.
    Tables(Vec<SavedTable>),
}

impl Aside {
    /// As tables that say all there is of it.
    fn saved(&self) -> Result<State, TaskError> {
        let mut tables = self.tables()?;
        tables.push(note(self.since, &self.text)?);
        Ok(State { word: self.word.clone(), tables })
    }

    /// From such tables.
    fn of(State { word, tables }: State) -> Result<Self, String> {
        let (tables, noted) = parted(tables);
        let (since, text) = noted.ok_or("nobody knows since when state is put aside")?;
        Ok(Aside { word, what: What::Tables(tables), since, text: text.into() })
    }

    /// What it remembers.
    pub(super) fn tables(&self) -> Result<Vec<SavedTable>, TaskError> {
        match &self.what {
            What::Tasks(tasks) => tasks.save(),
            What::Tables(tables) => Ok(tables.clone()),
        }
    }

    fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.since) >= KEPT
    }
}

/// The tables of something that was put aside, and what is noted of it: since when, and the text in which its stage
/// stood.
pub(super) fn parted(mut tables: Vec<SavedTable>) -> (Vec<SavedTable>, Option<(i64, Vec<u8>)>) {
    let note = tables.iter().position(|table| table.name == NOTE).map(|at| tables.remove(at));
    let noted = note.as_ref().and_then(read);
    (tables, noted)
}

fn note(since: i64, text: &[u8]) -> Result<SavedTable, TaskError> {
    let fields = vec![Field::new("since", DataType::Int64, false), Field::new("text", DataType::Binary, false)];
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![since])), Arc::new(BinaryArray::from(vec![text]))];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    let rows = rows.map_err(|e| TaskError::Bug(e.to_string()))?;
    Ok(SavedTable { name: NOTE.into(), identity: 0, rows: vec![rows] })
}

fn read(note: &SavedTable) -> Option<(i64, Vec<u8>)> {
    let rows = note.rows.iter().find(|rows| rows.num_rows() > 0)?;
    let since = rows.columns().first()?.as_primitive_opt::<Int64Type>()?.value(0);
    Some((since, rows.columns().get(1)?.as_binary_opt::<i32>()?.value(0).to_vec()))
}

impl Session {
    /// Keeps state that nobody took over: its stage may come again. `text`: what that program was made of.
    pub(super) fn put_aside(&mut self, old: Program, text: &[u8], taking: &Taking) {
        let now = self.now();
        self.aside.retain(|identity, aside| !aside.is_over(now) && !is_taken(identity, taking));
        let text: Arc<[u8]> = text.into();
        let Program { steps, nodes, .. } = old;
        for (node, keyed) in steps.into_iter().flat_map(Step::into_keyed) {
            if is_left(&nodes[node].identity, &keyed, taking) {
                let (identity, word) = (nodes[node].identity.clone(), nodes[node].word.clone());
                let aside = Aside { word, what: What::Tasks(keyed), since: now, text: Arc::clone(&text) };
                self.aside.insert(identity, aside);
            }
        }
    }

    /// What is put aside, as a checkpoint says it; with what will be, once the text that is tried stays.
    pub(super) fn saved_aside(&self) -> Result<Vec<(String, State)>, TaskError> {
        let all = self.aside.iter().map(|(identity, aside)| Ok((identity.clone(), aside.saved()?)));
        let mut all = all.collect::<Result<Vec<_>, TaskError>>()?;
        let Some((old, text, taking)) = self.first.as_deref().map(|first| first.before()) else { return Ok(all) };
        all.retain(|(identity, _)| !is_taken(identity, taking));
        for (node, keyed) in old.keyed() {
            let of = &old.nodes[node];
            if is_left(&of.identity, keyed, taking) {
                let mut tables = keyed.save()?;
                tables.push(note(self.now(), text)?);
                all.push((of.identity.clone(), State { word: of.word.clone(), tables }));
            }
        }
        Ok(all)
    }

    /// Takes what was put aside in a run before. What is put aside for too long goes with the first batch: an edit before
    /// it may take it back still.
    pub(super) fn find_aside(&mut self, saved: impl IntoIterator<Item = (String, State)>) -> Result<(), String> {
        for (identity, state) in saved {
            self.aside.insert(identity, Aside::of(state)?);
        }
        Ok(())
    }

    /// Whether state of an operator is put aside.
    pub fn has_aside(&self, identity: &str) -> bool {
        self.aside.contains_key(identity)
    }

    /// What was put aside for so long that nobody will take it back goes; the next commit says so.
    pub(super) fn forget_aside(&mut self) {
        if self.aside.is_empty() {
            return;
        }
        let now = self.now();
        let over: Vec<String> =
            self.aside.iter().filter(|(_, aside)| aside.is_over(now)).map(|(identity, _)| identity.clone()).collect();
        for identity in over {
            self.aside.remove(&identity);
            if let Some(durable) = &mut self.durable {
                durable.forgets(identity);
            }
        }
    }
}

fn is_taken(identity: &str, taking: &Taking) -> bool {
    taking.states.values().any(|(from, _)| from == identity)
}

/// Whether what an operator of an old program has is to be put aside.
fn is_left(identity: &str, keyed: &Keyed, taking: &Taking) -> bool {
    !is_taken(identity, taking) && !taking.over.contains(identity) && keyed.held() != Held::default()
}
