//! Any YAML gives a tree and problems whose places lie in it; a tree without problems survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_dsl::{FileId, yaml};

fuzz_target!(|text: &str| {
    let parsed = yaml::read(FileId(0), text);
    for problem in &parsed.problems {
        let spans = problem.labels.iter().map(|label| label.span).chain(problem.edits.iter().map(|edit| edit.span));
        for span in spans {
            assert!(text.get(span.range()).is_some(), "{}: {:?} is no place of this text", problem.code, span);
        }
    }
    if parsed.problems.is_empty() {
        let written = yaml::write(&parsed.tree);
        let again = yaml::read(FileId(0), &written);
        assert!(again.problems.is_empty(), "{:?}\n{written}", again.problems);
        assert_eq!(again.tree, parsed.tree, "{written}");
    }
});
