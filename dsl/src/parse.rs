//! Text to syntax tree. Reads as much as it can: a statement or stage that cannot be read becomes a hole
//! and a diagnostic, and the rest is still there.
//!
//! ```text
//! text --scan--> statements, stages, test steps --grammar--> nodes --build--> tree --comments--> tree
//! ```
//!
//! `scan` cuts the text; `reader` runs the grammar on one piece; `statement`, `chain`, `clause`, `expr`, `operand`,
//! `literal`, `types` and `test_block` build the tree; `slip` and `failure` say what is wrong; `comments` puts the
//! comments back. [`fragment`] reads the pieces of text that a YAML file holds.

mod chain;
mod clause;
mod comments;
mod expr;
mod failure;
pub mod fragment;
mod lex;
mod literal;
mod operand;
mod reader;
mod scan;
mod slip;
mod statement;
mod test_block;
mod types;

use crate::ast::{self, Expr, TypeExpr};
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};

pub use fragment::{arguments, call_arguments, clause, expected, expression, rows, step, type_expr};

/// A file of more bytes is refused.
const LONGEST_FILE: usize = 16 << 20;

/// A tree and what was wrong with its text.
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    /// What could be read.
    pub tree: T,
    /// What could not; empty when all could. In the order of the text.
    pub problems: Vec<Diagnostic>,
}

/// Where the bytes of a fragment stand in their file: byte `i` of the fragment stands at `offset(i)`.
/// A quoted YAML scalar with escapes is not one piece of the file, hence a list.
#[derive(Debug, Clone)]
pub struct Positions {
    /// The file the fragment was taken from.
    pub file: FileId,
    /// The offset of each byte of the fragment, and one more for its end; non-decreasing.
    pub offsets: Vec<u32>,
}

impl Positions {
    /// A fragment of `length` bytes that stands in one piece from `start` on.
    pub fn whole(file: FileId, start: usize, length: usize) -> Self {
        let offset = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        Positions { file, offsets: (start..=start + length).map(offset).collect() }
    }
}

/// Reads a `.stream` file, with all that is wrong in it.
pub fn file(file: FileId, text: &str) -> Parsed<ast::File> {
    if text.len() > LONGEST_FILE {
        let problem = Diagnostic::error("too-long", Span::new(file, 0, 0), "this file is longer than 16 MB");
        let problem =
            problem.help("keep data in files of its own, and split the pipeline with:\n  import \"other.stream\"");
        return Parsed { tree: ast::File::default(), problems: vec![problem] };
    }
    let scan = scan::scan(file, text);
    let mut reader = reader::Reader::of_file(file, &scan.clean);
    reader.problems = scan.problems;
    let mut tree = ast::File::default();
    for chunk in &scan.chunks {
        if reader.full() {
            break;
        }
        tree.statements.push(statement::read(&mut reader, chunk));
    }
    comments::attach(&mut tree, text, &reader, &scan.comments);
    let mut problems = reader.problems;
    problems.sort_by_key(|p| (p.span().start, p.span().end));
    if problems.len() >= reader::MOST_PROBLEMS {
        problems.truncate(reader::MOST_PROBLEMS);
        let last = problems.last().map(Diagnostic::span).unwrap_or_default();
        let problem = Diagnostic::error("syntax", last.after(), "too much is wrong here to list it all");
        problems.push(problem.help("mend the problems above first; there may be more"));
    }
    Parsed { tree, problems }
}

/// Reads an option's value as the type it stands for: `schema: { order_id: string, tags: list(string)? }`.
///
/// # Errors
///
/// What is no type, with the place of it.
pub fn type_from_expr(expr: &Expr) -> Result<TypeExpr, Diagnostic> {
    types::from_expr(expr)
}

/// All comments of a `.stream` text, from `#` to the end of the line, without trailing white space.
pub fn comments(text: &str) -> Vec<&str> {
    scan::scan(FileId(0), text).comments.iter().map(|(start, end)| &text[*start..*end]).collect()
}
