//! What a pipeline's checkpoint knows a program's text by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{Overrides, Program};
use crate::engine::{Checkpoint, EngineError, Start};
use crate::journal::RealDisk;
use crate::plan::Plan;
use crate::plan::operator::TaskError;

/// The texts of a pipeline, and where it lies.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    text: Vec<u8>,
}

impl Kept {
    /// Of what was read, with the values of its parameters.
    pub(super) fn of(program: &Program, parameters: &Overrides) -> Self {
        let folder = program.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("")).to_path_buf();
        let mut text: String = program.sources.iter().map(|(_, file)| format!("{}\n", file.text)).collect();
        text.extend(parameters.iter().map(|(name, value)| format!("-- {name} = {value}\n")));
        Kept { folder, text: text.into_bytes() }
    }

    /// Where the pipeline goes on; none where it has no checkpoint. One that another text was run by is refused: what that
    /// means for state is for people to say.
    pub(super) fn checkpoint(&self, plan: &Plan) -> Option<Result<Start, EngineError>> {
        let folder = self.folder.join(plan.header.checkpoint.as_ref()?);
        let stop = |why: String| EngineError::Failed {
            batch: 0,
            place: format!("the checkpoint of `{}`", plan.header.name),
            span: <_>::default(),
            error: TaskError::Stop(why),
        };
        let opened = Checkpoint::open(Arc::new(RealDisk), &folder, &plan.header.name);
        let opened = opened.map_err(|trouble| stop(trouble.to_string())).and_then(|checkpoint| {
            if checkpoint.text().is_some_and(|before| before != self.text) {
                let why = "the pipeline's text has changed since the last run; run the old text, or begin with another \
                           `checkpoint`";
                return Err(stop(why.into()));
            }
            Ok(Start { checkpoint, text: self.text.clone(), changed: None })
        });
        Some(opened)
    }
}
