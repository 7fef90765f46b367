//! A pipeline file read and checked, and everything that was found: what `check` reports and `run` starts from.

use std::path::Path;

use millstream_dsl::{Diagnostic, Severity, SourceMap, ast};

use super::Exit;
use super::report::{Look, render};
use super::terminal::Terminal;
use crate::check::{Overrides, PARAM_VARIABLE_PREFIX, Program};
use crate::load::{self, Form};
use crate::plan::scenario::Scenario;
use crate::plan::{Catalog, Plan};

/// More are counted, but not shown: nobody reads on.
const SHOWN: usize = 100;

/// What was found in a file and its imports.
pub(crate) struct Findings {
    /// What was read.
    pub(crate) program: Program,
    /// The pipeline; none where the file could not be read.
    pub(crate) plan: Option<Plan>,
    /// Its test blocks.
    pub(crate) tests: Vec<Scenario>,
    /// Mistakes and warnings, in the order of the text.
    pub(crate) problems: Vec<Diagnostic>,
}

/// How many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// What keeps the pipeline from running.
    pub(crate) errors: usize,
    /// What does not.
    pub(crate) warnings: usize,
}

/// Reads and checks a file.
pub(crate) fn find(path: &Path, catalog: &Catalog, overrides: &Overrides) -> Findings {
    let mut found = Findings::of(load::program(path), catalog, overrides);
    if let Some(plan) = &found.plan {
        found.problems.extend(load::unmatched_patterns(plan, catalog));
        found.problems.sort_by_key(|problem| (problem.span().file, problem.span().start));
    }
    found
}

/// The plan of texts that were read and have no mistakes, once more: a plan cannot be copied.
pub(crate) fn plan_of(program: &Program, catalog: &Catalog, overrides: &Overrides) -> Plan {
    crate::check::check(program, catalog, &with_environment(program, overrides)).plan
}

/// The values given on the command line, then those that the environment has for further parameters.
pub(crate) fn with_environment(program: &Program, given: &Overrides) -> Overrides {
    let mut overrides = given.clone();
    for statement in program.files.iter().flat_map(|file| &file.tree.statements) {
        if let ast::StatementKind::Param { name, .. } = &statement.kind
            && !given.contains_key(&name.name)
            && let Ok(value) = std::env::var(format!("{PARAM_VARIABLE_PREFIX}{}", name.name.to_uppercase()))
        {
            overrides.insert(name.name.clone(), value);
        }
    }
    overrides
}

impl Findings {
    /// Checks what was read.
    pub(super) fn of(read: (Program, Vec<Diagnostic>), catalog: &Catalog, overrides: &Overrides) -> Self {
        let (mut program, mut problems) = read;
        if program.files.is_empty() {
            return Findings { program, plan: None, tests: Vec::new(), problems };
        }
        let checked = crate::check::check(&program, catalog, &with_environment(&program, overrides));
        let notes = checked.problems.iter().filter(|problem| problem.severity == Severity::Note);
        program.inferred = notes.flat_map(|note| note.edits.clone()).collect();
        problems.extend(checked.problems);
        problems.sort_by_key(|problem| (problem.span().file, problem.span().start));
        Findings { program, plan: Some(checked.plan), tests: checked.tests, problems }
    }

    /// How many mistakes and warnings.
    pub(crate) fn counts(&self) -> Counts {
        let count = |severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        Counts { errors: count(Severity::Error), warnings: count(Severity::Warning) }
    }

    /// What was found out and is no mistake, as text.
    pub(crate) fn notes(&self, look: Look) -> String {
        let notes: Vec<_> =
            self.problems.iter().filter(|problem| problem.severity == Severity::Note).cloned().collect();
        render_all(&notes, &self.program.sources, look)
    }

    /// The plan where there are no mistakes; else they are printed beside the output, and the exit code is left.
    pub(crate) fn plan_or_complain(self, terminal: &mut Terminal) -> Result<Plan, Exit> {
        let exit = self.exit(false);
        if self.counts().errors > 0 {
            let said = self.text(terminal.error_look);
            terminal.aside(&said);
            return Err(exit);
        }
        self.plan.ok_or(exit)
    }

    /// What the findings mean for the exit code.
    pub(crate) fn exit(&self, deny_warnings: bool) -> Exit {
        let Counts { errors, warnings } = self.counts();
        match &self.plan {
            None => Exit::Unreadable,
            Some(_) if errors > 0 || (deny_warnings && warnings > 0) => Exit::Mistakes,
            Some(_) => Exit::Clean,
        }
    }

    /// Every problem as text.
    pub(crate) fn text(&self, look: Look) -> String {
        render_all(&self.problems, &self.program.sources, look)
    }
}

/// A file by itself, without its imports: what `fmt` and `convert` work on.
pub(crate) struct Single {
    /// As it was read.
    pub(crate) text: String,
    /// What it says; whole, because a file with mistakes in its syntax is not given out.
    pub(crate) tree: ast::File,
}

/// Reads a file by itself. What keeps it from being read is printed, and what is left is the exit code.
pub(crate) fn single(path: &Path, form: Form, terminal: &mut Terminal) -> Result<Single, Exit> {
    let mut sources = SourceMap::new();
    let (problems, exit) = match load::read_text(path) {
        Err(refused) => (vec![refused.diagnostic(&mut sources, path)], Exit::Unreadable),
        Ok(text) => {
            let id = sources.add(path.display().to_string(), text.as_str());
            let parsed = load::parse(&text, id, form);
            if !parsed.problems.iter().any(Diagnostic::is_error) {
                return Ok(Single { text, tree: parsed.tree });
            }
            (parsed.problems, Exit::Mistakes)
        }
    };
    let said = render_all(&problems, &sources, terminal.error_look);
    terminal.aside(&said);
    Err(exit)
}

/// Problems as text; very many are cut short.
pub(crate) fn render_all(problems: &[Diagnostic], sources: &SourceMap, look: Look) -> String {
    let mut text: String = problems.iter().take(SHOWN).map(|problem| render(problem, sources, look)).collect();
    if problems.len() > SHOWN {
        text.push_str(&format!("... and {} more; --format json has them all\n\n", problems.len() - SHOWN));
    }
    text
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = |n: usize| if n == 1 { "" } else { "s" };
        write!(f, "{} error{}, {} warning{}", self.errors, s(self.errors), self.warnings, s(self.warnings))
    }
}
