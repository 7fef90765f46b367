//! `millstream list`: the vocabulary, from the same entries that the checker uses.

use std::fmt::Write as _;
use std::io::Write;

use millstream_dsl::suggest;

use super::args::List;
use super::table::{aligned, wrapped};
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::plan::vocabulary::{Kind, Word, all_words, words};
use crate::plan::{Catalog, OptionSpec};

/// Where prose is broken.
const WIDTH: usize = 100;

/// Prints the kinds, a kind, or one word in full.
pub(crate) fn list(args: &List, terminal: &mut Terminal) -> Outcome {
    let catalog = builtins::catalog();
    let text = match (&args.what, &args.name) {
        (None, _) => kinds(&catalog),
        (Some(what), None) => match Kind::from_word(what) {
            // `aggregate` and `window` are stages too.
            Some(kind) if what == kind.many() || !exists(&all_words(&catalog), what) => {
                one_kind(&words(&catalog, kind))
            }
            _ => in_full(all_words(&catalog), what, "word")?,
        },
        (Some(what), Some(name)) => {
            let kind = Kind::from_word(what)
                .ok_or_else(|| unknown("kind", what, Kind::ALL.iter().map(|(_, many, _)| *many)))?;
            in_full(words(&catalog, kind), name, kind.one())?
        }
    };
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn kinds(catalog: &Catalog) -> String {
    let mut text = String::new();
    for (kind, many, _) in Kind::ALL {
        let words = words(catalog, kind);
        let names: Vec<&str> = words.iter().map(|word| word.doc.name.as_str()).take(8).collect();
        let more = if words.len() > names.len() { ", ..." } else { "" };
        let _ = writeln!(text, "{many:<11} {:>4}  {}{more}", words.len(), names.join(", "));
    }
    text + "\nmillstream list KIND shows all of a kind, millstream list NAME one in full\n"
}

fn one_kind(words: &[Word<'_>]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for word in words {
        if !groups.contains(&word.group) {
            groups.push(word.group);
        }
    }
    let mut text = String::new();
    for group in groups {
        if !group.is_empty() {
            let _ = writeln!(text, "{}{group}", if text.is_empty() { "" } else { "\n" });
        }
        let rows = words.iter().filter(|word| word.group == group);
        let rows: Vec<_> = rows.map(|word| vec![word.doc.name.clone(), word.doc.summary.clone()]).collect();
        text.push_str(&aligned(&rows, if group.is_empty() { "" } else { "  " }));
    }
    text
}

fn is_called(word: &Word<'_>, name: &str) -> bool {
    word.doc.name == name || word.doc.aliases.iter().any(|alias| alias == name)
}

fn exists(words: &[Word<'_>], name: &str) -> bool {
    words.iter().any(|word| is_called(word, name))
}

/// Every word of that name: `count` is a window and an aggregate.
fn in_full(words: Vec<Word<'_>>, name: &str, what: &str) -> Result<String, Failure> {
    let found: Vec<String> = words.iter().filter(|word| is_called(word, name)).map(page).collect();
    if found.is_empty() {
        let names = words.iter().flat_map(|word| std::iter::once(&word.doc.name).chain(&word.doc.aliases));
        return Err(unknown(what, name, names.map(String::as_str)));
    }
    Ok(found.join("\n"))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let hint = suggest::closest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Failure::new(format!("{what} `{name}` does not exist{hint}"))
}

/// All that is known of a word.
fn page(word: &Word<'_>) -> String {
    let doc = word.doc;
    let mut text =
        format!("{} {}: {}\n\n  {}\n", word.kind.one(), doc.name, doc.summary, doc.usage.replace('\n', "\n  "));
    for paragraph in doc.paragraphs().iter().chain(&word.facts) {
        let _ = write!(text, "\n{}", wrapped(paragraph, WIDTH));
    }
    if !doc.aliases.is_empty() {
        let _ = writeln!(text, "\nalso called {}", doc.aliases.join(", "));
    }
    section(&mut text, "arguments", word.args.iter().map(|spec| option_row(spec)).collect());
    section(
        &mut text,
        "clauses",
        word.clauses.iter().map(|c| vec![c.word.into(), must(c.required), c.doc.into()]).collect(),
    );
    let shared = word.shared.iter().filter(|spec| !word.options.iter().any(|own| own.name == spec.name));
    section(&mut text, "options", word.options.iter().copied().chain(shared).map(option_row).collect());
    if !doc.examples.is_empty() {
        text.push_str("\nexamples\n");
        for example in &doc.examples {
            let _ = writeln!(text, "  {}", example.replace('\n', "\n  "));
        }
    }
    text
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        let _ = write!(text, "\n{title}\n{}", aligned(&rows, "  "));
    }
}

fn option_row(spec: &OptionSpec) -> Vec<String> {
    let default = spec.default.map_or_else(|| must(spec.required), |default| format!("= {default}"));
    vec![spec.name.into(), spec.kind.to_string(), default, spec.doc.into()]
}

fn must(required: bool) -> String {
    String::from(if required { "required" } else { "" })
}
