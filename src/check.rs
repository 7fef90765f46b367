//! Syntax trees and the catalog to a [`Plan`], or all the problems.
//!
//! One pass collects what names mean, the next types definitions, then sources, then chains in the order in which
//! they need each other. A mistake is reported where it is found and poisons what follows from it, so that it is
//! said once; everything else is still checked.

mod chains;
mod checker;
mod circles;
mod coerce;
mod definitions;
mod draft;
mod endpoints;
mod expressions;
mod habits;
mod header;
mod inferring;
mod inputs;
mod literals;
mod names;
mod options;
mod scenarios;
mod seat;
mod sinks;
mod stages;
mod substitute;
mod templates;
mod types;
mod unused;
mod walk;
mod windows;
mod written;

pub mod codes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_dsl::{Diagnostic, Edit, FileId, SourceMap, ast};

use crate::plan::scenario::Scenario;
use crate::plan::{Catalog, Plan, Settings};

pub use definitions::PARAM_VARIABLE_PREFIX;
pub use header::HEADER_OPTIONS;
pub(crate) use literals::duration_text;
pub use written::written;

/// A pipeline file and what it imports, read.
#[derive(Debug, Default)]
pub struct Program {
    /// Every text, for messages.
    pub sources: SourceMap,
    /// The pipeline file first; every import behind it, each once.
    pub files: Vec<ProgramFile>,
    /// Something could not be read and left no hole in a tree: what seems to be missing or unused may be there.
    pub incomplete: bool,
    /// What was inferred from outside when it was checked, as edits that write it into the texts.
    pub inferred: Vec<Edit>,
}

impl Program {
    /// A file's text with what was inferred written in.
    pub fn settled(&self, id: FileId) -> Option<String> {
        let mut text = self.sources.get(id)?.text.clone();
        let mut edits: Vec<_> = self.inferred.iter().filter(|edit| edit.span.file == id).collect();
        // From the end, so that places stay what they are.
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.span.start));
        for edit in edits {
            text.replace_range(edit.span.start as usize..edit.span.end as usize, &edit.replacement);
        }
        Some(text)
    }
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
    /// The settings of the `pipeline` statement by the names of [`HEADER_OPTIONS`], defaults put in.
    pub settings: Settings,
    /// The test blocks, in the order of the text; to be run when no problem is an error.
    pub tests: Vec<Scenario>,
}

/// Values given from outside: `--set name=value`, then the environment ([`PARAM_VARIABLE_PREFIX`]).
pub type Overrides = BTreeMap<String, String>;

/// Checks a program against the vocabulary.
pub fn check(program: &Program, catalog: &Catalog, overrides: &Overrides) -> Checked {
    let mut checker = checker::Checker::new(program, catalog, overrides);
    checker.collect_names();
    checker.resolve_types();
    checker.check_header();
    checker.check_definitions();
    let mut wiring = chains::Wiring::default();
    checker.plan_inputs(&mut wiring);
    checker.plan_chains(&mut wiring);
    wiring.plan.header = checker.header.to_plan();
    let tests = checker.check_scenarios(&wiring);
    checker.check_templates();
    checker.check_output();
    if !program.incomplete && !checker.problems.errors_since(0) {
        checker.warn_unused(&wiring);
    }
    let settings = std::mem::take(&mut checker.header.settings);
    Checked { plan: wiring.plan, problems: checker.problems.into_sorted(), settings, tests }
}
