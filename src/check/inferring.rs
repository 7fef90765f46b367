//! `schema: infer`: the columns of a source from what there is to read, once, and told as they can be written.

use std::path::Path;

use millstream_dsl::ast::{Endpoint as Call, ExprKind};
use millstream_dsl::{Diagnostic, Span, print};

use crate::check::checker::{Checker, some_of};
use crate::check::written::written;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{FormatCall, SourceEntry};
use crate::plan::sample::{SAMPLED_ROWS, Sample};
use crate::plan::{OptionValue, Settings};

/// The word in the place of a schema.
const WORD: &str = "infer";

impl Checker<'_> {
    /// The call without `schema: infer`, and where that stood; none where it does not stand there.
    pub(super) fn without_infer(&self, call: &Call) -> Option<(Call, Span)> {
        let is_infer = |value: &ExprKind| matches!(value, ExprKind::Name(name) if name == WORD);
        let option = call.options.entries.iter().find(|e| e.name.name == "schema" && is_infer(&e.value.kind))?;
        let mut rest = call.clone();
        rest.options.entries.retain(|entry| entry.name.name != "schema");
        Some((rest, option.value.at.0))
    }

    /// Sets the schema to what is there. False where that cannot be seen, which is reported.
    pub(super) fn infer_schema(
        &mut self,
        entry: &SourceEntry,
        (settings, format): (&mut Settings, Option<&FormatCall>),
        base: &Path,
        (name, at): (&str, Span),
    ) -> bool {
        let found = self.find_columns(entry, settings, format, base, at);
        let Some((columns, files)) = found else { return false };
        let schema = match self.is_yaml(at) {
            true => in_yaml(&columns),
            false => print::type_expr(&written(&Slot::required(Type::Struct(columns.clone())))),
        };
        let looked = match files {
            1 => "a file".to_owned(),
            files => format!("{files} files"),
        };
        self.report(
            Diagnostic::note("inferred-schema", at, format!("the columns of `{name}` are inferred from {looked}"))
                .label("stays the same until the process ends")
                .help(format!("write them here to keep them:\n  schema: {schema}"))
                .edit(at, schema),
        );
        settings.set("schema", OptionValue::Schema(Schema::new(columns)), at);
        true
    }

    /// The columns, and how many files were looked into.
    fn find_columns(
        &mut self,
        entry: &SourceEntry,
        settings: &Settings,
        format: Option<&FormatCall>,
        base: &Path,
        at: Span,
    ) -> Option<(Vec<Column>, usize)> {
        let sources = self.catalog.sources.iter().filter(|entry| entry.sample.is_some());
        let sources = some_of(sources.map(|entry| entry.doc.name.as_str()));
        let formats = self.catalog.formats.iter().filter(|entry| entry.infer.is_some());
        let formats = some_of(formats.map(|entry| entry.doc.name.as_str()));
        let word = &entry.doc.name;
        let (Some(sample), Some(format)) = (entry.sample, format) else {
            let message =
                format!("nothing of source `{word}` is there before it runs, so its columns cannot be inferred");
            return self.nothing(at, message, format!("write the columns; they can be inferred for {sources}"));
        };
        let Some(infer) = format.entry.infer else {
            let name = &format.entry.doc.name;
            let message = format!("columns of format `{name}` cannot be inferred");
            let help = match (format.entry.columns)(&format.settings) {
                Some(_) => format!("leave `schema` out: `{name}` has columns of its own"),
                None => format!("write the columns; they can be inferred for {formats}"),
            };
            return self.nothing(at, message, help);
        };
        // What the columns depend on, wherever in the text it stands.
        let of =
            |settings: &Settings| settings.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>();
        let args: Vec<_> = entry.args.iter().map(|spec| format!("{:?}", settings.get(spec.name))).collect();
        let format_is = (&format.entry.doc.name, of(&format.settings));
        let what = format!("{word} {args:?} in {} {format_is:?}", base.display());
        let found = self.catalog.inferred.of(what, || {
            let samples = sample(settings, base)?;
            Ok((all_columns(infer(&format.settings, &samples, SAMPLED_ROWS)?, &samples), samples.len()))
        });
        match found {
            Ok(found) => Some(found),
            Err(why) => {
                let help = "write the columns:\n  schema: { id: string, amount: decimal(12, 2) }";
                self.nothing(at, format!("the columns cannot be inferred: {why}"), help.to_owned())
            }
        }
    }

    fn nothing<T>(&mut self, at: Span, message: String, help: String) -> Option<T> {
        self.report(Diagnostic::error("nothing-to-infer", at, message).label("cannot be looked into").help(help));
        None
    }
}

/// In YAML, names and types with more than letters stand in quotes.
fn in_yaml(columns: &[Column]) -> String {
    let quoted = |text: &str| match text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    };
    let field =
        |column: &Column| format!("{}: {}", quoted(&column.name), quoted(&print::type_expr(&written(&column.slot))));
    format!("{{ {} }}", columns.iter().map(field).collect::<Vec<_>>().join(", "))
}

/// With the folders, whose names are texts.
fn all_columns(mut columns: Vec<Column>, samples: &[Sample]) -> Vec<Column> {
    for name in samples.first().into_iter().flat_map(|sample| &sample.folders) {
        if !columns.iter().any(|column| column.name == *name) {
            columns.push(Column::new(name, Slot::required(Type::String)));
        }
    }
    columns
}
