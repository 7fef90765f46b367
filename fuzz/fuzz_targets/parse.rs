//! Any text gives a tree and problems whose places lie in it, on character boundaries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_dsl::{Diagnostic, FileId, parse};

fuzz_target!(|text: &str| {
    let parsed = parse::file(FileId(0), text);
    parsed.problems.iter().for_each(|problem| lies_in(problem, text));
});

fn lies_in(problem: &Diagnostic, text: &str) {
    let spans = problem.labels.iter().map(|label| label.span).chain(problem.edits.iter().map(|edit| edit.span));
    for span in spans {
        assert!(text.get(span.range()).is_some(), "{}: {:?} is no place of this text", problem.code, span);
    }
}
