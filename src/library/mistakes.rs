//! Mistakes of a text as an error of a program: one line each, with place and help.

use std::fmt;

use millstream_dsl::{Diagnostic, Severity, SourceMap};

/// What is wrong with a pipeline's text, or suspicious.
#[derive(Debug)]
pub struct Mistakes {
    /// In the order of the text.
    pub problems: Vec<Diagnostic>,
    /// The texts they point into.
    pub sources: SourceMap,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let span = problem.span();
            if let Some(file) = self.sources.get(span.file) {
                let place = file.line_column(span.start);
                write!(f, "{}:{}:{}: ", file.name, place.line, place.column)?;
            }
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            write!(f, "{severity}[{}]: {}", problem.code, problem.message)?;
            if let Some(help) = &problem.help {
                write!(f, "\n  help: {}", help.replace('\n', "\n  "))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
