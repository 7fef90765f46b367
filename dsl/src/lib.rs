//! The language of Millstream: text and YAML to one syntax tree, and back.
//!
//! ```text
//! .stream text --parse--+                +--print--> .stream text
//!                       +--> ast::File --+
//! .yaml topology -yaml--+                +--yaml---> .yaml topology
//! ```
//!
//! This crate knows syntax and nothing else: no stage, source, sink, format or function by name, no files,
//! no clock, no threads, no Arrow. Whatever it cannot read becomes a [`Diagnostic`], never a panic.

pub mod ast;
pub mod diagnostic;
mod layout;
mod lexis;
pub mod parse;
pub mod print;
pub mod span;
pub mod suggest;
pub mod walk;
pub mod yaml;

pub use ast::File;
pub use diagnostic::{Diagnostic, Edit, Label, Severity};
pub use span::{FileId, SourceFile, SourceMap, Span};
