//! Wrong programs next to the text a user sees: `tests/cases/messages/NAME.stream` (or `.yaml`) and `NAME.out`.

use crate::files::{below, differs, none};
use crate::program::{millstream_in, root};

const FOLDER: &str = "tests/cases/messages";

#[test]
fn every_wrong_program_gets_the_answer_that_lies_next_to_it() {
    let cases = below(FOLDER, &["stream", "yaml"]);
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let complaints = cases.iter().filter_map(|case| {
        let name = case.file_name().unwrap().to_str().unwrap();
        let ran = millstream_in(&root().join(FOLDER), &["check", name], "");
        assert!(ran.err.is_empty(), "{name}: {}", ran.err);
        differs(case.with_extension("out"), &ran.out)
    });
    none(complaints.collect());
}

#[test]
fn every_expected_answer_belongs_to_a_program() {
    for out in below(FOLDER, &["out"]) {
        let belongs = ["stream", "yaml"].iter().any(|ending| root().join(out.with_extension(ending)).exists());
        assert!(belongs, "{} belongs to nothing", out.display());
    }
}
