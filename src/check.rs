//! Syntax trees and the catalog to a [`Plan`], or all the problems.

pub mod codes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_dsl::{Diagnostic, FileId, SourceMap, ast};

use crate::plan::Plan;

/// A pipeline file and what it imports, read.
#[derive(Debug, Default)]
pub struct Program {
    /// Every text, for messages.
    pub sources: SourceMap,
    /// The pipeline file first; every import behind it, each once.
    pub files: Vec<ProgramFile>,
}

/// One file of a [`Program`].
#[derive(Debug)]
pub struct ProgramFile {
    /// Its text in `sources`.
    pub id: FileId,
    /// Where it lies; relative paths in it start from its folder.
    pub path: PathBuf,
    /// What it says.
    pub tree: ast::File,
    /// For each of its import statements in order: the position in [`Program::files`], none where it could not be read.
    pub imports: Vec<Option<usize>>,
}

/// What the checker found out.
#[derive(Debug)]
pub struct Checked {
    /// The pipeline; only to be run when no problem is an error.
    pub plan: Plan,
    /// Everything that is wrong, in the order of the text.
    pub problems: Vec<Diagnostic>,
}

/// Values given from outside: `--set name=value`, then the environment.
pub type Overrides = BTreeMap<String, String>;
