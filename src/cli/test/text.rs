//! Tests as people follow them: a line each, what failed at the end, as `cargo test` has it.

use std::io::Write;

use millstream_dsl::Diagnostic;

use super::{Tell, Total, Verdict, diff};
use crate::cli::Failure;
use crate::cli::findings::Findings;
use crate::cli::report;
use crate::cli::terminal::Terminal;

/// Writes lines to the terminal.
pub(super) struct Text<'a> {
    terminal: &'a mut Terminal,
    /// What is said of tests that failed.
    told: Vec<Told>,
    files: usize,
}

/// What is said of a test that failed, and of the next ones of its file that failed for the very same reason.
struct Told {
    test: String,
    more: usize,
    problem: Diagnostic,
    text: String,
}

impl<'a> Text<'a> {
    pub(super) fn new(terminal: &'a mut Terminal) -> Self {
        Text { terminal, told: Vec::new(), files: 0 }
    }
}

impl Tell for Text<'_> {
    fn file(&mut self, name: &str, found: &Findings, tests: usize) -> Result<(), Failure> {
        let counts = found.counts();
        if counts.errors > 0 {
            let problems = found.text(self.terminal.look);
            self.terminal.out().write_all(problems.as_bytes())?;
            writeln!(self.terminal.out(), "{name}: {counts}")?;
            return Ok(());
        }
        if counts.warnings > 0 {
            self.terminal.aside(&format!("{name}: {counts}; millstream check {name} shows them\n"));
        }
        let gap = if self.files > 0 { "\n" } else { "" };
        self.files += 1;
        let plural = if tests == 1 { "" } else { "s" };
        Ok(writeln!(self.terminal.out(), "{gap}running {tests} test{plural} of {name}")?)
    }

    fn test(&mut self, verdict: &Verdict<'_>) -> Result<(), Failure> {
        let look = self.terminal.look;
        let name = &verdict.scenario.name;
        let word = if verdict.outcome.is_ok() { look.good("ok") } else { look.bad("FAILED") };
        writeln!(self.terminal.out(), "test {name} ... {word}")?;
        if let Err(failed) = &verdict.outcome {
            let test = format!("{}: {name}", verdict.file);
            match self.told.last_mut().filter(|told| told.problem == failed.problem) {
                Some(told) => told.more += 1,
                None => {
                    let problem = report::render(&super::at_first_line(failed, verdict.sources), verdict.sources, look);
                    let table = failed.mismatch.as_ref().map(|mismatch| diff::table(mismatch, look) + "\n");
                    let text = problem + &table.unwrap_or_default();
                    self.told.push(Told { test, more: 0, problem: failed.problem.clone(), text });
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, total: &Total) -> Result<(), Failure> {
        let look = self.terminal.look;
        let out = self.terminal.out();
        for (number, Told { test, more, text, .. }) in self.told.iter().enumerate() {
            let head = if number == 0 { "\nfailures:\n" } else { "" };
            let more = match more {
                0 => String::new(),
                1 => " (and another one)".into(),
                n => format!(" (and {n} others)"),
            };
            writeln!(out, "{head}\n---- {test}{more} ----\n{}", text.trim_end())?;
        }
        let Total { passed, failed, filtered, broken, took } = total;
        let word = if *failed + *broken == 0 { look.good("ok") } else { look.bad("FAILED") };
        let files = match broken {
            0 => String::new(),
            1 => "1 file not run; ".into(),
            n => format!("{n} files not run; "),
        };
        let out_of = if *filtered > 0 { format!("{filtered} filtered out; ") } else { String::new() };
        let seconds = took.as_secs_f64();
        writeln!(
            out,
            "\ntest result: {word}. {passed} passed; {failed} failed; {out_of}{files}finished in {seconds:.2}s"
        )?;
        Ok(())
    }
}
