//! The texts of a pipeline as a checkpoint keeps them, so that a restart knows what ran before, whatever became of the
//! files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::findings::{Findings, with_environment};
use crate::check::{Overrides, Program};
use crate::load;
use crate::plan::Catalog;
use crate::reload::Taking;
use crate::reload::drain::{Beside, beside};

/// Texts and what was given to them from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The pipeline file first; each by its path from the pipeline's folder.
    files: Vec<(PathBuf, String)>,
    /// Parameters.
    set: Overrides,
    /// The text before runs beside it until its windows have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<Before>>,
}

/// What ran before and still does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    text: Kept,
    /// The stages whose windows end by it.
    drains: BTreeSet<String>,
    /// The newest time of each source when the new text came.
    newest: BTreeMap<String, Option<i64>>,
}

impl Kept {
    /// What was read, with what was inferred.
    pub(super) fn of(program: &Program, overrides: &Overrides) -> Self {
        let folder = program.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new(""));
        let text = |file: &crate::check::ProgramFile| {
            let path = file.path.strip_prefix(folder).unwrap_or(&file.path).to_path_buf();
            (path, program.settled(file.id).unwrap_or_default())
        };
        Kept {
            files: program.files.iter().map(text).collect(),
            set: with_environment(program, overrides),
            before: None,
        }
    }

    /// With the text before, which runs beside it.
    pub(super) fn beside(
        mut self,
        text: Kept,
        drains: BTreeSet<String>,
        newest: BTreeMap<String, Option<i64>>,
    ) -> Self {
        self.before = Some(Box::new(Before { text, drains, newest }));
        self
    }

    /// The text alone.
    pub(super) fn alone(&self) -> Self {
        Kept { before: None, ..self.clone() }
    }

    /// The plan in which both texts run, and until when; none where it is one text. `Err`: they cannot be put together by
    /// this version.
    pub(super) fn both(&self, file: &Path, catalog: &Catalog) -> Option<Result<Beside, String>> {
        let Before { text, drains, newest } = self.before.as_deref()?;
        let (Some(old), Some(new)) = (text.find(file, catalog).plan, self.find(file, catalog).plan) else {
            return Some(Err("a text has mistakes for this version".into()));
        };
        let taking = Taking { drains: drains.clone(), ..Taking::default() };
        Some(beside(old, new, &taking, &|source| newest.get(source).copied().flatten()))
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and names are JSON")
    }

    /// From bytes; `Err` says what is wrong with them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// Checked as if they lay where the pipeline lies now.
    pub(super) fn find(&self, file: &Path, catalog: &Catalog) -> Findings {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut texts: Vec<_> = self.files.iter().map(|(path, text)| (folder.join(path), text.clone())).collect();
        if let Some((path, _)) = texts.first_mut() {
            *path = file.to_path_buf();
        }
        Findings::of(load::kept(&texts), catalog, &self.set)
    }

    /// What was given from outside.
    pub(super) fn set(&self) -> &Overrides {
        &self.set
    }
}
