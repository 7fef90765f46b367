//! What a stage's `plan` is given: the checker as a stage sees it, with the rows that come in.

use std::path::PathBuf;

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, ExprKind};
use millstream_dsl::{Diagnostic, Span};

use crate::check::chains::{Feed, Output, Wiring};
use crate::check::checker::Checker;
use crate::check::expressions::{Aggregates, Env, can_fail, constant, sends_bad_rows};
use crate::check::habits;
use crate::check::names::FlowKind;
use crate::model::{Schema, Slot, Type};
use crate::plan::catalog::FormatCall;
use crate::plan::context::Other;
use crate::plan::expr::{AggregateCall, Node, SortKey};
use crate::plan::seams::Window;
use crate::plan::{Edge, Scope, Settings, StageContext, TypedExpr};

/// The implementation of [`StageContext`].
pub(super) struct Seat<'s, 'a> {
    pub(super) checker: &'s mut Checker<'a>,
    pub(super) wiring: &'s Wiring,
    pub(super) input: Edge,
    pub(super) input_name: Option<String>,
    pub(super) changes_from: Option<Span>,
    /// Further inputs, in the order in which they were asked for.
    pub(super) others: Vec<Feed>,
    /// A stream that is not planned yet, so that this stage has to wait.
    pub(super) waits_for: Option<String>,
    /// A further input is broken.
    pub(super) poisoned: bool,
    /// Where rows are sent to the bad output on purpose.
    pub(super) sends_bad: Option<Span>,
    /// Whether a row can go to the bad output at all.
    pub(super) can_fail: bool,
}

impl Seat<'_, '_> {
    fn noted(&mut self, expr: TypedExpr) -> TypedExpr {
        let expr = self.checker.handled(expr);
        if can_fail(&expr) {
            self.can_fail = true;
        }
        if sends_bad_rows(&expr) {
            self.sends_bad.get_or_insert(expr.span);
        }
        expr
    }

    fn constant(&mut self, expr: &ast::Expr) -> Option<ScalarValue> {
        let typed = self.checker.typed_constant(expr);
        if typed.is_unknown() {
            return None;
        }
        let found = constant(&typed);
        if found.is_none() {
            let problem = Diagnostic::error("wrong-argument", expr.at.0, "this must be known before the pipeline runs");
            self.report(problem.label("computed of rows").help("use a literal, a constant or a parameter"));
        }
        found
    }

    fn wrong_constant(&mut self, expr: &ast::Expr, wanted: &str, example: &str) {
        let problem = Diagnostic::error("wrong-argument", expr.at.0, format!("{wanted} is wanted here"));
        self.report(problem.label("is none").help(format!("for example:\n  {example}")));
    }
}

impl StageContext for Seat<'_, '_> {
    fn input(&self) -> &Edge {
        &self.input
    }

    fn input_name(&self) -> Option<&str> {
        self.input_name.as_deref()
    }

    fn other(&mut self, name: &ast::Ident, kind: Other) -> Option<Edge> {
        let Some(flow) = self.checker.names.flows.get(&name.name).copied() else {
            self.checker.unknown_stream(name);
            self.poisoned = true;
            return None;
        };
        self.checker.mark_used(crate::check::checker::Space::Flow, &name.name);
        let is_table = matches!(flow.kind, FlowKind::Table(_));
        let word = match kind {
            Other::Stream if is_table => {
                Some(("table-as-stream", "a table has no batches of its own", "a stream is wanted here"))
            }
            Other::Table if !is_table && flow.kind != FlowKind::Broken => {
                Some(("stream-as-table", "a stream cannot be read as a whole", "a table is wanted here"))
            }
            _ => None,
        };
        if let Some((code, message, label)) = word {
            let problem = Diagnostic::error(code, name.at.0, format!("{message}: `{}`", name.name));
            self.report(problem.label(label).also(flow.at, "defined here"));
            self.poisoned = true;
            return None;
        }
        match self.wiring.outputs.get(&name.name) {
            Some(Output::Ready(feed)) => {
                self.others.push((**feed).clone());
                Some(feed.edge.clone())
            }
            Some(Output::Broken) => {
                self.poisoned = true;
                None
            }
            None if flow.kind == FlowKind::Broken => {
                self.poisoned = true;
                None
            }
            None => {
                self.waits_for.get_or_insert_with(|| name.name.clone());
                None
            }
        }
    }

    fn is_table(&self, name: &ast::Ident) -> bool {
        let flow = self.checker.names.flows.get(&name.name);
        flow.is_some_and(|flow| matches!(flow.kind, FlowKind::Table(_)))
    }

    fn changes_from(&self) -> Option<Span> {
        self.changes_from
    }

    fn report(&mut self, problem: Diagnostic) {
        self.checker.report(problem);
    }

    fn expr(&mut self, expr: &ast::Expr, scope: &Scope) -> TypedExpr {
        let typed = self.checker.typed(expr, &mut Env::new(scope));
        self.noted(typed)
    }

    fn condition(&mut self, expr: &ast::Expr, scope: &Scope) -> TypedExpr {
        let typed = self.checker.condition_of(expr, &mut Env::new(scope));
        self.checker.warn_constant_condition(&typed);
        self.noted(typed)
    }

    fn expr_as(&mut self, expr: &ast::Expr, scope: &Scope, ty: &Slot) -> TypedExpr {
        let typed = self.checker.typed(expr, &mut Env::new(scope));
        let typed = self.checker.fitted(typed, ty);
        self.noted(typed)
    }

    fn aggregate(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        keys: &Schema,
        calls: &mut Vec<AggregateCall>,
    ) -> TypedExpr {
        let before = calls.len();
        let mut env = Env { aggregates: Some(Aggregates { keys, calls }), ..Env::new(scope) };
        let typed = self.checker.typed(expr, &mut env);
        drop(env);
        for part in calls[before..].iter().flat_map(|c| c.args.iter().chain(&c.filter)) {
            self.can_fail |= can_fail(part);
            if sends_bad_rows(part) {
                self.sends_bad.get_or_insert(part.span);
            }
        }
        self.checker.handled(typed)
    }

    fn order(&mut self, items: &[ast::SortItem], scope: &Scope) -> Vec<SortKey> {
        let keys = self.checker.sort_keys(items, &mut Env::new(scope));
        for key in &keys {
            self.can_fail |= can_fail(&key.value);
        }
        keys
    }

    fn window(&mut self, expr: &ast::Expr, batch_time: bool) -> Option<Window> {
        self.checker.window(expr, batch_time)
    }

    fn duration(&mut self, expr: &ast::Expr) -> Option<i64> {
        if crate::check::options::calendar(expr).is_some() {
            let problem = Diagnostic::error("calendar-unit", expr.at.0, "months and years have no fixed length");
            self.report(problem.label("stands in calendar windows only").help("count in days:\n  30d"));
            return None;
        }
        match self.constant(expr)? {
            ScalarValue::DurationMicrosecond(Some(n)) if n > 0 => Some(n),
            ScalarValue::DurationMicrosecond(Some(_)) => {
                let problem = Diagnostic::error("invalid-duration", expr.at.0, "a duration above zero is wanted here");
                self.report(problem.label("is no time at all"));
                None
            }
            ScalarValue::Utf8(Some(text)) if habits::duration_of(&text).is_some() => {
                let right = habits::duration_of(&text).unwrap_or_default();
                let problem = Diagnostic::error("invalid-duration", expr.at.0, "a duration is written without quotes");
                self.report(problem.label("is a text").help(format!("write:\n  {right}")).edit(expr.at.0, right));
                None
            }
            _ => {
                let problem = Diagnostic::error("invalid-duration", expr.at.0, "a duration is wanted here");
                self.report(
                    problem.label("has no unit of time").help("write a number with its unit:\n  10s\n  5m\n  30d"),
                );
                None
            }
        }
    }

    fn whole_number(&mut self, expr: &ast::Expr, min: i64) -> Option<i64> {
        match self.constant(expr)? {
            ScalarValue::Int64(Some(n)) if n >= min => Some(n),
            _ => {
                self.wrong_constant(expr, &format!("a whole number from {min}"), &min.max(10).to_string());
                None
            }
        }
    }

    fn number(&mut self, expr: &ast::Expr) -> Option<f64> {
        let value = self.constant(expr)?;
        match value.cast_to(&arrow::datatypes::DataType::Float64) {
            Ok(ScalarValue::Float64(Some(n))) if !matches!(value, ScalarValue::Utf8(_)) => Some(n),
            _ => {
                self.wrong_constant(expr, "a number", "0.1");
                None
            }
        }
    }

    fn text(&mut self, expr: &ast::Expr) -> Option<String> {
        match self.constant(expr)? {
            ScalarValue::Utf8(Some(text)) => Some(text),
            _ => {
                self.wrong_constant(expr, "a text", "\"text\"");
                None
            }
        }
    }

    fn column(&mut self, expr: &ast::Expr, scope: &Scope) -> Option<usize> {
        let typed = self.checker.typed(expr, &mut Env::new(scope));
        match typed.node {
            Node::Column { index, .. } => Some(index),
            _ if typed.is_unknown() => None,
            _ => {
                let problem = Diagnostic::error("wrong-argument", expr.at.0, "the name of a column is wanted here");
                self.report(problem.label("is computed").help("compute it in a stage before:\n  |> extend x = ..."));
                None
            }
        }
    }

    fn column_name(&mut self, arg: &ast::Arg) -> String {
        if let Some(name) = arg.names.first() {
            return name.name.clone();
        }
        match &arg.value.kind {
            ExprKind::Name(name) => name.clone(),
            ExprKind::Field(_, field) => field.name.clone(),
            ExprKind::Broken => String::new(),
            _ => {
                let span = arg.value.at.0;
                let text = self.checker.text(span);
                let problem =
                    Diagnostic::error("unnamed-column", span, "this column needs a name").label("is computed");
                let name = suggested_name(&arg.value);
                let help = format!("name it:\n  {text} as {name}");
                self.report(problem.help(help).edit(span.after(), format!(" as {name}")));
                name
            }
        }
    }

    fn type_of(&mut self, ty: &ast::TypeExpr) -> Slot {
        self.checker.type_of(ty)
    }

    fn interval(&self) -> i64 {
        self.checker.header.every
    }

    fn format(&mut self, word: &str, rows: [&Schema; 2], at: Span) -> Option<FormatCall> {
        let entry = self.checker.catalog.formats.iter().find(|f| f.doc.name == word)?.clone();
        let call = FormatCall { entry, settings: Settings::default() };
        rows.iter().for_each(|rows| self.checker.check_accepted(&call, &rows.columns, at));
        Some(call)
    }

    fn base(&self, at: Span) -> PathBuf {
        let files = &self.checker.program.files;
        self.checker.base_of(files.iter().position(|file| file.id == at.file).unwrap_or_default())
    }
}

/// A name for a computed column.
fn suggested_name(value: &ast::Expr) -> String {
    match &value.kind {
        ExprKind::Call(call) => match call.args.first().map(|a| &a.value.kind) {
            Some(ExprKind::Name(name)) => format!("{}_{name}", call.name.name),
            _ => call.name.name.clone(),
        },
        ExprKind::Cast(of, _) | ExprKind::Try(of) | ExprKind::Negate(of) => match &of.kind {
            ExprKind::Name(name) => name.clone(),
            _ => "value".into(),
        },
        _ => "value".into(),
    }
}

/// Whether a type can hold event time.
pub(super) fn is_moment(ty: &Type) -> bool {
    matches!(ty, Type::Timestamp(_))
}
