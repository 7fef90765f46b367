//! Sources of a program's own (Spark's custom receivers): a [`Source`] under a word of its own.

use crate::model::Schema;
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::NotRunnable;
use crate::plan::seams::Source;
use crate::plan::{Doc, Mode, SourceEntry};

/// A source under a word of its own, `source x = NAME()`, whose rows have these columns. It should be able to read
/// again from a position; `open` says in a sentence why it cannot be opened.
pub fn source(
    name: &str,
    summary: &str,
    columns: Schema,
    open: impl Fn(&Endpoint) -> Result<Box<dyn Source>, String> + Send + Sync + 'static,
) -> SourceEntry {
    SourceEntry {
        doc: Doc::new(name, summary, &format!("{name}()")),
        args: Vec::new(),
        options: Vec::new(),
        rows: RowsFrom::Fixed(columns.columns),
        rewinds: true,
        table: true,
        mode: |_| Mode::Append,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(move |endpoint| open(endpoint).map_err(NotRunnable)),
    }
}
