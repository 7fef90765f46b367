//! README and the reference, held against the program.

use crate::files::{below, code_blocks, differs, none, read};
use crate::program::{millstream, millstream_in, root, timeless};

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

/// Blocks that begin with `$ millstream ...` show what the program answers.
#[test]
fn the_answers_in_the_readme_are_what_the_program_says() {
    let readme = read("README.md");
    let mut wanted = readme.clone();
    for (_, text) in code_blocks(&readme).into_iter().filter(|(language, _)| language == "console") {
        let (line, _) = text.split_once('\n').unwrap();
        let command: Vec<&str> = line.strip_prefix("$ millstream ").unwrap().split_whitespace().collect();
        let folder = if line.contains('/') { root() } else { root().join("tests/cases/readme") };
        let answer = timeless(&millstream_in(&folder, &command, "").out);
        wanted = wanted.replace(&format!("```console\n{text}```"), &format!("```console\n{line}\n{answer}```"));
    }
    none(differs("README.md", &wanted).into_iter().collect());
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
fn every_link_of_the_page_for_people_from_spark_leads_somewhere() {
    let missing = spark_links().into_iter().filter(|link| !root().join("src/reference").join(link).exists());
    none(missing.collect());
}

#[test]
fn the_page_for_people_from_spark_links_every_pipeline_written_for_them() {
    let links = spark_links();
    let unlinked = below("pipelines/spark", &["stream"]).into_iter().filter_map(|path| {
        let link = format!("../../{}", path.display());
        (!links.contains(&link)).then_some(link)
    });
    none(unlinked.collect());
}

#[test]
fn the_pipelines_for_people_from_spark_say_first_what_they_replace() {
    let silent = below("pipelines/spark", &["stream"]).into_iter().filter(|path| {
        let text = read(path);
        let first = text.lines().next().unwrap_or_default().to_string();
        !(first.starts_with("# Spark: ") && first.contains(" -> "))
    });
    none(silent.map(|path| path.display().to_string()).collect());
}

/// Stages, windows and aggregates that Spark's names lead to in `millstream list` are on the page too.
#[test]
fn every_spark_name_that_an_entry_claims_is_on_the_page() {
    let page = read(SPARK).to_lowercase();
    let catalog = millstream::builtins::catalog();
    let claimed = catalog.stages.iter().flat_map(|entry| &entry.doc.aliases);
    let camel = claimed.filter(|alias| alias.chars().any(char::is_uppercase));
    none(camel.filter(|alias| !page.contains(&alias.to_lowercase())).cloned().collect());
}

/// Every row of a table says how it is written here, and has as many cells as its header.
#[test]
fn the_tables_of_the_page_for_people_from_spark_are_whole() {
    let page = read(SPARK);
    let rows = page.lines().filter(|line| line.starts_with("| "));
    none(rows.filter(|row| row.matches(" |").count() != 4).map(str::to_string).collect());
}

const SPARK: &str = "src/reference/spark.md";

fn spark_links() -> Vec<String> {
    let page = read(SPARK);
    let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.starts_with("http")).map(str::to_string).collect()
}

#[test]
fn the_ci_script_runs_the_readmes_test_command() {
    let script = read(".ci/run");
    let readme = read("README.md");
    let command = "cargo test --workspace";
    assert!(readme.lines().any(|line| line.trim() == command), "the README does not say `{command}`");
    assert!(script.lines().any(|line| line.trim() == command), ".ci/run does not run `{command}`");
}
