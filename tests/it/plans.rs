//! What `plan` and `graph` print: pipelines of `tests/cases/plans` next to what is printed of them.

use crate::files::{below, differs, none};
use crate::program::{millstream, millstream_in, root};

const FOLDER: &str = "tests/cases/plans";

/// How a file is shown, and what the expected text is called.
const WAYS: [(&[&str], &str); 5] = [
    (&["plan"], "plan"),
    (&["plan", "--verbose"], "verbose"),
    (&["graph"], "mermaid"),
    (&["graph", "--format", "dot"], "dot"),
    (&["graph", "--format", "svg"], "svg"),
];

#[test]
fn every_plan_and_picture_is_the_one_that_lies_next_to_its_pipeline() {
    let cases = below(FOLDER, &["stream"]);
    let pairs = cases.iter().flat_map(|case| WAYS.iter().map(move |way| (case, way)));
    let complaints = pairs.filter_map(|(case, (words, ending))| {
        let name = case.file_name().unwrap().to_str().unwrap();
        let ran = millstream_in(&root().join(FOLDER), &[*words, &[name]].concat(), "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{name} {words:?}");
        differs(case.with_extension(ending), &ran.out)
    });
    none(complaints.collect());
}

#[test]
fn every_example_has_a_plan_and_a_picture() {
    let files = below("pipelines", &["stream"]);
    for file in files.iter().filter(|file| file.components().count() == 2) {
        let file = file.to_str().unwrap();
        let plan = millstream(&["plan", file]);
        assert_eq!(plan.code, 0, "{file}: {}", plan.err);
        assert!(plan.out.contains("\nstage 1: ") && plan.out.contains("\nguarantees\n  "), "{file}: {}", plan.out);
        let picture = millstream(&["graph", "--format", "svg", file]);
        assert!(picture.out.starts_with("<svg ") && picture.out.ends_with("</svg>\n"), "{file}: {}", picture.out);
    }
}

#[test]
fn a_text_with_mistakes_has_no_plan() {
    for verb in ["plan", "graph"] {
        let ran = millstream_in(&root().join("tests/cases/messages"), &[verb, "01-sql-select.stream"], "");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{verb}");
        assert!(ran.err.contains("error["), "{}", ran.err);
        assert_eq!(millstream(&[verb, "no/such.stream"]).code, 2);
    }
}
