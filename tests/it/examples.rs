//! The pipelines of the repository.

use crate::files::{below, read};
use crate::program::millstream;

#[test]
fn every_pipeline_and_its_twin_check_without_a_warning() {
    for path in below("pipelines", &["stream", "yaml"]) {
        if path.starts_with("pipelines/lib") {
            continue;
        }
        let ran = millstream(&["check", "--deny", "warnings", path.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.out);
    }
}

#[test]
fn every_pipeline_says_in_its_first_line_what_it_shows_and_has_a_test() {
    let pipelines: Vec<_> =
        below("pipelines", &["stream"]).into_iter().filter(|p| !p.starts_with("pipelines/lib")).collect();
    assert!(pipelines.len() >= 14);
    for path in pipelines {
        let text = read(&path);
        assert!(text.starts_with("# "), "{} does not say what it shows", path.display());
        assert!(text.contains("\ntest \""), "{} has no test", path.display());
    }
}
