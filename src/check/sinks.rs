//! Sinks: whether they take what comes, and whether anything else writes to the same place.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_dsl::ast::{self, ClauseKind, Fate};
use millstream_dsl::{Diagnostic, suggest};

use crate::check::chains::Wiring;
use crate::check::checker::{Checker, listed, some_of};
use crate::check::draft::Draft;
use crate::check::endpoints::in_file;
use crate::check::names::ChainStatement;
use crate::check::options::Around;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Changes, Directions, Endpoint, EndpointEntry, SINK_OPTIONS, SinkEntry};
use crate::plan::graph::Work;
use crate::plan::{Edge, Mode, OptionSpec, Port, RowFate, Settings};

impl Checker<'_> {
    /// Puts the sink at the end of a chain.
    pub(super) fn add_sink(
        &mut self,
        into: &ast::Endpoint,
        chain: &ChainStatement<'_>,
        draft: &mut Draft,
        wiring: &mut Wiring,
    ) {
        let Some(entry) = self.sink_entry(into) else {
            draft.at = None;
            return;
        };
        self.check_feature("sink", &into.name, entry.feature);
        let what = format!("sink `{}`", entry.doc.name);
        let format = match entry.format {
            Some(default) => match self.format_word(into, default, Directions::Out) {
                Some(format) => Some(format),
                None => return draft.at = None,
            },
            None => None,
        };
        let specs = sink_specs(&entry);
        let rows = draft.at.as_ref().map(|place| place.edge.clone());
        let around = Around { what, rows: rows.as_ref() };
        let before = self.problems.mark();
        let (settings, format) = self.endpoint_settings(into, &entry.args, &specs, format, &around);
        // What was not understood may be what an option misses.
        let understood = !self.problems.errors_since(before);
        let Some(place) = draft.at.clone() else { return };
        if let Some(format) = &format {
            let columns = in_file(&place.edge.schema.columns, &settings).unwrap_or_default();
            self.check_accepted(format, &columns, into.name.at.0);
            if understood {
                self.check_format(format, Some(&columns), &settings, Directions::Out, into.name.at.0);
            }
        }
        self.check_colliding(into, &place.edge);
        let takes = (entry.takes_changes)(&settings);
        self.check_changes(into, &entry, &takes, &settings, draft);
        self.check_target(into, &entry, &settings, wiring);
        let outputs = BTreeMap::from([(Port::Rejected, rejected_edge(&place.edge))]);
        let fates = self.rejected_rows(into);
        let endpoint = Endpoint {
            name: chain.chain.from.name.clone(),
            word: entry.doc.name.clone(),
            entry: EndpointEntry::Sink(entry.clone()),
            settings,
            format,
            schema: place.edge.schema.clone(),
            changes: place.edge.mode != Mode::Append,
            pipeline: self.header.name.clone(),
            base: self.base_of(chain.file),
        };
        if understood {
            self.check_conflicts((entry.conflicts)(&endpoint), [&endpoint.settings; 2], into.name.at.0);
        }
        draft.push_sink(Work::Sink(endpoint), outputs, fates, into.name.at.0, &entry.doc.name);
        for clause in &into.clauses {
            if let ClauseKind::Rejected(Fate::To(name)) = &clause.kind {
                draft.name_side(name, Port::Rejected);
            }
        }
    }

    fn sink_entry(&mut self, into: &ast::Endpoint) -> Option<Arc<SinkEntry>> {
        let (name, at) = (into.name.name.as_str(), into.name.at.0);
        if let Some(entry) = self.catalog.sinks.iter().find(|e| e.doc.name == name) {
            return Some(entry.clone());
        }
        let words = || self.catalog.sinks.iter().map(|e| e.doc.name.as_str());
        let problem = Diagnostic::error("unknown-sink", at, format!("sink `{name}` does not exist")).label("not known");
        let alias =
            self.catalog.sinks.iter().find(|e| e.doc.aliases.iter().any(|a| a == name)).map(|e| e.doc.name.as_str());
        let problem = if self.catalog.sources.iter().any(|e| e.doc.name == name) {
            Diagnostic::error("misplaced-call", at, format!("`{name}` is a source, not a sink"))
                .label("gives rows, takes none")
                .help(format!("the sinks are {}", some_of(words())))
        } else if self.names.flows.contains_key(name) {
            problem.help(format!(
                "a stream is no sink; to name these rows, write a stream statement:\n  stream {name}_2 = from ..."
            ))
        } else {
            let screen = ["stdout", "print", "show", "terminal", "screen"].contains(&name);
            let screen = words().find(|w| screen && *w == "console");
            match alias.or(screen).or_else(|| suggest::closest(name, words())) {
                Some(close) => problem.help(format!("did you mean `{close}`?")).edit(at, close),
                None => problem.help(format!("the sinks are {}", some_of(words()))),
            }
        };
        self.report(problem);
        None
    }

    /// Columns that exist only with a qualifier have no name in the outside world.
    fn check_colliding(&mut self, into: &ast::Endpoint, edge: &Edge) {
        let colliding: Vec<&str> = edge.schema.names().filter(|n| n.contains('.')).collect();
        let Some(first) = colliding.first() else { return };
        let plain = first.replace('.', "_");
        let message = format!("columns {} need names of their own before a sink", listed(&colliding));
        self.report(
            Diagnostic::error("colliding-columns", into.name.at.0, message)
                .label("both sides of a join have them")
                .help(format!("rename or drop them before:\n  |> rename {first} as {plain}\n  |> drop {first}")),
        );
    }

    fn check_changes(
        &mut self,
        into: &ast::Endpoint,
        entry: &SinkEntry,
        takes: &Changes,
        settings: &Settings,
        draft: &Draft,
    ) {
        let Some(place) = &draft.at else { return };
        let at = into.name.at.0;
        if let Changes::ByKey(key) = takes {
            self.check_key(into, key, settings, &place.edge);
        }
        let Mode::Changes { key } = &place.edge.mode else { return };
        if *takes != Changes::AppendOnly {
            return;
        }
        let name = &entry.doc.name;
        let mut problem =
            Diagnostic::error("append-only-sink", at, format!("`{name}` cannot take back rows")).label("append-only");
        if let Some(producer) = place.changes_from {
            problem = problem.also(producer, "updates earlier results");
        }
        let help = match self.keyed_sink() {
            Some(keyed) if !key.is_empty() => {
                let quoted: Vec<_> = key.iter().map(|k| format!("\"{k}\"")).collect();
                format!(
                    "use a window, or a sink with a key, e.g. {keyed}(\"{}\") {{ write: upsert, key: [{}] }}",
                    draft_name(into),
                    quoted.join(", ")
                )
            }
            _ => "use a window, whose results are final:\n  over tumbling(1m)".to_owned(),
        };
        self.report(problem.help(help));
    }

    /// A sink that updates rows by key, for the help.
    fn keyed_sink(&self) -> Option<&str> {
        let has = |entry: &SinkEntry, name: &str| entry.options.iter().any(|o| o.name == name);
        self.catalog.sinks.iter().find(|e| has(e, "key") && has(e, "write")).map(|e| e.doc.name.as_str())
    }

    fn check_key(&mut self, into: &ast::Endpoint, key: &[String], settings: &Settings, edge: &Edge) {
        let at = settings.span("key").unwrap_or(into.name.at.0);
        if key.is_empty() {
            let known = match &edge.mode {
                Mode::Changes { key } => key.clone(),
                Mode::Append => edge.unique.first().cloned().unwrap_or_default(),
            };
            let shown = known.first().map_or("id", String::as_str);
            self.report(
                Diagnostic::error(
                    "missing-key",
                    into.name.at.0,
                    format!("sink `{}` updates rows by a key", into.name.name),
                )
                .label("which columns tell rows apart?")
                .help(format!("name them:\n  key: [\"{shown}\"]")),
            );
            return;
        }
        for column in key.iter().filter_map(|name| edge.schema.get(name)).filter(|c| c.slot.nullable) {
            let message = format!("key column `{}` may be null", column.name);
            self.report(
                Diagnostic::error("nullable-key", at, message)
                    .label("null equals nothing, not even null")
                    .help(format!("leave such rows out before:\n  |> where {} is not null", column.name)),
            );
        }
        if let Mode::Changes { key: producer } = &edge.mode
            && !producer.is_empty()
            && !producer.iter().all(|k| key.contains(k))
        {
            let quoted: Vec<_> = producer.iter().map(|k| format!("\"{k}\"")).collect();
            self.report(
                Diagnostic::error("missing-key", at, "the key does not tell the rows apart")
                    .label(format!("rows are updated by {}", listed(producer)))
                    .help(format!("write:\n  key: [{}]", quoted.join(", "))),
            );
        }
    }

    fn check_target(&mut self, into: &ast::Endpoint, entry: &SinkEntry, settings: &Settings, wiring: &mut Wiring) {
        let Some(target) = (entry.target)(settings) else { return };
        let at = into.name.at.0;
        let key = format!("{} {target}", entry.doc.name);
        if let Some(first) = wiring.targets.get(&key) {
            self.report(
                Diagnostic::error("sink-conflict", at, format!("two sinks write to `{target}`"))
                    .label("also writes there")
                    .also(*first, "writes there")
                    .help(
                        "bring the streams together first, or write to another place:\n  from a |> union b |> into ...",
                    ),
            );
            return;
        }
        wiring.targets.insert(key, at);
    }

    fn rejected_rows(&mut self, into: &ast::Endpoint) -> BTreeMap<Port, RowFate> {
        let mut fates = BTreeMap::new();
        for (i, clause) in into.clauses.iter().enumerate() {
            let word = clause.kind.word();
            if let Some(first) = into.clauses[..i].iter().find(|c| c.kind.word() == word) {
                let first = first.at.0;
                let message = format!("clause `{word}` stands here twice");
                self.report(
                    Diagnostic::error("duplicate-clause", clause.at.0, message)
                        .label("again")
                        .also(first, "first here"),
                );
            }
            match &clause.kind {
                ClauseKind::Rejected(fate) => {
                    self.check_fate(clause, None);
                    if let Fate::Word(word) = fate {
                        fates.insert(Port::Rejected, if word.name == "drop" { RowFate::Drop } else { RowFate::Fail });
                    }
                }
                _ => {
                    let message = format!("a sink takes no clause `{word}`");
                    self.report(
                        Diagnostic::error("misplaced-clause", clause.at.0, message)
                            .label("not taken")
                            .help("rows that the sink refuses go by:\n  rejected to refused"),
                    );
                }
            }
        }
        fates.entry(Port::Rejected).or_insert(RowFate::Fail);
        fates
    }
}

/// A plausible table name for the help: what the sink was called with, else its word.
fn draft_name(into: &ast::Endpoint) -> String {
    match into.args.first().map(|a| &a.value.kind) {
        Some(ast::ExprKind::Literal(ast::Literal::String(text))) => {
            text.rsplit('/').next().unwrap_or("results").split('.').next().unwrap_or("results").to_owned()
        }
        _ => "results".to_owned(),
    }
}

/// The options of a sink: its own before those of every sink.
pub(super) fn sink_specs(entry: &SinkEntry) -> Vec<OptionSpec> {
    let mut specs = entry.options.clone();
    let own: Vec<&str> = entry.options.iter().map(|s| s.name).collect();
    let common = SINK_OPTIONS.iter().filter(|s| s.name != "format" || entry.format.is_some());
    specs.extend(common.filter(|s| !own.contains(&s.name)).cloned());
    specs
}

/// What rows look like that the sink refused: its rows and why.
fn rejected_edge(input: &Edge) -> Edge {
    let mut columns = input.schema.columns.clone();
    columns.push(Column::new("_reason", Slot::required(Type::String)));
    Edge { guarantee: input.guarantee, time: input.time.clone(), ..Edge::append(Schema::new(columns)) }
}
