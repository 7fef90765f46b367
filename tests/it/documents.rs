//! README and the reference, held against the program.

use crate::files::{code_blocks, differs, none, read};
use crate::program::{millstream, root};

#[test]
fn the_reference_is_what_the_entries_say() {
    let page = millstream::reference::page(&millstream::builtins::catalog());
    none(differs("dsl/REFERENCE.md", &page).into_iter().collect());
}

#[test]
fn the_code_of_the_reference_can_be_read() {
    let page = read("src/reference/language.md");
    let blocks = code_blocks(&page).into_iter().filter(|(language, _)| language == "stream");
    for (_, text) in blocks {
        let parsed = millstream_dsl::parse::file(millstream_dsl::FileId(0), &text);
        assert!(parsed.problems.is_empty(), "{text}\n{:?}", parsed.problems);
    }
}

#[test]
fn the_pipelines_in_the_readme_check() {
    let folder = tempfile::tempdir().unwrap();
    for (language, text) in code_blocks(&read("README.md")) {
        let form = match language.as_str() {
            "stream" => "stream",
            "yaml" => "yaml",
            _ => continue,
        };
        let file = folder.path().join(format!("readme.{form}"));
        std::fs::write(&file, &text).unwrap();
        let ran = millstream(&["check", file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{text}\n{}", ran.out);
    }
}

/// Blocks that begin with `$ millstream ...` show what the program answers; `...` stands for lines left out.
#[test]
fn the_answers_in_the_readme_are_what_the_program_says() {
    for (language, text) in code_blocks(&read("README.md")) {
        let Some((command, answer)) = text.strip_prefix("$ millstream ").and_then(|rest| rest.split_once('\n')) else { continue };
        assert_eq!(language, "console");
        let ran = millstream(&command.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ran.out.trim_end(), answer.trim_end(), "millstream {command}");
    }
}

#[test]
fn files_and_verbs_that_the_readme_names_exist() {
    let readme = read("README.md");
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let local = !link.starts_with("http") && !link.starts_with('#');
        assert!(!local || root().join(link).exists(), "{link}");
    }
    for verb in readme.split("`millstream ").skip(1).filter_map(|rest| rest.split([' ', '`']).next()) {
        assert_eq!(millstream(&[verb, "--help"]).code, 0, "{verb}");
    }
}

#[test]
fn the_ci_script_runs_the_readmes_test_command() {
    let script = read(".ci/run");
    let readme = read("README.md");
    let command = "cargo test --workspace";
    assert!(readme.lines().any(|line| line.trim() == command), "the README does not say `{command}`");
    assert!(script.lines().any(|line| line.trim() == command), ".ci/run does not run `{command}`");
}
