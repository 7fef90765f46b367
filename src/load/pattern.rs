//! Warns of file patterns that match nothing yet. Looks at names only and opens no file.

use std::path::{Path, PathBuf};

use millstream_dsl::Diagnostic;

use crate::plan::catalog::{Catalog, Endpoint, OptionKind, OptionSpec, find};
use crate::plan::graph::{Plan, Work};

/// More folders are not searched: then a pattern is taken to match.
const PATIENCE: usize = 10_000;

/// A warning for each path of a source or table that no file has.
pub fn unmatched_patterns(plan: &Plan, catalog: &Catalog) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    for id in plan.ordered() {
        let (Work::Source(endpoint) | Work::Table(endpoint)) = &plan.node(id).work else { continue };
        let Some(entry) = find(&catalog.sources, &endpoint.word) else { continue };
        let paths = entry.args.iter().filter(|spec| spec.kind == OptionKind::Path);
        warnings.extend(paths.filter_map(|spec| warning(endpoint, spec)));
    }
    warnings
}

fn warning(endpoint: &Endpoint, spec: &OptionSpec) -> Option<Diagnostic> {
    let pattern = endpoint.settings.text(spec.name)?;
    let place = endpoint.settings.span(spec.name)?;
    if pattern.contains("://") || any_match(&endpoint.base, pattern) {
        return None;
    }
    let message = format!("no file matches `{pattern}` yet");
    let help = format!("paths start from the folder of the pipeline file, here `{}`", endpoint.base.display());
    Some(Diagnostic::warning("no-matching-files", place, message).help(help))
}

/// Whether a file's name matches: `*` and `?` within a name, `**` for any folders, `{a,b}`, `[a-z]`.
fn any_match(base: &Path, pattern: &str) -> bool {
    alternatives(pattern).iter().any(|pattern| {
        let absolute = pattern.starts_with('/');
        let start = if absolute { PathBuf::from("/") } else { base.to_path_buf() };
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let mut patience = PATIENCE;
        search(&start, &parts, &mut patience)
    })
}

fn search(folder: &Path, parts: &[&str], patience: &mut usize) -> bool {
    if *patience == 0 {
        return true;
    }
    *patience -= 1;
    let Some((part, rest)) = parts.split_first() else { return folder.exists() };
    if *part == "**" {
        return search(folder, rest, patience)
            || children(folder).any(|(path, _)| path.is_dir() && search(&path, parts, patience));
    }
    if !part.contains(['*', '?', '[']) {
        return search(&folder.join(part), rest, patience);
    }
    let mut hits = children(folder).filter(|(_, name)| matches(part, name));
    hits.any(|(path, _)| search(&path, rest, patience))
}

fn children(folder: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned()))
}

/// The patterns that one with `{a,b}` stands for.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.into()] };
    let Some(close) = pattern[open..].find('}').map(|at| open + at) else { return vec![pattern.into()] };
    let (before, after) = (&pattern[..open], &pattern[close + 1..]);
    pattern[open + 1..close].split(',').flat_map(|choice| alternatives(&format!("{before}{choice}{after}"))).collect()
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // Where the last star stood and what it covered: on a mismatch it takes one character more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(_) if let Some(next) = one_matches(&pattern, p, name[n]) => {
                (p, n) = (next, n + 1);
            }
            _ => {
                let Some((at, covered)) = star else { return false };
                star = Some((at, covered + 1));
                (p, n) = (at + 1, covered + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on if its item at `p` matches the character.
fn one_matches(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern[p] {
        '?' => Some(p + 1),
        '[' => {
            let close = p + 1 + pattern[p + 1..].iter().position(|c| *c == ']')?;
            let set = &pattern[p + 1..close];
            let (wanted, set) = if matches!(set.first(), Some('!' | '^')) { (false, &set[1..]) } else { (true, set) };
            let mut found = set.contains(&c);
            found |= set.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&c));
            (found == wanted).then_some(close + 1)
        }
        literal => (literal == c).then_some(p + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{alternatives, matches};

    #[test]
    fn a_star_covers_any_part_of_a_name() {
        assert!(matches("*.json", "a.json"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("*.json", "a.jsonl"));
        assert!(matches("a?c", "abc"));
        assert!(matches("part-[0-9].csv", "part-7.csv"));
        assert!(!matches("part-[!0-9].csv", "part-7.csv"));
    }

    #[test]
    fn braces_stand_for_each_of_their_choices() {
        assert_eq!(alternatives("a.{csv,json}"), ["a.csv", "a.json"]);
        assert_eq!(alternatives("a.{csv"), ["a.{csv"]);
    }
}
