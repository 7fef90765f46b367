//! Files of the repository, and the switch that writes expected ones anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::root;

/// Every file below a folder of the repository with one of these endings, in order, relative to the repository.
pub(crate) fn below(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root().join(folder), endings, &mut found);
    found.sort();
    found.into_iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect()
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, endings, found);
        } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
            found.push(path);
        }
    }
}

/// The text of a file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Holds a file of the repository against what it must be; with `BLESS=1` writes it. The complaint, if any.
pub(crate) fn differs(path: impl AsRef<Path>, wanted: &str) -> Option<String> {
    let path = root().join(path);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, wanted).unwrap();
        return None;
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    if held == wanted {
        return None;
    }
    let line = held.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_string();
    Some(format!("{}:{}\n  is     {}\n  should {}", path.display(), line + 1, at(&held), at(wanted)))
}

/// Fails with all complaints at once.
pub(crate) fn none(complaints: Vec<String>) {
    assert!(
        complaints.is_empty(),
        "{} of them (BLESS=1 writes expected texts anew)\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// The fenced code blocks of a Markdown text: language and content.
pub(crate) fn code_blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_string(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}
