//! What saved edits mean: cases of an old text, a new one, and the table that is printed; and pipelines that are edited
//! while they run.

use std::fs;

use crate::files::{below, differs, none, read};
use crate::program::millstream_in;

const FOLDER: &str = "tests/cases/reload";
/// What stands between the parts of a case.
const NEW: &str = "--- new\n";
const TABLE: &str = "--- table\n";

#[test]
fn every_edit_means_what_is_written_behind_it() {
    let cases = below(FOLDER, &["case"]);
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let complaints = cases.iter().filter_map(|case| {
        let text = read(case);
        let (old, rest) = text.split_once(NEW).unwrap();
        let (new, _) = rest.split_once(TABLE).unwrap_or((rest, ""));
        let folder = tempfile::TempDir::new().unwrap();
        let comment = |line: &&str| line.starts_with('#');
        let old: String = old.lines().skip_while(comment).map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("old.stream"), &old).unwrap();
        fs::write(folder.path().join("new.stream"), new).unwrap();
        let ran = millstream_in(folder.path(), &["plan", "new.stream", "--against", "old.stream"], "");
        if ran.code != 0 {
            let errors: Vec<_> = ran.err.split("\n\n").filter(|problem| problem.starts_with("error")).collect();
            return Some(format!("{}: {}", case.display(), errors.join("\n")));
        }
        let head: String = text.lines().take_while(comment).map(|line| format!("{line}\n")).collect();
        differs(case, &format!("{head}{old}{NEW}{new}{TABLE}{}", ran.out))
    });
    none(complaints.collect());
}
