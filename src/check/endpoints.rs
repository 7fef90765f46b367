//! What sources, tables and sinks have in common: their entry, arguments, options, format.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_dsl::ast::{self, Expr, ExprKind, Ident, OptionEntry};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::{Checker, some_of};
use crate::check::expressions::suggested;

use crate::check::options::{Around, spec_of};
use crate::model::Column;
use crate::plan::catalog::{Directions, Feature, FormatCall, FormatEntry};
use crate::plan::{Conflict, Edge, FormatUse, OptionKind, OptionSpec, Settings};

/// A format as it is called: its word, its arguments, and where.
pub(super) struct FormatWord<'e> {
    entry: Arc<FormatEntry>,
    args: &'e [ast::Arg],
    at: Span,
}

impl<'a> Checker<'a> {
    /// The format of an endpoint: what the option says, else the default. None where it is unknown (reported).
    pub(super) fn format_word<'e>(
        &mut self,
        endpoint: &'e ast::Endpoint,
        default: &str,
        way: Directions,
    ) -> Option<FormatWord<'e>> {
        let option = endpoint.options.entries.iter().find(|e| e.name.name == "format");
        let (word, args, at): (&str, &[ast::Arg], Span) = match option.map(|e| &e.value) {
            None => (default, &[], endpoint.name.at.0),
            Some(Expr { kind: ExprKind::Name(name), at }) => (name, &[], at.0),
            Some(Expr { kind: ExprKind::Call(call), .. }) => (&call.name.name, &call.args, call.name.at.0),
            Some(Expr { kind: ExprKind::Literal(ast::Literal::String(text)), at }) => {
                if !self.is_yaml_quoted(at.0) {
                    let problem =
                        Diagnostic::error("wrong-argument", at.0, "a format is a word, not a text").label("a text");
                    self.report(
                        problem.help(format!("write it without quotes:\n  format: {text}")).edit(at.0, text.clone()),
                    );
                    return None;
                }
                (text, &[], at.0)
            }
            Some(other) => {
                let problem =
                    Diagnostic::error("wrong-argument", other.at.0, "a format is wanted here").label("is none");
                self.report(problem.help("for example:\n  format: json"));
                return None;
            }
        };
        let Some(entry) = self.catalog.formats.iter().find(|f| f.doc.name == word).cloned() else {
            self.unknown_format(word, at, way);
            return None;
        };
        let fits = entry.directions == Directions::Both || entry.directions == way;
        if !fits {
            let verb = if way == Directions::In { "read" } else { "written" };
            let problem = Diagnostic::error("unknown-format", at, format!("format `{word}` cannot be {verb}"));
            self.report(problem.label("goes the other way only"));
            return None;
        }
        Some(FormatWord { entry, args, at })
    }

    fn unknown_format(&mut self, word: &str, at: Span, way: Directions) {
        let catalog = self.catalog;
        let fitting = || {
            let fits = move |f: &&Arc<FormatEntry>| f.directions == Directions::Both || f.directions == way;
            catalog.formats.iter().filter(fits).map(|f| f.doc.name.as_str())
        };
        let problem =
            Diagnostic::error("unknown-format", at, format!("format `{word}` does not exist")).label("not known");
        let alias = catalog.formats.iter().find(|f| f.doc.aliases.iter().any(|a| a == word));
        self.report(match alias {
            Some(entry) => problem.help(format!("it is called `{}` here", entry.doc.name)).edit(at, &entry.doc.name),
            None => {
                let problem = suggested(problem, word, at, fitting());
                match problem.help {
                    None => problem.help(format!("the formats are {}", some_of(fitting()))),
                    Some(_) => problem,
                }
            }
        });
    }

    /// Checks arguments and options; what belongs to the format goes to the format as well.
    pub(super) fn endpoint_settings(
        &mut self,
        endpoint: &ast::Endpoint,
        args: &[OptionSpec],
        specs: &[OptionSpec],
        format: Option<FormatWord<'_>>,
        around: &Around<'_>,
    ) -> (Settings, Option<FormatCall>) {
        let at = endpoint.name.at.0;
        let mut settings = Settings::default();
        self.arguments(&endpoint.args, args, &[], around, at, &mut settings);
        let format_specs: &[OptionSpec] = format.as_ref().map_or(&[], |f| &f.entry.options);
        let mut all: Vec<OptionSpec> = specs.to_vec();
        all.extend(format_specs.iter().filter(|s| spec_of(specs, s.name).is_none()).cloned());
        let entries: Vec<OptionEntry> =
            endpoint.options.entries.iter().filter(|e| !is_format(e, specs)).cloned().collect();
        all.retain(|s| s.kind != OptionKind::Format);
        self.options(&entries, &all, around, at, &mut settings);
        let Some(format) = format else { return (settings, None) };
        let mut own = Settings::default();
        let format_around = Around { what: format!("format `{}`", format.entry.doc.name), rows: around.rows };
        self.arguments(format.args, &format.entry.args, &[], &format_around, format.at, &mut own);
        for spec in &format.entry.options {
            if let Some(value) = settings.get(spec.name) {
                own.set(spec.name, value.clone(), settings.span(spec.name).unwrap_or(at));
            }
        }
        (settings, Some(FormatCall { entry: format.entry, settings: own }))
    }

    /// Reports a connector that this program was built without.
    pub(super) fn check_feature(&mut self, kind: &str, name: &Ident, feature: Option<Feature>) {
        let Some(feature) = feature.filter(|f| !f.built) else { return };
        let message = format!("{kind} `{}` is not part of this program", name.name);
        self.report(
            Diagnostic::error("missing-feature", name.at.0, message)
                .label(format!("needs the feature `{}`", feature.name))
                .help(format!("build it in:\n  cargo install --path . --features {}", feature.name)),
        );
    }

    /// Reports what of a format's options cannot stand; whether there is some.
    pub(super) fn check_format(
        &mut self,
        format: &FormatCall,
        columns: Option<&[Column]>,
        settings: &Settings,
        way: Directions,
        at: Span,
    ) -> bool {
        let columns = columns.and_then(|columns| in_file(columns, settings));
        let used = FormatUse { settings: &format.settings, columns: columns.as_deref(), way };
        self.check_conflicts((format.entry.conflicts)(&used), [&format.settings, settings], at)
    }

    /// Reports options that cannot stand as they are written; whether there are some. `at` is where to point when
    /// nobody wrote the option.
    pub(super) fn check_conflicts(&mut self, conflicts: Vec<Conflict>, settings: [&Settings; 2], at: Span) -> bool {
        let some = !conflicts.is_empty();
        for conflict in conflicts {
            let written = settings.into_iter().find_map(|settings| settings.span(conflict.option));
            self.report(
                Diagnostic::error(conflict.code, written.unwrap_or(at), conflict.message)
                    .label(conflict.label)
                    .help(conflict.help),
            );
        }
        some
    }

    /// Checks options that name columns against the rows, once these are known.
    pub(super) fn check_column_options(
        &mut self,
        entries: &[OptionEntry],
        specs: &[OptionSpec],
        rows: &Edge,
        what: &str,
    ) {
        let around = Around { what: what.to_owned(), rows: Some(rows) };
        for entry in entries {
            if let Some(spec) = spec_of(specs, &entry.name.name).filter(|s| names_columns(&s.kind)) {
                self.option(&entry.value, spec, &around);
            }
        }
    }

    /// Where relative paths of a statement start.
    pub(super) fn base_of(&self, file: usize) -> PathBuf {
        let path = self.program.files.get(file).map(|f| f.path.as_path());
        let folder = path.and_then(|p| p.parent()).filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or_else(|| PathBuf::from("."), PathBuf::from)
    }
}

/// The columns that a format has to do with: those that are folders (`partition_by`) are not in the file. None where
/// only the path of each file says which (`hive`).
pub(super) fn in_file(columns: &[Column], settings: &Settings) -> Option<Vec<Column>> {
    let folders = settings.texts("partition_by");
    let inside = columns.iter().filter(|column| !folders.contains(&column.name.as_str()));
    (!settings.flag("hive")).then(|| inside.cloned().collect())
}

/// Whether the option names columns, at any depth.
fn names_columns(kind: &OptionKind) -> bool {
    match kind {
        OptionKind::Column | OptionKind::Expr(_) => true,
        OptionKind::List(item) | OptionKind::Map(item) => names_columns(item),
        OptionKind::AnyOf(kinds) => kinds.iter().any(names_columns),
        _ => false,
    }
}

fn is_format(entry: &OptionEntry, specs: &[OptionSpec]) -> bool {
    entry.name.name == "format" && specs.iter().any(|s| s.name == "format" && s.kind == OptionKind::Format)
}
