//! Tests as JUnit's XML, which build servers read. A file with mistakes is one test case that ended in an error.

use std::fmt::Write as _;
use std::io::Write;

use super::{Tell, Total, Verdict, diff};
use crate::cli::Failure;
use crate::cli::findings::Findings;
use crate::cli::report::{self, Look};
use crate::cli::terminal::Terminal;

/// How messages look in XML.
const PLAIN: Look = Look { color: false, lines: false, width: 160 };

/// Collects everything: the numbers stand in front.
pub(super) struct Junit<'a> {
    terminal: &'a mut Terminal,
    suites: Vec<Suite>,
}

#[derive(Default)]
struct Suite {
    name: String,
    tests: usize,
    failures: usize,
    errors: usize,
    seconds: f64,
    cases: String,
}

impl<'a> Junit<'a> {
    pub(super) fn new(terminal: &'a mut Terminal) -> Self {
        Junit { terminal, suites: Vec::new() }
    }
}

impl Tell for Junit<'_> {
    fn file(&mut self, name: &str, found: &Findings, _: usize) -> Result<(), Failure> {
        let mut suite = Suite { name: name.to_owned(), ..Suite::default() };
        let counts = found.counts();
        if counts.errors > 0 {
            (suite.tests, suite.errors) = (1, 1);
            let (name, counts, said) = (escaped(name), counts.to_string(), escaped(found.text(PLAIN).trim_end()));
            suite.cases = format!(
                "    <testcase name=\"check\" classname=\"{name}\">\n      <error message=\"{counts}\">{said}</error>\n    </testcase>\n"
            );
        }
        self.suites.push(suite);
        Ok(())
    }

    fn test(&mut self, verdict: &Verdict<'_>) -> Result<(), Failure> {
        let Some(suite) = self.suites.last_mut() else { return Ok(()) };
        let seconds = verdict.took.as_secs_f64();
        suite.tests += 1;
        suite.seconds += seconds;
        let (name, class) = (escaped(&verdict.scenario.name), escaped(verdict.file));
        let _ = write!(suite.cases, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{seconds:.6}\"");
        let Err(failed) = &verdict.outcome else {
            suite.cases.push_str("/>\n");
            return Ok(());
        };
        suite.failures += 1;
        let message = escaped(&failed.problem.message);
        let said = report::render(&super::at_first_line(failed, verdict.sources), verdict.sources, PLAIN);
        let table = failed.mismatch.as_ref().map(|mismatch| diff::table(mismatch, PLAIN)).unwrap_or_default();
        let said = escaped((said + &table).trim_end());
        let _ = writeln!(suite.cases, ">\n      <failure message=\"{message}\">{said}</failure>\n    </testcase>");
        Ok(())
    }

    fn end(&mut self, total: &Total) -> Result<(), Failure> {
        let sum = |of: fn(&Suite) -> usize| self.suites.iter().map(of).sum::<usize>();
        let (tests, failures, errors) = (sum(|s| s.tests), sum(|s| s.failures), sum(|s| s.errors));
        let seconds = total.took.as_secs_f64();
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(
            text,
            "<testsuites name=\"millstream\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.6}\">"
        );
        for Suite { name, tests, failures, errors, seconds, cases } in &self.suites {
            let name = escaped(name);
            let _ = writeln!(
                text,
                "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.6}\">\n{cases}  </testsuite>"
            );
        }
        text.push_str("</testsuites>\n");
        Ok(self.terminal.out().write_all(text.as_bytes())?)
    }
}

/// Text as XML may hold it; characters it may not hold at all are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_breaks_the_xml() {
        assert_eq!(escaped("a \"b\" <c> & d\u{0}\n"), "a &quot;b&quot; &lt;c&gt; &amp; d\u{fffd}\n");
    }
}
