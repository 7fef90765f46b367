//! `millstream convert`: one form of a pipeline to the other, without loss.

use std::io::Write;
use std::path::Path;

use millstream_dsl::SourceMap;

use super::args::{self, Convert};
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use super::{findings, write};
use crate::load::{self, Form, STDIN};

/// Reads the file in the form its name tells (standard input: the other one) and writes the form asked for.
pub(crate) fn convert(args: &Convert, terminal: &mut Terminal) -> Outcome {
    let (to, other) = match args.to {
        args::Form::Stream => (Form::Stream, Form::Yaml),
        args::Form::Yaml => (Form::Yaml, Form::Stream),
    };
    let from = if args.file == Path::new(STDIN) { other } else { Form::of(&args.file) };
    let mut sources = SourceMap::new();
    let text = match load::read_text(&args.file) {
        Ok(text) => text,
        Err(refused) => {
            let problem = refused.diagnostic(&mut sources, &args.file);
            let said = findings::render_all(&[problem], &sources, terminal.error_look);
            terminal.aside(&said);
            return Ok(Exit::Unreadable);
        }
    };
    let id = sources.add(args.file.display().to_string(), text.as_str());
    let parsed = load::parse(&text, id, from);
    if parsed.problems.iter().any(millstream_dsl::Diagnostic::is_error) {
        let said = findings::render_all(&parsed.problems, &sources, terminal.error_look);
        terminal.aside(&said);
        return Ok(Exit::Mistakes);
    }
    let converted = load::print(&parsed.tree, to);
    match &args.output {
        Some(path) => write::replace(path, &converted).map_err(|refused| Failure::of(path, &refused))?,
        None => terminal.out().write_all(converted.as_bytes())?,
    }
    Ok(Exit::Clean)
}
