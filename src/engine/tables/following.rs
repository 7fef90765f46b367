//! State that is followed from batch to batch by its changes, and held against what would be saved: for tests of
//! operators.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use crate::engine::EngineError;
use crate::engine::failure::{Failure, at};
use crate::engine::program::Step;
use crate::engine::session::Session;
use crate::engine::snapshot::{Snapshot, State};
use crate::engine::tables::keys::{Keys, bug};
use crate::engine::tables::merged;
use crate::plan::operator::{SavedTable, TaskError};

impl Session {
    /// From now on every operator notes what changes in its state. What is saved here is what it starts from.
    #[doc(hidden)]
    pub fn follow(&mut self) -> Result<Vec<u8>, EngineError> {
        self.program.track();
        self.save()
    }

    /// Everything it remembers, the state of operators made of what it was and of what they say has changed since;
    /// `Err` where that is not what they would save.
    #[doc(hidden)]
    pub fn followed(&mut self, before: &[u8]) -> Result<Vec<u8>, EngineError> {
        let broken = |why: String| Failure { node: 0, error: TaskError::Bug(why) };
        let read = |bytes: &[u8]| Snapshot::decode(bytes).map_err(broken);
        let now = self.save()?;
        let (mut before, mut now) = match (read(before), read(&now)) {
            (Ok(before), Ok(now)) => (before, now),
            (Err(failure), _) | (_, Err(failure)) => return Err(self.failed(failure)),
        };
        let mut failed = None;
        for step in &mut self.program.steps {
            let Step::Compute(stage) = step else { continue };
            for (node, keyed) in stage.then.iter_mut().chain(&mut stage.also) {
                let of = &self.program.nodes[*node];
                let was = before.states.remove(&of.identity).map(|state| state.tables).unwrap_or_default();
                let saved = now.states.remove(&of.identity).map(|state| state.tables).unwrap_or_default();
                let made = keyed.changes().and_then(|changes| merged(was, changes));
                match made.and_then(|made| equal(&made, &saved).map(|()| made)).map_err(at(*node)) {
                    Ok(tables) if tables.is_empty() => {}
                    Ok(tables) => {
                        now.states.insert(of.identity.clone(), State { word: of.word.clone(), tables });
                    }
                    Err(failure) => failed = Some(failure),
                }
            }
        }
        match failed {
            Some(failure) => Err(self.failed(failure)),
            None => now.encode().map_err(|why| self.failed(broken(why))),
        }
    }
}

/// Whether two states have the same rows, by identity; a table without rows is like none.
pub(crate) fn equal(made: &[SavedTable], saved: &[SavedTable]) -> Result<(), TaskError> {
    let of = |tables: &[SavedTable], name: &str| match tables.iter().find(|table| table.name == name) {
        Some(table) => by_identity(table),
        None => Ok(None),
    };
    for table in made.iter().chain(saved) {
        let (made, saved) = (of(made, &table.name)?, of(saved, &table.name)?);
        if made != saved {
            let shown = |rows: Option<RecordBatch>| {
                let rows: Vec<_> = rows.into_iter().collect();
                arrow::util::pretty::pretty_format_batches(&rows).map_or_else(|e| e.to_string(), |t| t.to_string())
            };
            let (made, saved) = (shown(made), shown(saved));
            return Err(bug(format!("changes make `{}`\n{made}\nand it would be saved as\n{saved}", table.name)));
        }
    }
    Ok(())
}

/// The rows in the order of their identities; `Err` where two have the same one.
fn by_identity(table: &SavedTable) -> Result<Option<RecordBatch>, TaskError> {
    let Some(first) = table.rows.first() else { return Ok(None) };
    let rows = concat_batches(&first.schema(), &table.rows).map_err(bug)?;
    let keys = Keys::new(&rows, table.identity)?.of(&rows)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    if let Some(twins) = order.windows(2).find(|pair| keys.row(pair[0] as usize) == keys.row(pair[1] as usize)) {
        let shown = arrow::util::pretty::pretty_format_batches(&[rows.slice(twins[0] as usize, 1)]);
        let shown = shown.map_or_else(|e| e.to_string(), |text| text.to_string());
        return Err(bug(format!("two rows of `{}` are known by the same columns\n{shown}", table.name)));
    }
    let rows = take_record_batch(&rows, &UInt32Array::from(order)).map_err(bug)?;
    Ok((rows.num_rows() > 0).then_some(rows))
}
