//! Test blocks: inputs and streams by name, columns by name, cells as values of their columns.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{Expected, Expr, Ident, Row, Rows, Step, StepKind, StructField};
use millstream_dsl::{Diagnostic, Span, suggest};

use crate::check::chains::{Output, Wiring};
use crate::check::checker::{Checker, Space, some_of};
use crate::check::expressions::{suggested, value};
use crate::check::names::{FlowKind, TestStatement};
use crate::check::{coerce, literals};
use crate::model::{Column, Schema, Type};
use crate::plan::scenario::{Action, Counted, ExpectedRow, ExpectedRows, Scenario, ScenarioStep};
use crate::plan::{Node, TypedExpr};

impl Checker<'_> {
    /// Checks every test block.
    pub(super) fn check_scenarios(&mut self, wiring: &Wiring) -> Vec<Scenario> {
        let mut names: BTreeMap<String, Span> = BTreeMap::new();
        let mut scenarios = Vec::new();
        for test in self.names.tests.clone() {
            if let Some(first) = names.insert(test.name.value.clone(), test.name.at.0) {
                let message = format!("two tests are called \"{}\"", test.name.value);
                self.report(
                    Diagnostic::warning("test-duplicate", test.name.at.0, message)
                        .label("again")
                        .also(first, "first here"),
                );
            }
            scenarios.push(self.scenario(&test, wiring));
        }
        scenarios
    }

    fn scenario(&mut self, test: &TestStatement<'_>, wiring: &Wiring) -> Scenario {
        let is_expectation =
            |s: &Step| matches!(s.kind, StepKind::Expect { .. } | StepKind::ExpectCount { .. } | StepKind::Broken);
        if !test.steps.iter().any(is_expectation) {
            let message = format!("test \"{}\" expects nothing", test.name.value);
            self.report(
                Diagnostic::warning("test-without-expect", test.name.at.0, message)
                    .label("passes whatever happens")
                    .help("say what must come out:\n  expect STREAM [ { column: value } ]\n  expect STREAM nothing"),
            );
        }
        let steps = test.steps.iter().filter_map(|s| {
            let action = self.action(&s.kind, wiring)?;
            Some(ScenarioStep { action, span: s.at.0 })
        });
        Scenario { name: test.name.value.clone(), span: test.name.at.0, steps: steps.collect() }
    }

    fn action(&mut self, kind: &StepKind, wiring: &Wiring) -> Option<Action> {
        Some(match kind {
            StepKind::Broken => return None,
            StepKind::Restart => Action::Restart,
            StepKind::Step { count } => Action::Step(count.unwrap_or(1)),
            StepKind::Given { input, rows } => {
                let schema = self.test_input(input, wiring)?;
                let rows = rows.rows.iter().filter_map(|row| self.given_row(row, &schema)).collect();
                Action::Give { input: input.name.clone(), rows }
            }
            StepKind::GivenFrom { input, path } => {
                self.test_input(input, wiring)?;
                Action::GiveFile { input: input.name.clone(), path: PathBuf::from(&path.value) }
            }
            StepKind::Advance(by) => Action::Advance(self.test_duration(by)?),
            StepKind::AdvanceWatermark { of, to } => {
                if let Some(of) = of {
                    self.test_input(of, wiring)?;
                }
                Action::AdvanceWatermark { of: of.as_ref().map(|of| of.name.clone()), to: self.test_moment(to)? }
            }
            StepKind::Expect { batch, of, rows } => {
                let schema = self.test_stream(of, wiring)?;
                Action::Expect { of: of.name.clone(), batch: *batch, rows: self.expected(rows, &schema) }
            }
            StepKind::ExpectCount { what, of, count } => {
                self.test_stream(of, wiring)?;
                Action::ExpectCount { what: self.counted(what)?, of: of.name.clone(), count: *count }
            }
        })
    }

    /// The columns of a source or table that gets rows.
    fn test_input(&mut self, input: &Ident, wiring: &Wiring) -> Option<Schema> {
        let flow = self.names.flows.get(&input.name).copied();
        if let Some(flow) = flow
            && matches!(flow.kind, FlowKind::Source(_) | FlowKind::Table(_) | FlowKind::Broken)
        {
            return schema_of(&input.name, wiring);
        }
        let is_input = |kind: FlowKind| matches!(kind, FlowKind::Source(_) | FlowKind::Table(_));
        let inputs: Vec<String> =
            self.names.flows.iter().filter(|(_, f)| is_input(f.kind)).map(|(n, _)| n.clone()).collect();
        let names = || inputs.iter().map(String::as_str);
        let message = format!("`{}` is no source or table", input.name);
        let problem = Diagnostic::error("test-unknown-input", input.at.0, message);
        self.report(match (flow, suggest::closest(&input.name, names())) {
            (Some(flow), _) => problem
                .label("computes its rows")
                .also(flow.at, "defined here")
                .help(format!("rows come in through {}", some_of(names()))),
            (None, Some(close)) => {
                problem.label("not known").help(format!("did you mean `{close}`?")).edit(input.at.0, close)
            }
            (None, None) => problem.label("not known").help(format!("rows come in through {}", some_of(names()))),
        });
        None
    }

    fn test_stream(&mut self, of: &Ident, wiring: &Wiring) -> Option<Schema> {
        if !self.names.flows.contains_key(&of.name) {
            self.unknown_stream(of);
            return None;
        }
        self.mark_used(Space::Flow, &of.name);
        schema_of(&of.name, wiring)
    }

    /// A row that is given has every column: what is left out is null, where that may be.
    fn given_row(&mut self, row: &Row, schema: &Schema) -> Option<Vec<ScalarValue>> {
        let cells = self.cells(row, schema);
        let mut values = Vec::with_capacity(schema.columns.len());
        let mut missing = Vec::new();
        for (index, column) in schema.columns.iter().enumerate() {
            match cells.iter().find(|(i, _)| *i == index) {
                Some((_, Some(value))) => values.push(value.clone()),
                Some((_, None)) => return None,
                None if column.slot.nullable => values.push(ScalarValue::try_from(&column.slot.ty.to_arrow()).ok()?),
                None => missing.push(column.name.clone()),
            }
        }
        if !missing.is_empty() {
            let names = super::checker::listed(&missing);
            self.report(
                Diagnostic::error("test-column", row.at.0, format!("the row lacks {names}"))
                    .label("never null, so it must be given")
                    .help("only columns of a type with `?` can be left out"),
            );
            return None;
        }
        Some(values)
    }

    fn expected(&mut self, rows: &Expected, schema: &Schema) -> ExpectedRows {
        match rows {
            Expected::Nothing => ExpectedRows::Nothing,
            Expected::Exactly(rows) => ExpectedRows::Exactly(self.expected_rows(rows, schema)),
            Expected::Contains(rows) => ExpectedRows::Contains(self.expected_rows(rows, schema)),
            Expected::InOrder(rows) => ExpectedRows::InOrder(self.expected_rows(rows, schema)),
        }
    }

    fn expected_rows(&mut self, rows: &Rows, schema: &Schema) -> Vec<ExpectedRow> {
        let row = |row: &Row| self.cells(row, schema).into_iter().filter_map(|(i, value)| Some((i, value?))).collect();
        rows.rows.iter().map(row).collect()
    }

    /// The cells of a row by the position of their column; no value where the cell is wrong (reported).
    fn cells(&mut self, row: &Row, schema: &Schema) -> Vec<(usize, Option<ScalarValue>)> {
        let mut found: Vec<(usize, Option<ScalarValue>)> = Vec::with_capacity(row.cells.fields.len());
        for field in &row.cells.fields {
            let (name, at) = (field.name.name.as_str(), field.name.at.0);
            let Some(index) = schema.position(name) else {
                let problem = Diagnostic::error("test-column", at, format!("column `{name}` does not exist"))
                    .label("no such column");
                let problem = suggested(problem, name, at, schema.names());
                self.report(match problem.help {
                    None => problem.help(format!("the columns are {}", some_of(schema.names()))),
                    Some(_) => problem,
                });
                continue;
            };
            if found.iter().any(|(i, _)| *i == index) {
                self.report(
                    Diagnostic::error("duplicate-column", at, format!("column `{name}` stands here twice"))
                        .label("again"),
                );
                continue;
            }
            let value = self.cell(field, &schema.columns[index]);
            found.push((index, value));
        }
        found
    }

    fn cell(&mut self, field: &StructField, column: &Column) -> Option<ScalarValue> {
        let Some(cell) = &field.value else {
            let message = format!("column `{}` has no value", column.name);
            self.report(Diagnostic::error("test-value", field.name.at.0, message).label("a name alone"));
            return None;
        };
        let typed = self.typed_constant(cell);
        if typed.is_unknown() || column.slot.ty.is_unknown() {
            return None;
        }
        let written = typed.slot.to_string();
        if let Some(special) = special_float(&typed, &column.slot.ty) {
            return Some(special);
        }
        match coerce::fit(typed, &column.slot.ty) {
            Ok(typed) if typed.slot.nullable && !column.slot.nullable => {
                let problem = self.wrong_cell(cell, column, "may be null");
                self.report(problem);
                None
            }
            Ok(typed) => {
                let found = value(&typed);
                if found.is_none() {
                    let problem = self.wrong_cell(cell, column, "is not known before the pipeline runs");
                    self.report(problem);
                }
                found
            }
            Err(unfit) if is_text(&column.slot.ty) && is_text(&unfit.expr.slot.ty) => value(&unfit.expr),
            Err(_) => {
                let problem = self.wrong_cell(cell, column, &format!("this is `{written}`"));
                self.report(problem);
                None
            }
        }
    }

    fn wrong_cell(&self, cell: &Expr, column: &Column, label: &str) -> Diagnostic {
        let message =
            format!("`{}` is no value of column `{}`, which is `{}`", self.text(cell.at.0), column.name, column.slot);
        let example = match &column.slot.ty {
            ty @ (Type::Timestamp(_) | Type::Date | Type::Time | Type::Duration) => {
                coerce::form_of(ty).trim_start_matches("write ").to_owned()
            }
            ty => super::expressions::example_of(ty),
        };
        Diagnostic::error("test-value", cell.at.0, message)
            .label(label)
            .help(format!("for example:\n  {}: {example}", column.name))
    }

    fn test_duration(&mut self, by: &Expr) -> Option<i64> {
        let typed = self.typed_constant(by);
        match value(&typed) {
            Some(ScalarValue::DurationMicrosecond(Some(n))) if n >= 0 => Some(n),
            _ if typed.is_unknown() => None,
            _ => {
                let problem =
                    Diagnostic::error("invalid-duration", by.at.0, "a duration is wanted here").label("is none");
                self.report(problem.help("for example:\n  advance 10s"));
                None
            }
        }
    }

    fn test_moment(&mut self, to: &Expr) -> Option<i64> {
        let typed = self.typed_constant(to);
        let moment = match value(&typed) {
            Some(ScalarValue::TimestampMicrosecond(Some(n), _)) => Some(n),
            Some(ScalarValue::Utf8(Some(text))) => literals::timestamp(&text, self.header.zone.as_deref()),
            _ => None,
        };
        if moment.is_none() && !typed.is_unknown() {
            let problem = Diagnostic::error("test-value", to.at.0, "a moment is wanted here").label("is none");
            self.report(problem.help("for example:\n  advance watermark to \"2026-01-01T12:00:00Z\""));
        }
        moment
    }

    fn counted(&mut self, what: &Ident) -> Option<Counted> {
        let found = Counted::ALL.iter().find(|(_, word)| *word == what.name).map(|(counted, _)| *counted);
        if found.is_none() {
            let words = Counted::ALL.map(|(_, word)| word);
            let message = format!("rows are not counted as `{}`", what.name);
            let problem = Diagnostic::error("test-side", what.at.0, message).label("not known");
            self.report(match suggest::closest(&what.name, words) {
                Some(close) => problem.help(format!("did you mean `{close}`?")).edit(what.at.0, close),
                None => problem.help(format!("rows are counted as {}", words.join(", "))),
            });
        }
        found
    }
}

fn schema_of(name: &str, wiring: &Wiring) -> Option<Schema> {
    match wiring.outputs.get(name)? {
        Output::Ready(feed) => Some(feed.edge.schema.clone()),
        Output::Broken => None,
    }
}

/// `"NaN"`, `"inf"` and `"-inf"`, for which there is no literal.
fn special_float(typed: &TypedExpr, ty: &Type) -> Option<ScalarValue> {
    let Node::Literal(ScalarValue::Utf8(Some(text))) = &typed.node else { return None };
    let number: f64 = ["NaN", "inf", "-inf"].contains(&text.as_str()).then(|| text.parse().ok())??;
    match ty {
        Type::Float64 => Some(ScalarValue::Float64(Some(number))),
        #[expect(clippy::cast_possible_truncation, reason = "a NaN stays one, and infinity too")]
        Type::Float32 => Some(ScalarValue::Float32(Some(number as f32))),
        _ => None,
    }
}

/// Json is text, in a test's cell as well.
fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::String | Type::Json)
}
