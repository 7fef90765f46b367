//! Sources and tables: the columns of their rows, event time, what becomes of rows that cannot be read.

use std::collections::BTreeMap;

use millstream_dsl::ast::{ClauseKind, Endpoint as Call, Fate};
use millstream_dsl::{Diagnostic, Span, suggest};

use crate::check::chains::{Output, Wiring};
use crate::check::checker::{Checker, some_of};
use crate::check::draft;
use crate::check::names::InputStatement;
use crate::check::options::Around;
use crate::check::seat::is_moment;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{
    Directions, Endpoint, EndpointEntry, FormatCall, RowsFrom, SOURCE_OPTIONS, SourceEntry, table_options,
};
use crate::plan::edge::OP;
use crate::plan::graph::{Running, Work};
use crate::plan::seams::BadRow;
use crate::plan::{Edge, EventTime, Guarantee, Mode, OptionSpec, OptionValue, PlanNode, Port, RowFate, Settings};

impl Checker<'_> {
    /// Plans every source and table.
    pub(super) fn plan_inputs(&mut self, wiring: &mut Wiring) {
        for statement in self.names.inputs.clone() {
            if self.plan_input(&statement, wiring).is_none() {
                self.break_input(&statement, wiring);
            }
        }
    }

    fn break_input(&self, statement: &InputStatement<'_>, wiring: &mut Wiring) {
        wiring.outputs.entry(statement.input.name.name.clone()).or_insert(Output::Broken);
        for clause in &statement.input.from.clauses {
            if let ClauseKind::Bad(Fate::To(name)) = &clause.kind {
                wiring.outputs.entry(name.name.clone()).or_insert(Output::Broken);
            }
        }
    }

    fn plan_input(&mut self, statement: &InputStatement<'_>, wiring: &mut Wiring) -> Option<()> {
        let entry = self.source_entry(statement)?;
        let inferring = self.without_infer(&statement.input.from);
        let call = inferring.as_ref().map_or(&statement.input.from, |(call, _)| call);
        self.check_feature("source", &call.name, entry.feature);
        let kind = if statement.table { "table" } else { "source" };
        let what = format!("{kind} `{}`", entry.doc.name);
        let format = match &entry.rows {
            RowsFrom::Format { default, .. } => Some(self.format_word(call, default, Directions::In)?),
            _ => None,
        };
        let specs = source_specs(&entry, statement.table);
        let around = Around { what: what.clone(), rows: None };
        let before = self.problems.mark();
        let (mut settings, format) = self.endpoint_settings(call, &entry.args, &specs, format, &around);
        // What was not understood may be what an option misses.
        let understood = !self.problems.errors_since(before);
        if let Some((_, at)) = &inferring {
            let (base, name) = (self.base_of(statement.file), &statement.input.name.name);
            if !understood || !self.infer_schema(&entry, (&mut settings, format.as_ref()), &base, (name, *at)) {
                return None;
            }
        }
        if let Some(format) = format.as_ref().filter(|_| understood) {
            let written = settings.schema("schema").map(|schema| schema.columns.clone());
            let columns = written.or_else(|| (format.entry.columns)(&format.settings));
            if self.check_format(format, columns.as_deref(), &settings, Directions::In, call.name.at.0) {
                return None;
            }
        }
        let schema = self.source_schema(&entry, call, &settings, format.as_ref(), &what)?;
        let mode = (entry.mode)(&settings);
        let schema = with_op(schema, &mode);
        let changes = mode != Mode::Append;
        let guarantee = if entry.rewinds { Guarantee::Replayable } else { Guarantee::AtMostOnce };
        let mut edge = Edge { mode, guarantee, ..Edge::append(schema.clone()) };
        self.check_column_options(&call.options.entries, &specs, &edge, &what);
        edge.time = self.event_time(&settings, &schema, call.name.at.0);
        let mut outputs = BTreeMap::from([(Port::Out, edge)]);
        outputs.insert(Port::Bad, Edge { guarantee, ..Edge::append(BadRow::schema()) });
        let fates = self.bad_rows(statement, settings.schema("schema").is_some());
        if fates.get(&Port::Bad) == Some(&RowFate::Null) {
            self.check_forgiving(statement, format.as_ref());
            // Whoever reads must know it: a value that fails is null there and then.
            settings.set("bad", OptionValue::Symbol("null".into()), call.name.at.0);
        }
        let name = &statement.input.name;
        let endpoint = Endpoint {
            name: name.name.clone(),
            word: entry.doc.name.clone(),
            entry: EndpointEntry::Source(entry.clone()),
            settings,
            format,
            schema,
            changes,
            pipeline: self.header.name.clone(),
            base: self.base_of(statement.file),
        };
        if understood {
            self.check_conflicts((entry.conflicts)(&endpoint), [&endpoint.settings; 2], call.name.at.0);
        }
        let identity = format!("{}/{}/1", name.name, entry.doc.name);
        let work = if statement.table { Work::Table(endpoint) } else { Work::Source(endpoint) };
        let node = PlanNode {
            stream: name.name.clone(),
            identity,
            work,
            outputs,
            fates,
            on_change: None,
            run: Running::default(),
            span: call.name.at.0,
        };
        let id = wiring.plan.add(node);
        let changes_from = Some(call.name.at.0);
        let is_changes = wiring.plan.edge(id, &Port::Out).is_some_and(|e| e.mode != Mode::Append);
        draft::output(&name.name, id, Port::Out, changes_from.filter(|_| is_changes), wiring);
        for clause in &call.clauses {
            if let ClauseKind::Bad(Fate::To(name)) = &clause.kind {
                draft::output(&name.name, id, Port::Bad, None, wiring);
            }
        }
        Some(())
    }

    fn source_entry(&mut self, statement: &InputStatement<'_>) -> Option<std::sync::Arc<SourceEntry>> {
        let name = &statement.input.from.name;
        let Some(entry) = self.catalog.sources.iter().find(|e| e.doc.name == name.name).cloned() else {
            let problem = self.unknown_source(&name.name, name.at.0);
            self.report(problem);
            return None;
        };
        if statement.table && !entry.table {
            let message = format!("source `{}` cannot be a table", name.name);
            let tables = self.catalog.sources.iter().filter(|e| e.table).map(|e| e.doc.name.as_str());
            let help = format!("a table is read as a whole, again and again; these can be: {}", some_of(tables));
            self.report(Diagnostic::error("misplaced-call", name.at.0, message).label("has no end").help(help));
            return None;
        }
        Some(entry)
    }

    fn unknown_source(&self, name: &str, at: Span) -> Diagnostic {
        if self.catalog.sinks.iter().any(|e| e.doc.name == name) {
            return Diagnostic::error("misplaced-call", at, format!("`{name}` is a sink, not a source"))
                .label("takes rows, gives none")
                .help(format!("write it as a statement of its own:\n  from ... |> into {name}"));
        }
        if self.catalog.formats.iter().any(|e| e.doc.name == name) {
            return Diagnostic::error("misplaced-call", at, format!("`{name}` is a format, not a source"))
                .label("says how bytes become rows, not where they come from")
                .help(format!("for files:\n  files(\"data/*\") {{ format: {name} }}"));
        }
        let problem =
            Diagnostic::error("unknown-source", at, format!("source `{name}` does not exist")).label("not known");
        let alias = self.catalog.sources.iter().find(|e| e.doc.aliases.iter().any(|a| a == name));
        let words = || self.catalog.sources.iter().map(|e| e.doc.name.as_str());
        match alias.map(|e| e.doc.name.as_str()).or_else(|| suggest::closest(name, words())) {
            Some(close) => problem.help(format!("did you mean `{close}`?")).edit(at, close),
            None => problem.help(format!("the sources are {}", some_of(words()))),
        }
    }

    /// The columns of a source; none where they are not known (reported).
    fn source_schema(
        &mut self,
        entry: &SourceEntry,
        call: &Call,
        settings: &Settings,
        format: Option<&FormatCall>,
        what: &str,
    ) -> Option<Schema> {
        let option = call.options.entries.iter().find(|e| e.name.name == "schema");
        let written = settings.schema("schema").map(|s| s.columns.clone());
        if written.is_none() && option.is_some() {
            return None;
        }
        let missing = |entry: &str| {
            Diagnostic::error("missing-option", call.name.at.0, format!("{what} needs the option `schema`"))
                .label(format!("the columns are not known: {entry}"))
                .help("write the columns, or the name of a type:\n  { schema: { id: string, amount: decimal(12, 2) } }")
        };
        let (mut columns, extra) = match &entry.rows {
            RowsFrom::Fixed(columns) => (columns.clone(), Vec::new()),
            RowsFrom::Format { extra, .. } => {
                let format = format?;
                let columns = written.or_else(|| (format.entry.columns)(&format.settings));
                match columns {
                    Some(columns) => (columns, extra(settings)),
                    None => {
                        self.report(missing(&format!("`{}` has no columns of its own", format.entry.doc.name)));
                        return None;
                    }
                }
            }
            RowsFrom::Schema { default, extra } => match written.or_else(|| default.clone()) {
                Some(columns) => (columns, extra(settings)),
                None => {
                    self.report(missing("nothing else says them"));
                    return None;
                }
            },
        };
        if let Some(format) = format {
            self.check_accepted(format, &columns, option.map_or(call.name.at.0, |o| o.value.at.0));
        }
        columns.extend(extra);
        Some(Schema::new(columns))
    }

    /// Reports columns that a format cannot hold.
    pub(super) fn check_accepted(&mut self, format: &FormatCall, columns: &[Column], at: Span) {
        for column in columns.iter().filter(|c| !c.slot.ty.is_unknown()) {
            if let Err(why) = (format.entry.accepts)(&column.slot.ty) {
                let name = &format.entry.doc.name;
                let message =
                    format!("format `{name}` cannot hold column `{}` of type `{}`", column.name, column.slot.ty);
                self.report(Diagnostic::error("unsupported-type", at, message).label(why));
            }
        }
    }

    fn event_time(&mut self, settings: &Settings, schema: &Schema, call: Span) -> Option<EventTime> {
        let Some(name) = settings.text("time").map(str::to_owned) else {
            if let Some(at) = settings.span("watermark").filter(|_| settings.get("watermark").is_some()) {
                let moments = schema.columns.iter().find(|c| is_moment(&c.slot.ty)).map_or("ts", |c| c.name.as_str());
                self.report(
                    Diagnostic::error("misplaced-time", at, "a watermark needs a time column")
                        .label("of which column?")
                        .help(format!("name it:\n  time: {moments}")),
                );
            }
            return None;
        };
        let at = settings.span("time").unwrap_or(call);
        let Some(column) = schema.get(&name) else {
            // That has been reported: some moment stands for it, so that windows are no second mistake.
            let moment = schema.columns.iter().find(|c| is_moment(&c.slot.ty))?;
            return Some(EventTime { column: moment.name.clone(), delay: Some(0), ends_window: false });
        };
        if !is_moment(&column.slot.ty) {
            if !column.slot.ty.is_unknown() {
                let message = format!("time column `{name}` is `{}`, not a timestamp", column.slot.ty);
                self.report(
                    Diagnostic::error("type-mismatch", at, message)
                        .label("no moment")
                        .help(format!("declare it as one in the schema:\n  {name}: timestamp")),
                );
            }
            return None;
        }
        if column.slot.nullable {
            self.report(
                Diagnostic::error("nullable-key", at, format!("time column `{name}` may be null"))
                    .label("every row has a time")
                    .help(format!(
                        "declare it without `?`; rows without it are bad rows then:\n  {name}: {}",
                        column.slot.ty
                    )),
            );
        }
        let delay = settings.duration("watermark").or(self.header.watermark);
        Some(EventTime { column: name, delay, ends_window: false })
    }

    /// `bad null` wants a format that can read a row's other values.
    fn check_forgiving(&mut self, statement: &InputStatement<'_>, format: Option<&FormatCall>) {
        let Some(format) = format.filter(|format| !(format.entry.records)(&format.settings).forgiving) else { return };
        let clauses = &statement.input.from.clauses;
        let clause = clauses.iter().find(|clause| matches!(clause.kind, ClauseKind::Bad(_)));
        let name = &format.entry.doc.name;
        let message = format!(
            "`bad null` needs a format that reads the values of a line one by one, which `{name}` does not do here"
        );
        self.report(
            Diagnostic::error("option-conflict", clause.map_or(statement.input.name.at.0, |c| c.at.0), message)
                .label("no value can be left out of a row")
                .help(format!(
                    "write what becomes of the whole row:\n  bad to {}_bad\n  bad drop",
                    statement.input.name.name
                )),
        );
    }

    /// What becomes of rows that cannot be read.
    fn bad_rows(&mut self, statement: &InputStatement<'_>, has_schema: bool) -> BTreeMap<Port, RowFate> {
        let call = &statement.input.from;
        let mut fates = BTreeMap::new();
        let mut seen = None;
        for clause in &call.clauses {
            let word = clause.kind.word();
            match &clause.kind {
                ClauseKind::Bad(fate) => {
                    if let Some(first) = seen.replace(clause.at.0) {
                        let message = format!("clause `{word}` stands here twice");
                        self.report(
                            Diagnostic::error("duplicate-clause", clause.at.0, message)
                                .label("again")
                                .also(first, "first here"),
                        );
                    }
                    self.check_fate(clause, Some("null"));
                    if let Fate::Word(word) = fate {
                        let fate = match word.name.as_str() {
                            "fail" => RowFate::Fail,
                            "null" => RowFate::Null,
                            _ => RowFate::Drop,
                        };
                        fates.insert(Port::Bad, fate);
                    }
                }
                _ => {
                    let message = format!("a source takes no clause `{word}`");
                    self.report(
                        Diagnostic::error("misplaced-clause", clause.at.0, message)
                            .label("not taken")
                            .help("rows that cannot be read go by:\n  bad to bad_rows"),
                    );
                }
            }
        }
        if seen.is_none() && has_schema {
            let name = &statement.input.name;
            self.report(
                Diagnostic::warning(
                    "unhandled-bad",
                    name.at.0,
                    format!("`{}` drops rows that cannot be read", name.name),
                )
                .label("nothing says where they go")
                .help(format!(
                    "give them a name behind the options, or say that they are dropped:\n  bad to {}_bad\n  bad drop",
                    name.name
                )),
            );
        }
        fates
    }
}

/// The options of a source: its own before those of every source.
pub(super) fn source_specs(entry: &SourceEntry, table: bool) -> Vec<OptionSpec> {
    let mut specs = entry.options.clone();
    let fixed = matches!(entry.rows, RowsFrom::Fixed(_));
    let formatted = matches!(entry.rows, RowsFrom::Format { .. });
    let common = SOURCE_OPTIONS.iter().filter(|s| match s.name {
        "format" => formatted,
        "schema" => !fixed,
        "on_change" => !table,
        _ => true,
    });
    let more: Vec<_> = common.cloned().chain(if table { table_options() } else { Vec::new() }).collect();
    let own: Vec<&str> = entry.options.iter().map(|s| s.name).collect();
    specs.extend(more.into_iter().filter(|s| !own.contains(&s.name)));
    specs
}

/// Changes carry their sign in a column.
fn with_op(mut schema: Schema, mode: &Mode) -> Schema {
    if *mode != Mode::Append && schema.get(OP).is_none() {
        schema.columns.push(Column::new(OP, Slot::required(Type::String)));
    }
    schema
}
