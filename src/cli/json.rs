//! A diagnostic as an object for editors and scripts: everything the text form says, with places in bytes and
//! in lines and columns.

use millstream_dsl::{Diagnostic, SourceMap, Span};
use serde_json::{Value, json};

/// One diagnostic. The keys are a promise to those who parse them.
pub(crate) fn object(problem: &Diagnostic, sources: &SourceMap) -> Value {
    let labels = problem.labels.iter().map(|label| with(place(label.span, sources), "text", &label.text));
    let edits = problem.edits.iter().map(|edit| with(place(edit.span, sources), "replacement", &edit.replacement));
    json!({
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "labels": labels.collect::<Vec<_>>(),
        "help": problem.help,
        "edits": edits.collect::<Vec<_>>(),
    })
}

/// Bytes count from zero, lines and columns (characters) from one; ends are exclusive.
fn place(span: Span, sources: &SourceMap) -> Value {
    let Some(file) = sources.get(span.file) else { return json!({}) };
    json!({
        "file": file.name,
        "bytes": { "start": span.start, "end": span.end },
        "start": file.line_column(span.start),
        "end": file.line_column(span.end),
    })
}

fn with(mut object: Value, key: &str, text: &str) -> Value {
    object[key] = text.into();
    object
}
