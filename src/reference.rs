//! The reference page: what is true of the syntax, written by hand in `reference/language.md`, with the vocabulary
//! put in from the catalog.

use std::fmt::Write;

use crate::plan::vocabulary::{Kind, Word, words};
use crate::plan::{Catalog, OptionSpec};

/// The hand-written page; `<!-- sources -->` stands where the sources go.
const LANGUAGE: &str = include_str!("reference/language.md");

/// The whole page, as `dsl/REFERENCE.md` holds it.
pub fn page(catalog: &Catalog) -> String {
    let mut page = LANGUAGE.to_string();
    for (kind, many, _) in Kind::ALL {
        let words = words(catalog, kind);
        let section = match kind {
            Kind::Function | Kind::Aggregate => tables(&words),
            _ => words.iter().map(entry).collect::<Vec<_>>().join("\n"),
        };
        page = page.replace(&format!("<!-- {many} -->\n"), &section);
    }
    page
}

/// Words of a line each, by group.
fn tables(words: &[Word<'_>]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for word in words {
        if !groups.contains(&word.group) {
            groups.push(word.group);
        }
    }
    let mut text = String::new();
    for group in groups {
        let _ = writeln!(text, "{}### {group}\n\n| usage | |\n| --- | --- |", if text.is_empty() { "" } else { "\n" });
        for word in words.iter().filter(|word| word.group == group) {
            let mut said = word.doc.summary.clone();
            word.facts.iter().for_each(|fact| said.push_str(&format!("; {fact}")));
            if !word.doc.aliases.is_empty() {
                said.push_str(&format!("; also `{}`", word.doc.aliases.join("`, `")));
            }
            let _ = writeln!(text, "| `{}` | {} |", cell(&word.doc.usage), cell(&said));
        }
    }
    text
}

fn entry(word: &Word<'_>) -> String {
    let doc = word.doc;
    let mut text =
        format!("### {}\n\n{}{}.\n\n```text\n{}\n```\n", doc.name, capital(&doc.summary), aliases(word), doc.usage);
    for paragraph in doc.paragraphs() {
        let _ = writeln!(text, "\n{paragraph}");
    }
    for fact in &word.facts {
        let _ = writeln!(text, "\n{}.", capital(fact));
    }
    let clauses = word.clauses.iter().map(|clause| {
        let required = if clause.required { " (required)" } else { "" };
        [format!("`{}`{required}", clause.word), clause.doc.to_string()]
    });
    table(&mut text, ["clause", ""], clauses.collect());
    table(&mut text, ["argument", ""], word.args.iter().map(|spec| option(spec)).collect());
    table(&mut text, ["option", ""], word.options.iter().map(|spec| option(spec)).collect());
    if !doc.examples.is_empty() {
        let _ = writeln!(text, "\n```stream\n{}\n```", doc.examples.join("\n"));
    }
    text
}

fn table<const N: usize>(text: &mut String, header: [&str; N], rows: Vec<[String; N]>) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n| {} |\n|{}", header.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.map(|text| cell(&text)).join(" | "));
    }
}

fn option(spec: &OptionSpec) -> [String; 2] {
    let default = match spec.default {
        Some(default) => format!("; default `{default}`"),
        None if spec.required => "; required".into(),
        None => String::new(),
    };
    [format!("`{}`: {}", spec.name, spec.kind), format!("{}{default}", spec.doc)]
}

fn aliases(word: &Word<'_>) -> String {
    if word.doc.aliases.is_empty() { String::new() } else { format!(" (also `{}`)", word.doc.aliases.join("`, `")) }
}

/// What a cell of a Markdown table can hold.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
