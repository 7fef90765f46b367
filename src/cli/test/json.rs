//! Tests as objects, one a line, for scripts and editors.

use std::io::Write;

use serde_json::{Value, json};

use super::{Tell, Total, Verdict};
use crate::cli::Failure;
use crate::cli::findings::Findings;
use crate::cli::json::object;
use crate::cli::terminal::Terminal;
use crate::trial::Mismatch;
use crate::trial::compare::{Finding, Row, Wanted};

/// Writes objects.
pub(super) struct Json<'a> {
    terminal: &'a mut Terminal,
}

impl<'a> Json<'a> {
    pub(super) fn new(terminal: &'a mut Terminal) -> Self {
        Json { terminal }
    }

    fn write(&mut self, object: &Value) -> Result<(), Failure> {
        Ok(writeln!(self.terminal.out(), "{object}")?)
    }
}

impl Tell for Json<'_> {
    fn file(&mut self, name: &str, found: &Findings, tests: usize) -> Result<(), Failure> {
        let problems: Vec<_> = found.problems.iter().map(|p| object(p, &found.program.sources)).collect();
        self.write(&json!({ "type": "file", "file": name, "tests": tests, "problems": problems }))
    }

    fn test(&mut self, verdict: &Verdict<'_>) -> Result<(), Failure> {
        let line =
            verdict.sources.get(verdict.scenario.span.file).map(|f| f.line_column(verdict.scenario.span.start).line);
        let mut test = json!({
            "type": "test",
            "file": verdict.file,
            "name": verdict.scenario.name,
            "line": line,
            "outcome": if verdict.outcome.is_ok() { "ok" } else { "failed" },
            "seconds": verdict.took.as_secs_f64(),
        });
        match &verdict.outcome {
            Ok(batches) => test["batches"] = (*batches).into(),
            Err(failed) => {
                test["problem"] = object(&failed.problem, verdict.sources);
                if let Some(mismatch) = &failed.mismatch {
                    test["rows"] = rows(mismatch);
                }
            }
        }
        self.write(&test)
    }

    fn end(&mut self, total: &Total) -> Result<(), Failure> {
        self.write(&json!({
            "type": "result",
            "passed": total.passed,
            "failed": total.failed,
            "filtered_out": total.filtered,
            "files_not_run": total.broken,
            "seconds": total.took.as_secs_f64(),
        }))
    }
}

/// Every row with what became of it. Only written columns of expected rows are there.
fn rows(mismatch: &Mismatch) -> Value {
    let wanted = |w: usize| wanted(mismatch, &mismatch.wanted[w]);
    let given = |g: usize| given(mismatch, &mismatch.given[g]);
    let row = |finding: &Finding| match finding {
        Finding::Kept(g) => json!({ "is": "expected", "given": given(*g) }),
        Finding::Missing(w) => json!({ "is": "missing", "expected": wanted(*w) }),
        Finding::Unexpected(g) => json!({ "is": "unexpected", "given": given(*g) }),
        Finding::Changed(w, g) => json!({ "is": "changed", "expected": wanted(*w), "given": given(*g) }),
        Finding::Near(w, g) => json!({ "is": "missing", "expected": wanted(*w), "nearest": given(*g) }),
        Finding::Other(g) => json!({ "is": "other", "given": given(*g) }),
    };
    mismatch.difference.findings.iter().map(row).collect()
}

fn wanted(mismatch: &Mismatch, row: &Wanted) -> Value {
    let cells = row.iter().map(|(i, value)| (mismatch.columns[*i].name.clone(), value.to_json()));
    Value::Object(cells.collect())
}

fn given(mismatch: &Mismatch, row: &Row) -> Value {
    let cells = mismatch.columns.iter().zip(row).map(|(column, value)| (column.name.clone(), value.to_json()));
    Value::Object(cells.collect())
}
