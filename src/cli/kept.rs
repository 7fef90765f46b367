//! The texts of a pipeline as a checkpoint keeps them, so that a restart knows what ran before, whatever became of the
//! files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use super::findings::{Findings, with_environment};
use crate::check::{Overrides, Program};
use crate::engine::Texts;
use crate::load;
use crate::plan::Catalog;
use crate::reload::drain::Until;

/// Texts and what was given to them from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The pipeline file first; each by its path from the pipeline's folder.
    files: Vec<(PathBuf, String)>,
    /// Parameters.
    set: Overrides,
    /// What ran before, where its windows have not all ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<Box<Before>>,
}

/// A text whose open windows end beside a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The text.
    pub(super) text: Kept,
    /// When each of its stages has ended.
    pub(super) until: Vec<Until>,
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
            beside: None,
        }
    }

    /// The same while windows of another text end beside it.
    pub(super) fn beside(self, text: Kept, until: Vec<Until>) -> Self {
        Kept { beside: Some(Box::new(Before { text, until })), ..self }
    }

    /// Without what runs beside it.
    pub(super) fn alone(self) -> Self {
        Kept { beside: None, ..self }
    }

    /// What runs beside it.
    pub(super) fn before(&self) -> Option<&Before> {
        self.beside.as_deref()
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and names are JSON")
    }

    /// From bytes; `Err` says what is wrong with them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// The text of the checkpoint in that folder.
    pub(super) fn of_checkpoint(bytes: &[u8], folder: &Path) -> Result<Self, Failure> {
        Kept::decode(bytes)
            .map_err(|why| Failure::new(format!("the text in `{}` cannot be read: {why}", folder.display())))
    }

    /// Texts that state was put aside with. Where one cannot be read any more, nobody takes that state back.
    pub(super) fn all_aside(texts: Texts) -> Vec<(String, Self)> {
        texts.into_iter().filter_map(|(name, text)| Some((name, Kept::decode(&text).ok()?))).collect()
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

    /// Its path from the pipeline's folder.
    pub(super) fn name(&self) -> &Path {
        self.files.first().map_or(Path::new("pipeline.stream"), |(path, _)| path)
    }

    /// What was given from outside.
    pub(super) fn set(&self) -> &Overrides {
        &self.set
    }
}
