//! `millstream convert`: one form of a pipeline to the other, without loss.

use std::io::Write;
use std::path::Path;

use millstream_dsl::FileId;

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
    let read = match findings::single(&args.file, from, terminal) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let converted = load::print(&read.tree, to);
    // A YAML mapping holds a name once: a file that defines one twice has no YAML form.
    let again = load::parse(&converted, FileId(0), to);
    if let Some(lost) = again.problems.iter().find(|problem| problem.is_error()) {
        return Err(Failure::new(format!(
            "`{}` cannot be written in the other form: {}",
            args.file.display(),
            lost.message
        )));
    }
    match &args.output {
        Some(path) => write::replace(path, &converted).map_err(|refused| Failure::of(path, &refused))?,
        None => terminal.out().write_all(converted.as_bytes())?,
    }
    Ok(Exit::Clean)
}
