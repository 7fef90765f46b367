//! Which files a pattern means: `*` and `?` within a name, `[a-z]` and `{a,b}`, `**` for any number of folders.

use std::path::Path;

use regex::Regex;

use crate::plan::Conflict;
use crate::plan::operator::NotRunnable;

/// A pattern, taken apart at the slashes.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The folder it starts from, as written.
    root: String,
    steps: Vec<Step>,
}

/// What stands between two slashes.
#[derive(Debug, Clone)]
pub(super) enum Step {
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
        let steps = text.split('/').filter(|s| !s.is_empty() && *s != ".").map(step);
        let steps = steps.collect::<Result<_, _>>().map_err(NotRunnable)?;
        Ok(Pattern { root: root.into(), steps })
    }

    /// What is wrong with a pattern.
    pub(super) fn conflict(text: &str) -> Option<Conflict> {
        let wrong = text.split('/').find_map(|name| step(name).err())?;
        Some(Conflict::value(
            "path",
            wrong,
            "what stands in brackets goes from the smaller to the larger:\n  \"data/[a-z]*.json\"",
        ))
    }

    /// The folder it starts from, and its steps.
    pub(super) fn parts(&self) -> (&str, &[Step]) {
        (&self.root, &self.steps)
    }

    /// The folders before the first step that is not a plain name: what all files have in common.
    pub(super) fn root(&self) -> String {
        let names = self.steps.iter().take(self.steps.len().saturating_sub(1));
        let names = names.map_while(|step| if let Step::Name(name) = step { Some(name.as_str()) } else { None });
        format!("{}{}", self.root, names.collect::<Vec<_>>().join("/"))
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '*' | '?' | '[' | '{')
}

fn step(text: &str) -> Result<Step, String> {
    if text == "**" {
        return Ok(Step::AnyFolders);
    }
    if !text.contains(is_special) {
        return Ok(Step::Name(text.into()));
    }
    let wrong = |_| format!("`{text}` is no pattern of file names");
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
