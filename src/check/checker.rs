//! What every part of the checker shares: the program, the vocabulary, the names, the problems found so far.
//! Nothing here judges; the parts do.

use std::collections::{BTreeMap, BTreeSet};

use millstream_dsl::{Diagnostic, Span};

use crate::check::header::HeaderSettings;
use crate::check::names::Names;
use crate::check::{Overrides, Program};
use crate::model::Slot;
use crate::plan::{Catalog, TypedExpr};

/// The state of one check.
pub(super) struct Checker<'a> {
    pub(super) program: &'a Program,
    pub(super) catalog: &'a Catalog,
    pub(super) overrides: &'a Overrides,
    pub(super) problems: Problems,
    pub(super) names: Names<'a>,
    pub(super) header: HeaderSettings,
    /// Values of parameters, by name, typed once.
    pub(super) params: BTreeMap<String, TypedExpr>,
    /// Declared types, resolved once.
    pub(super) types: BTreeMap<String, Slot>,
    /// Results of functions of the user, typed once where they are defined.
    pub(super) fn_results: BTreeMap<String, Slot>,
    /// Names that something reads, for the warnings about those that nothing does.
    pub(super) used: BTreeSet<(Space, String)>,
}

/// The spaces in which names are unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// Sources, tables, streams and side outputs.
    Flow,
    /// `param` and `let`.
    Value,
    /// `fn`
    Function,
    /// `stage`
    Stage,
    /// `type`
    Type,
}

impl<'a> Checker<'a> {
    pub(super) fn new(program: &'a Program, catalog: &'a Catalog, overrides: &'a Overrides) -> Self {
        Checker {
            program,
            catalog,
            overrides,
            problems: Problems::default(),
            names: Names::default(),
            header: HeaderSettings::default(),
            params: BTreeMap::new(),
            types: BTreeMap::new(),
            fn_results: BTreeMap::new(),
            used: BTreeSet::new(),
        }
    }

    /// Keeps a mistake.
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.add(problem);
    }

    /// Remembers that something reads this name.
    pub(super) fn mark_used(&mut self, space: Space, name: &str) {
        if !self.used.contains(&(space, name.to_owned())) {
            self.used.insert((space, name.to_owned()));
        }
    }

    /// The text under a span.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.program.sources.slice(span)
    }

    /// In YAML a double-quoted scalar is a string, where people often mean an expression.
    pub(super) fn is_yaml_quoted(&self, span: Span) -> bool {
        self.is_yaml(span) && self.text(span).starts_with('"')
    }

    /// Whether a text is YAML.
    pub(super) fn is_yaml(&self, span: Span) -> bool {
        self.program.sources.get(span.file).is_some_and(|f| f.name.ends_with(".yaml") || f.name.ends_with(".yml"))
    }
}

/// The problems of a check, each once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Diagnostic>,
    seen: BTreeSet<(&'static str, Span, String)>,
}

impl Problems {
    pub(super) fn add(&mut self, problem: Diagnostic) {
        if self.seen.insert((problem.code, problem.span(), problem.message.clone())) {
            self.found.push(problem);
        }
    }

    /// How many there are: a mark to go back to.
    pub(super) fn mark(&self) -> usize {
        self.found.len()
    }

    /// Forgets what was found since `mark` and hands it over.
    pub(super) fn take_since(&mut self, mark: usize) -> Vec<Diagnostic> {
        let taken = self.found.split_off(mark);
        for problem in &taken {
            self.seen.remove(&(problem.code, problem.span(), problem.message.clone()));
        }
        taken
    }

    /// Whether an error was found since `mark`.
    pub(super) fn errors_since(&self, mark: usize) -> bool {
        self.found[mark..].iter().any(Diagnostic::is_error)
    }

    /// All, in the order of the text: the pipeline file first, then its imports.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by_key(|p| (p.span().file, p.span().start, p.span().end));
        found
    }
}

/// `a`, `b` and `c`, each in backticks.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    match &quoted[..] {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The first few of many names, for a help.
pub(super) fn some_of<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<_> = names.collect();
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}
