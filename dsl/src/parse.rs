//! Text to syntax tree. Reads as much as it can: a statement or stage that cannot be read becomes a hole
//! and a diagnostic, and the rest is still there.

use crate::ast::{ClauseKind, Expr, File, TypeExpr, Arg};
use crate::diagnostic::Diagnostic;
use crate::span::FileId;

/// A tree and what was wrong with its text.
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    /// What could be read.
    pub tree: T,
    /// What could not; empty when all could.
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
