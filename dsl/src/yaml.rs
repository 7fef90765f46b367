//! The YAML twin of the `.stream` language: the same names, the same tree.
//!
//! ```yaml
//! pipeline: { name: wordcount, every: 1s }
//! sources:
//!   lines: { socket: "127.0.0.1:9999" }
//! streams:
//!   counts:
//!     from: lines
//!     stages:
//!       - explode: split(lower(line), " ")
//!         as: word
//!       - where: word != ""
//!       - aggregate: { n: count() }
//!         by: word
//!         per: batch
//! sinks:
//!   - from: counts
//!     into: { console: {} }
//! ```
//!
//! There is no code per stage, source or option. A plain, single-quoted or block scalar is the text of an expression,
//! as in a `.stream` file; a double-quoted one is a string; a list is a list, a mapping a struct or options. The first
//! key of a stage is its word and that key's value its arguments: one scalar, a list of several, a mapping of named
//! ones; the other keys are clauses. The first key of a source or sink is its word, too; of the other keys the clause
//! words are clauses and the rest options, which stand under `options` where their names clash.
//!
//! # Comments and empty lines
//!
//! A YAML comment above an item belongs to the item, one behind the first line of an item, too: to the outermost item
//! that starts on that line. Comments below the last item of a block, as far to the right, end the block. All comments
//! of a `.stream` file can be written but those in a struct that is a part of a larger expression, `f({ a: 1 # one
//! })`: the expression is one line of text here, and they move above the item. What YAML cannot hold at all are two
//! definitions, options or clauses of one name in one place; such a file does not check.

mod emit;
mod node;
mod order;
mod read;
mod scalar;
mod sections;
mod steps;
mod values;
mod write;
mod write_values;

use crate::ast;
use crate::diagnostic::Diagnostic;
use crate::parse::Parsed;
use crate::span::{FileId, Span};

pub use write::write;

/// A file of more bytes is refused.
const LONGEST_FILE: usize = 16 << 20;

/// Reads a YAML topology, with all that is wrong in it.
pub fn read(file: FileId, text: &str) -> Parsed<ast::File> {
    if text.len() > LONGEST_FILE {
        let problem = Diagnostic::error("too-long", Span::new(file, 0, 0), "this file is longer than 16 MB");
        let problem = problem.help("keep data in files of its own");
        return Parsed { tree: ast::File::default(), problems: vec![problem] };
    }
    let document = node::read(file, text);
    let (mut reader, root) = read::Reader::new(file, text, document);
    let tree = sections::file(&mut reader, root.as_ref());
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| (problem.span().start, problem.span().end));
    if problems.len() > read::MOST_PROBLEMS {
        problems.truncate(read::MOST_PROBLEMS);
        let place = problems.last().map(Diagnostic::span).unwrap_or_default();
        let problem =
            Diagnostic::error("syntax", place.after(), "too much is wrong above: nothing is said from here on");
        problems.push(problem.help("mend the problems above first"));
    }
    Parsed { tree, problems }
}
