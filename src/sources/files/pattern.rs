//! Which files a pattern means: `*` and `?` within a name, `[a-z]` and `{a,b}`, `**` for any number of folders.

use std::fs;
use std::io;
use std::path::Path;

use regex::Regex;

use crate::plan::operator::NotRunnable;

/// A pattern, taken apart at the slashes.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The folder it starts from, as written.
    root: String,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// A name that stands for itself.
    Name(String),
    /// A name with `*`, `?`, `[...]` or `{...}`.
    Matching(Regex),
    /// `**`
    AnyFolders,
}

impl Pattern {
    /// Reads a pattern. `base`: where relative ones start. A folder means the files in it, with `recursive` also
    /// those further down.
    pub(super) fn new(text: &str, base: &Path, recursive: bool) -> Result<Self, NotRunnable> {
        let mut text = text.to_owned();
        let folder = !text.contains(is_special) && base.join(&text).is_dir();
        if folder {
            text = format!("{}/*", text.trim_end_matches('/'));
        }
        if recursive && let Some((front, name)) = text.rsplit_once('/') {
            text = format!("{front}/**/{name}");
        }
        let root = if text.starts_with('/') { "/" } else { "" };
        let steps = text.split('/').filter(|s| !s.is_empty() && *s != ".").map(step).collect::<Result<_, _>>()?;
        Ok(Pattern { root: root.into(), steps })
    }

    /// The files there are now, by name. What cannot be listed is left out.
    pub(super) fn files(&self, base: &Path) -> Vec<String> {
        let mut found = Vec::new();
        walk(base, &self.root, &self.steps, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '*' | '?' | '[' | '{')
}

fn step(text: &str) -> Result<Step, NotRunnable> {
    if text == "**" {
        return Ok(Step::AnyFolders);
    }
    if !text.contains(is_special) {
        return Ok(Step::Name(text.into()));
    }
    let wrong = |_| NotRunnable(format!("`{text}` is no pattern of file names"));
    Regex::new(&format!("^(?s:{})$", as_regex(text))).map(Step::Matching).map_err(wrong)
}

fn as_regex(glob: &str) -> String {
    let mut regex = String::new();
    let (mut braces, mut class) = (0, false);
    for c in glob.chars() {
        match c {
            ']' if class => {
                class = false;
                regex.push(']');
            }
            '!' if class && regex.ends_with('[') => regex.push('^'),
            '-' if class => regex.push('-'),
            c if class => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                class = true;
                regex.push('[');
            }
            '{' => {
                braces += 1;
                regex.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                regex.push(')');
            }
            ',' if braces > 0 => regex.push('|'),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex
}

/// Names that writers use for files that are not meant to be read.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_']) || name.ends_with('~') || name.ends_with(".tmp")
}

fn walk(base: &Path, at: &str, steps: &[Step], found: &mut Vec<String>) {
    let Some((step, rest)) = steps.split_first() else { return };
    let join =
        |name: &str| if at.is_empty() || at.ends_with('/') { format!("{at}{name}") } else { format!("{at}/{name}") };
    match step {
        Step::Name(name) => {
            let path = join(name);
            match rest {
                [] if base.join(&path).is_file() => found.push(path),
                [] => {}
                _ => walk(base, &path, rest, found),
            }
        }
        Step::Matching(pattern) => {
            for (name, is_folder) in list(&base.join(at)).unwrap_or_default() {
                if is_hidden(&name) || !pattern.is_match(&name) {
                    continue;
                }
                match rest {
                    [] if !is_folder => found.push(join(&name)),
                    [] => {}
                    _ if is_folder => walk(base, &join(&name), rest, found),
                    _ => {}
                }
            }
        }
        Step::AnyFolders => {
            walk(base, at, rest, found);
            for (name, is_folder) in list(&base.join(at)).unwrap_or_default() {
                if is_folder && !is_hidden(&name) {
                    walk(base, &join(&name), steps, found);
                }
            }
        }
    }
}

/// The names in a folder, and whether each is a folder.
fn list(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
        names.push((name, is_folder));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, recursive: bool) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/1.txt", "a/2.json", "a/b/3.txt", "a/b/c/4.txt", "a/.5.txt", "a/_d/6.txt", "a/7.txt.tmp"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        Pattern::new(pattern, folder.path(), recursive).unwrap().files(folder.path())
    }

    #[test]
    fn stars_stay_within_a_name_and_double_stars_do_not() {
        assert_eq!(found("a/*.txt", false), ["a/1.txt"]);
        assert_eq!(found("a/**/*.txt", false), ["a/1.txt", "a/b/3.txt", "a/b/c/4.txt"]);
        assert_eq!(found("a/*/?.txt", false), ["a/b/3.txt"]);
        assert_eq!(found("a/[12].{txt,json}", false), ["a/1.txt", "a/2.json"]);
        assert_eq!(found("a/1.txt", false), ["a/1.txt"]);
    }

    #[test]
    fn a_folder_means_the_files_in_it() {
        assert_eq!(found("a", false), ["a/1.txt", "a/2.json"]);
        assert_eq!(found("a/", true), ["a/1.txt", "a/2.json", "a/b/3.txt", "a/b/c/4.txt"]);
    }

    #[test]
    fn what_is_not_there_is_no_file() {
        assert_eq!(found("x/*.txt", false), Vec::<String>::new());
    }
}
