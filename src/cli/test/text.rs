//! Tests as people follow them: a line each, what failed at the end, as `cargo test` has it.

use std::io::Write;

use super::{Tell, Total, Verdict, diff};
use crate::cli::Failure;
use crate::cli::findings::Findings;
use crate::cli::report;
use crate::cli::terminal::Terminal;

/// Writes lines to the terminal.
pub(super) struct Text<'a> {
    terminal: &'a mut Terminal,
    /// What is said of each test that failed.
    failures: Vec<String>,
    files: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(terminal: &'a mut Terminal) -> Self {
        Text { terminal, failures: Vec::new(), files: 0 }
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
            let problem = report::render(&super::at_first_line(failed, verdict.sources), verdict.sources, look);
            let table = failed.mismatch.as_ref().map(|mismatch| diff::table(mismatch, look) + "\n");
            self.failures.push(format!("---- {}: {name} ----\n{problem}{}", verdict.file, table.unwrap_or_default()));
        }
        Ok(())
    }

    fn end(&mut self, total: &Total) -> Result<(), Failure> {
        let look = self.terminal.look;
        let out = self.terminal.out();
        if !self.failures.is_empty() {
            writeln!(out, "\nfailures:\n\n{}", self.failures.join("").trim_end())?;
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
