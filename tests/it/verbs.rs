//! The small verbs and what holds for all of them.

use std::fs;

use crate::program::{millstream, millstream_in, root};

const VERBS: [&str; 17] = [
    "check",
    "run",
    "test",
    "state",
    "checkpoint",
    "rewind",
    "plan",
    "graph",
    "fmt",
    "convert",
    "decide",
    "explain",
    "list",
    "new",
    "infer",
    "schema",
    "completions",
];

#[test]
fn the_help_of_every_verb_fits_a_screen_and_ends_with_an_example() {
    let pages = VERBS.iter().map(|verb| millstream(&[verb, "--help"])).chain([millstream(&["--help"])]);
    for ran in pages {
        assert_eq!(ran.code, 0);
        // The list of verbs is a little longer, and so is what a run takes.
        let most = if ["\nCommands:\n", " run [OPTIONS]"].iter().any(|part| ran.out.contains(part)) { 30 } else { 24 };
        assert!(ran.out.lines().count() <= most, "{} lines:\n{}", ran.out.lines().count(), ran.out);
        assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
        let last = ran.out.trim_end().lines().last().unwrap();
        assert!(last.starts_with("  millstream "), "{}", ran.out);
    }
}

#[test]
fn the_example_of_every_help_is_a_command_line_that_exists() {
    for verb in VERBS {
        let help = millstream(&[verb, "--help"]).out;
        let example = help.trim_end().lines().last().unwrap().trim();
        assert_eq!(example.split_whitespace().nth(1), Some(if verb == "new" { "new" } else { verb }), "{example}");
    }
}

#[test]
fn a_verb_that_does_not_exist_is_said_in_plain_words() {
    let ran = millstream(&["chekc"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("check"), "{}", ran.err);
}

#[test]
fn every_code_has_a_page() {
    let list = millstream(&["explain", "--list"]).out;
    assert!(list.lines().count() >= 60, "{list}");
    for line in list.lines() {
        let code = line.split_whitespace().next().unwrap();
        let ran = millstream(&["explain", code]);
        assert_eq!(ran.code, 0, "{code}");
        assert!(ran.out.starts_with(&format!("# {code}\n")), "{}", ran.out);
    }
}

#[test]
fn a_code_is_found_as_it_stands_in_a_message() {
    assert_eq!(millstream(&["explain", "error[unknown-column]"]).code, 0);
}

#[test]
fn a_misspelt_code_is_guessed() {
    let ran = millstream(&["explain", "unknown-colum"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean `unknown-column`?"), "{}", ran.err);
}

#[test]
fn every_kind_is_listed_and_every_word_of_it_has_a_page() {
    for kind in ["sources", "stages", "sinks", "formats", "windows", "functions", "aggregates"] {
        let ran = millstream(&["list", kind]);
        assert_eq!(ran.code, 0);
        assert!(!ran.out.is_empty(), "no {kind}");
    }
    let page = millstream(&["list", "sinks", "files"]).out;
    assert!(page.starts_with("sink files: "), "{page}");
    assert!(page.contains("partition_by"), "{page}");
}

#[test]
fn a_name_alone_is_found_in_every_kind() {
    let page = millstream(&["list", "files"]).out;
    assert!(page.contains("source files: ") && page.contains("sink files: "), "{page}");
    let ran = millstream(&["list", "fiels"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean `files`?"), "{}", ran.err);
}

#[test]
fn a_new_folder_checks_without_a_word_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let ran = millstream_in(folder.path(), &["new", "shop"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = millstream_in(folder.path(), &["check", "--deny", "warnings", "shop/pipeline.stream"], "");
    assert_eq!(ran.code, 0, "{}", ran.out);
    let ran = millstream_in(folder.path(), &["fmt", "--check", "shop"], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(millstream_in(folder.path(), &["test", "shop"], "").code, 0);
    let ran = millstream_in(folder.path(), &["run", "shop/pipeline.stream", "--once"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.lines().any(|line| line.split_whitespace().eq(["books", "41.50", "2"])), "{}", ran.out);
    let ran = millstream_in(folder.path(), &["new", "shop"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
}

#[test]
fn the_schema_knows_every_stage_source_and_sink() {
    let ran = millstream(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let text = schema.to_string();
    for kind in ["stages", "sources", "sinks", "formats"] {
        for line in millstream(&["list", kind]).out.lines() {
            let word = line.split_whitespace().next().unwrap();
            assert!(text.contains(&format!("\"{word}\"")), "{word} is not in the schema");
        }
    }
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = millstream(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("convert"), "{shell}");
    }
}

#[test]
fn nothing_is_written_beside_the_repository_by_reading_verbs() {
    let before = fs::read_dir(root()).unwrap().count();
    millstream(&["check", "pipelines/wordcount.stream"]);
    millstream(&["list"]);
    assert_eq!(fs::read_dir(root()).unwrap().count(), before);
}
