//! An expectation of rows that was not met, with all it takes to show it.

use crate::model::Column;
use crate::trial::compare::{Demand, Difference, Finding, Row, Wanted};

/// Rows that are not as expected.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// The stream, and the batch where one was asked for.
    pub of: String,
    /// What was asked for.
    pub demand: Demand,
    /// The stream's columns.
    pub columns: Vec<Column>,
    /// The rows of the test.
    pub wanted: Vec<Wanted>,
    /// The rows that came.
    pub given: Vec<Row>,
    /// How they differ.
    pub difference: Difference,
}

impl Mismatch {
    /// What is wrong, in a sentence.
    pub fn sentence(&self) -> String {
        let (of, came) = (&self.of, rows(self.given.len()));
        let (missing, unexpected) = (self.difference.missing(), self.difference.unexpected());
        let changed = self.difference.findings.iter().filter(|f| matches!(f, Finding::Changed(..))).count();
        if self.wanted.is_empty() {
            return format!("{of} gave {came}, but nothing was expected");
        }
        if self.given.is_empty() {
            return format!("{of} gave nothing, but {} expected", were(self.wanted.len()));
        }
        if self.difference.only_order {
            return format!("{of} gave the rows that were expected, but in another order");
        }
        if self.demand == Demand::Contains {
            let among = if missing == 1 { "is" } else { "are" };
            return match self.wanted.len() {
                1 => format!("{of} gave {came}, but not the one that was expected"),
                all => format!("{missing} of {all} rows that {of} must give {among} missing"),
            };
        }
        let counts = [
            (changed, if changed == 1 { "is not as expected" } else { "are not as expected" }),
            (missing - changed, if missing - changed == 1 { "is missing" } else { "are missing" }),
            (unexpected - changed, if unexpected - changed == 1 { "was not expected" } else { "were not expected" }),
        ];
        let parts =
            counts.iter().filter(|(n, _)| *n > 0).enumerate().map(|(i, (n, what))| {
                if i == 0 { format!("{} of {of} {what}", rows(*n)) } else { format!("{n} {what}") }
            });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// A few words for the place itself.
    pub fn label(&self) -> String {
        let (wanted, came) = (self.wanted.len(), self.given.len());
        match self.demand {
            Demand::Contains => String::new(),
            _ if wanted == came => String::new(),
            _ => format!("{} expected, {came} came", rows(wanted)),
        }
    }

    /// Positions of the columns worth showing: those that are written, or all where none is.
    pub fn shown_columns(&self) -> Vec<usize> {
        let written = |i: &usize| self.wanted.iter().flatten().any(|(column, _)| column == i);
        let all = 0..self.columns.len();
        let some: Vec<usize> = all.clone().filter(written).collect();
        if some.is_empty() { all.collect() } else { some }
    }
}

fn rows(n: usize) -> String {
    if n == 1 { "1 row".into() } else { format!("{n} rows") }
}

fn were(n: usize) -> String {
    format!("{} {}", rows(n), if n == 1 { "was" } else { "were" })
}
