//! The front of what a source would read, for formats that say which columns are in it (`schema: infer`).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Column;
use crate::plan::settings::Settings;

/// So many rows are looked at, in all samples together, where nobody says how many.
pub const SAMPLED_ROWS: usize = 10_000;

/// One file or message.
#[derive(Debug)]
pub struct Sample {
    /// Its path, for messages.
    pub place: String,
    /// Its first bytes, unpacked.
    pub front: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
    /// The file itself, for formats that hold an index; none where it is packed or no file.
    pub file: Option<File>,
    /// What the names of its folders say (`day=2026-01-01`), where these are columns.
    pub folders: Vec<String>,
}

/// Takes samples of what a source would read, given its settings and where relative paths start. `Err` says why there is
/// none.
pub type Look = fn(&Settings, &Path) -> Result<Vec<Sample>, String>;

/// Finds the columns of samples, of which there is at least one: at most so many rows are looked at. `Err` says why there
/// are none.
pub type Infer = fn(&Settings, &[Sample], usize) -> Result<Vec<Column>, String>;

/// Columns, and how many files were looked into.
pub type Found = (Vec<Column>, usize);

/// What was inferred once stays: a source has the same columns however often its text is checked, until the process ends.
#[derive(Debug, Clone, Default)]
pub struct Inferred {
    known: Arc<Mutex<BTreeMap<String, Found>>>,
}

impl Inferred {
    /// The columns of a source, found now if they were not before. `what` says which source it is, and what of it its
    /// columns depend on.
    pub fn of(&self, what: String, find: impl FnOnce() -> Result<Found, String>) -> Result<Found, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&what) {
            return Ok(found.clone());
        }
        let found = find()?;
        known.insert(what, found.clone());
        Ok(found)
    }
}
