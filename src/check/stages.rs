//! The shape of a stage, compared with its entry: word, modifier, arguments, names, clauses, options.

use std::sync::Arc;

use millstream_dsl::ast::{ClauseKind, ExprKind, Fate, JoinWord, Stage};
use millstream_dsl::{Diagnostic, Span, suggest};

use crate::check::checker::{Checker, listed};
use crate::check::options::Around;
use crate::plan::Settings;
use crate::plan::catalog::{Names, StageEntry, find};

/// What people write for stages elsewhere, where no entry has it as an alias.
const OTHER_WORDS: [(&str, &str); 26] = [
    ("filter", "where"),
    ("having", "where"),
    ("map", "select"),
    ("project", "select"),
    ("flatmap", "explode"),
    ("unnest", "explode"),
    ("groupby", "aggregate"),
    ("group", "aggregate"),
    ("group_by", "aggregate"),
    ("agg", "aggregate"),
    ("reducebykey", "aggregate"),
    ("countbyvalue", "aggregate"),
    ("updatestatebykey", "aggregate"),
    ("mapwithstate", "fold"),
    ("withcolumn", "extend"),
    ("set", "extend"),
    ("withcolumnrenamed", "rename"),
    ("orderby", "sort"),
    ("order_by", "sort"),
    ("order", "sort"),
    ("unionall", "union"),
    ("dropduplicates", "dedupe"),
    ("merge", "join"),
    ("lookup", "join"),
    ("print", "tap"),
    ("foreachrdd", "tap"),
];

/// The words of side outputs' fates, by clause.
const FATES: [(&str, &[&str]); 4] =
    [("late", &["drop"]), ("bad", &["drop", "fail"]), ("rejected", &["fail", "drop"]), ("else", &["drop"])];

impl Checker<'_> {
    /// The entry of a stage and its options; none where nothing can be made of the stage (reported).
    pub(super) fn shaped(&mut self, stage: &Stage) -> Option<(Arc<StageEntry>, Settings)> {
        let entry = match self.catalog.stages.iter().find(|e| e.doc.name == stage.name.name) {
            Some(entry) => entry.clone(),
            None => {
                let problem = self.unknown_stage(stage);
                self.report(problem);
                return None;
            }
        };
        if self.window_among_keys(stage) || self.using_meant(stage, &entry) {
            return None;
        }
        self.check_modifier(stage, &entry);
        let mut fits = self.check_arity(stage, &entry);
        fits &= self.check_arg_names(stage, &entry);
        self.check_clauses(stage, &entry);
        fits = fits && self.has_required_clauses(stage, &entry);
        let settings = self.stage_options(stage, &entry);
        fits.then_some((entry, settings))
    }

    fn unknown_stage(&self, stage: &Stage) -> Diagnostic {
        let (name, at) = (stage.name.name.as_str(), stage.name.at.0);
        let problem = Diagnostic::error("unknown-stage", at, format!("stage `{name}` does not exist"));
        let lower = name.to_lowercase();
        let alias = self.catalog.stages.iter().find(|e| e.doc.aliases.iter().any(|a| a.to_lowercase() == lower));
        let other = OTHER_WORDS.iter().find(|(word, _)| *word == lower).map(|(_, here)| *here);
        if let Some(here) = alias.map(|e| e.doc.name.as_str()).or(other) {
            let problem = problem.label(format!("called `{here}` here"));
            return match self.same_stage(stage, here) {
                Some(right) => problem.help(format!("write:\n  |> {right}")).edit(stage.at.0, right),
                None => problem.help(format!("write:\n  |> {}", usage_of(self, here))).edit(at, here),
            };
        }
        if find(&self.catalog.sinks, name).is_some() {
            return Diagnostic::error("misplaced-call", at, format!("`{name}` is a sink, not a stage"))
                .label("ends a chain")
                .help(format!("write it as a statement of its own:\n  from ... |> into {name}"));
        }
        if find(&self.catalog.functions, name).is_some() || find(&self.catalog.aggregates, name).is_some() {
            return Diagnostic::error("misplaced-call", at, format!("`{name}` is a function, not a stage"))
                .label("computes a value")
                .help(format!("use it in a stage:\n  |> extend x = {name}(...)"));
        }
        let words = self.catalog.stages.iter().map(|e| e.doc.name.as_str());
        let own = self.names.stages.keys().map(String::as_str);
        match suggest::closest(name, words.chain(own)) {
            Some(close) => problem.label("not known").help(format!("did you mean `{close}`?")).edit(at, close),
            None => problem.label("not known").help("`millstream list stages` shows all there are"),
        }
    }

    fn check_modifier(&mut self, stage: &Stage, entry: &StageEntry) {
        let Some(modifier) = stage.modifier.filter(|_| !entry.modifiers) else { return };
        let length = u32::try_from(modifier.word().len()).unwrap_or_default();
        let at = Span { end: (stage.at.start + length).min(stage.at.end), ..stage.at.0 };
        let joins = JoinWord::ALL.map(|(_, word)| word).join("`, `");
        let message = format!("`{}` does not go with stage `{}`", modifier.word(), entry.doc.name);
        self.report(
            Diagnostic::error("misplaced-modifier", at, message)
                .label("takes no such word")
                .help(format!("`{joins}` stand before `join` only")),
        );
    }

    fn check_arity(&mut self, stage: &Stage, entry: &StageEntry) -> bool {
        let (count, arity) = (stage.args.len(), entry.arity);
        let help = format!("it is written like this:\n  |> {}", entry.doc.usage);
        if count < arity.min {
            let what = if arity.min == 1 { "an argument".into() } else { format!("{} arguments", arity.min) };
            let message = format!("stage `{}` needs {what}", entry.doc.name);
            self.report(
                Diagnostic::error("missing-argument", stage.name.at.0, message)
                    .label("nothing to work with")
                    .help(help),
            );
            return false;
        }
        if let Some(extra) = stage.args.get(arity.max) {
            let takes = match arity.max {
                0 => "no arguments".into(),
                1 => "one argument".into(),
                n => format!("at most {n} arguments"),
            };
            let message = format!("stage `{}` takes {takes}", entry.doc.name);
            self.report(
                Diagnostic::error("too-many-arguments", extra.value.at.0, message).label("too much").help(help),
            );
            return false;
        }
        true
    }

    fn check_arg_names(&mut self, stage: &Stage, entry: &StageEntry) -> bool {
        let mut fits = true;
        for arg in &stage.args {
            match (entry.arity.names, arg.names.first()) {
                (Names::Never, Some(name)) => {
                    let value = self.text(arg.value.at.0);
                    let is_comparison = name.at.start < arg.value.at.start;
                    let message = format!("the argument of `{}` has no name", entry.doc.name);
                    let problem = match is_comparison {
                        true => self.equals_sign(name, arg.value.at.0, value),
                        false => {
                            let behind = arg.value.at.0.after().to(name.at.0);
                            let problem = Diagnostic::error("wrong-argument", name.at.0, message).label("a name");
                            problem.help("leave it out").edit(behind, "")
                        }
                    };
                    self.report(problem);
                    fits = false;
                }
                (Names::Always | Names::Streams, None) if !matches!(arg.value.kind, ExprKind::Broken) => {
                    let value = self.text(arg.value.at.0);
                    let message = format!("each argument of `{}` needs a name", entry.doc.name);
                    let problem =
                        Diagnostic::error("unnamed-column", arg.value.at.0, message).label("what is it called?");
                    self.report(problem.help(format!("name it:\n  |> {} value = {value}", entry.doc.name)));
                    fits = false;
                }
                _ => {}
            }
        }
        fits
    }

    fn check_clauses(&mut self, stage: &Stage, entry: &StageEntry) {
        for (i, clause) in stage.clauses.iter().enumerate() {
            let word = clause.kind.word();
            if let Some(first) = stage.clauses[..i].iter().find(|c| c.kind.word() == word) {
                let message = format!("clause `{word}` stands here twice");
                let first = first.at.0;
                self.report(
                    Diagnostic::error("duplicate-clause", clause.at.0, message)
                        .label("again")
                        .also(first, "first here"),
                );
            }
            if !self.takes_clause(entry, &clause.kind) {
                self.misplaced_clause(clause, entry);
            }
            self.check_fate(clause, None);
        }
    }

    fn takes_clause(&self, entry: &StageEntry, kind: &ClauseKind) -> bool {
        match kind {
            // Whatever can fail can send rows aside; whether this one can is known when it is typed.
            ClauseKind::Bad(_) => true,
            ClauseKind::With(_) if !(entry.options.is_empty() && entry.state_options().is_empty()) => true,
            kind => entry.clauses.iter().any(|c| c.word == kind.word()),
        }
    }

    fn misplaced_clause(&mut self, clause: &millstream_dsl::ast::Clause, entry: &StageEntry) {
        let (word, name) = (clause.kind.word(), &entry.doc.name);
        let problem = match &clause.kind {
            ClauseKind::Late(_) | ClauseKind::Else(_) | ClauseKind::Rejected(_) => {
                let message = format!("stage `{name}` has no {word} rows");
                Diagnostic::error("side-output-misuse", clause.at.0, message).label("never gets a row")
            }
            _ => Diagnostic::error("misplaced-clause", clause.at.0, format!("stage `{name}` takes no clause `{word}`"))
                .label("not taken"),
        };
        let takers: Vec<_> = self
            .catalog
            .stages
            .iter()
            .filter(|e| e.clauses.iter().any(|c| c.word == word))
            .map(|e| e.doc.name.clone())
            .collect();
        let help = match (&takers[..], &entry.clauses[..]) {
            ([], _) => "leave it out".to_owned(),
            (takers, []) => format!("`{word}` belongs to {}", listed(takers)),
            (_, clauses) => {
                let words: Vec<_> = clauses.iter().map(|c| c.word).collect();
                format!("its clauses are {}", listed(&words))
            }
        };
        self.report(problem.help(help));
    }

    /// `drop`, `fail`, `null`: which words a clause knows. Sources know `bad null` as well.
    pub(super) fn check_fate(&mut self, clause: &millstream_dsl::ast::Clause, more: Option<&'static str>) {
        let (ClauseKind::Late(fate) | ClauseKind::Bad(fate) | ClauseKind::Rejected(fate) | ClauseKind::Else(fate)) =
            &clause.kind
        else {
            return;
        };
        let Fate::Word(word) = fate else { return };
        let kind = clause.kind.word();
        let known = FATES.iter().find(|(clause, _)| *clause == kind).map_or(&[][..], |(_, words)| words);
        let mut known = known.iter().copied().chain(more);
        if known.clone().any(|k| k == word.name) {
            return;
        }
        let problem =
            Diagnostic::error("unknown-symbol", word.at.0, format!("`{kind} {}` means nothing here", word.name));
        let ways: Vec<_> = known.by_ref().map(|k| format!("{kind} {k}")).collect();
        let help = format!(
            "name a stream for these rows, or say what becomes of them:\n  {kind} to {kind}_rows\n  {}",
            ways.join("\n  ")
        );
        self.report(problem.label("not known").help(help));
    }

    fn has_required_clauses(&mut self, stage: &Stage, entry: &StageEntry) -> bool {
        let missing: Vec<_> = entry
            .clauses
            .iter()
            .filter(|spec| spec.required && !stage.clauses.iter().any(|c| c.kind.word() == spec.word))
            .collect();
        for spec in &missing {
            let message = format!("stage `{}` needs the clause `{}`", entry.doc.name, spec.word);
            self.report(
                Diagnostic::error("missing-clause", stage.name.at.0, message)
                    .label(spec.doc)
                    .help(format!("it is written like this:\n  |> {}", entry.doc.usage)),
            );
        }
        missing.is_empty()
    }

    fn stage_options(&mut self, stage: &Stage, entry: &StageEntry) -> Settings {
        let mut settings = Settings::default();
        let with = stage.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::With(options) => Some(options),
            _ => None,
        });
        if with.is_none() && entry.options.is_empty() {
            return settings;
        }
        let entries = with.map_or(&[][..], |options| &options.entries);
        let around = Around { what: format!("stage `{}`", entry.doc.name), rows: None };
        let specs: Vec<_> = entry.options.iter().chain(entry.state_options()).cloned().collect();
        self.options(entries, &specs, &around, stage.name.at.0, &mut settings);
        settings
    }
}

fn usage_of(checker: &Checker<'_>, word: &str) -> String {
    let entry = checker.catalog.stages.iter().find(|e| e.doc.name == word);
    entry.map_or_else(|| word.to_owned(), |e| e.doc.usage.clone())
}
