//! Runs test blocks: rows are handed in, time is moved, and what streams gave is compared with what is expected. Time
//! is virtual, so nothing here sleeps or reads a clock; sinks are not opened; what is printed is not its business.

pub mod compare;
pub mod mismatch;
pub mod value;

mod course;
mod given;
mod tally;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use millstream_dsl::Diagnostic;

use crate::plan::scenario::{Action, Scenario, ScenarioStep};
use crate::plan::{FormatEntry, Plan};

pub use mismatch::Mismatch;

use course::Course;

/// What the clock of every test shows at first: the first multiple of the batch interval that is not before
/// 2026-01-01T00:00:00Z. The first batch is one interval later.
pub const START: i64 = 1_767_225_600_000_000;

/// What the test blocks of a file have in common.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The checked pipeline, without mistakes.
    pub plan: &'a Plan,
    /// Where paths in test blocks start: the folder of the pipeline file.
    pub base: &'a Path,
    /// Formats for files that are given to a source without one, by their ending.
    pub formats: &'a [Arc<FormatEntry>],
}

/// Why a test failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Where and why, in a sentence. Without a code: it is no mistake of the pipeline's text.
    pub problem: Diagnostic,
    /// The rows, where an expectation of rows was not met.
    pub mismatch: Option<Mismatch>,
}

impl Failed {
    fn of(problem: Diagnostic) -> Box<Self> {
        Box::new(Failed { problem, mismatch: None })
    }
}

/// Runs one test block. How many batches it took, or why it failed.
pub fn run(setting: Setting<'_>, scenario: &Scenario) -> Result<u64, Box<Failed>> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut course = Course::open(setting, scenario)?;
        scenario.steps.iter().try_for_each(|step| follow(&mut course, step))?;
        Ok(course.batches())
    }));
    ran.unwrap_or_else(|_| Err(Failed::of(Diagnostic::error("", scenario.span, "the test panicked: this is a bug"))))
}

fn follow(course: &mut Course<'_>, step: &ScenarioStep) -> Result<(), Box<Failed>> {
    let at = step.span;
    match &step.action {
        Action::Give { input, rows } => course.give(input, rows, at),
        Action::GiveFile { input, path } => course.give_file(input, path, at),
        Action::Step(count) => (0..*count).try_for_each(|_| course.step(at)),
        Action::Advance(micros) => course.advance(*micros, at),
        Action::AdvanceWatermark { of, to } => course.advance_mark(of.as_deref(), *to, at),
        Action::Restart => course.restart(at),
        Action::Expect { of, batch, rows } => course.expect(of, *batch, rows, at),
        Action::ExpectCount { what, of, count } => course.expect_count(*what, of, *count, at),
    }
}
