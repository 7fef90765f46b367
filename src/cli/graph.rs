//! `millstream graph`: the plan as a picture: Mermaid for Markdown, DOT for Graphviz, SVG to look at.

mod layout;
mod picture;
mod svg;

use std::io::Write as _;

use super::args::{Graph, GraphFormat};
use super::findings;
use super::terminal::Terminal;
use super::{Exit, Outcome};
use crate::builtins;
use crate::optimize::optimize;
use picture::Picture;

/// Checks, optimizes, draws.
pub(crate) fn graph(args: &Graph, terminal: &mut Terminal) -> Outcome {
    let overrides = args.set.iter().cloned().collect();
    let plan = match findings::find(&args.file, &builtins::catalog(), &overrides).plan_or_complain(terminal) {
        Ok(plan) => optimize(plan).plan,
        Err(exit) => return Ok(exit),
    };
    let picture = picture::of(&plan);
    let text = match args.format {
        GraphFormat::Mermaid => mermaid(&picture),
        GraphFormat::Dot => dot(&picture),
        GraphFormat::Svg => svg::drawn(&picture),
    };
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

/// What Markdown renderers draw.
fn mermaid(picture: &Picture) -> String {
    // A number sign starts the code of a character there; what would end the label, or be read as markup, is one.
    let escaped = |text: &str| {
        let plain = |c: char| c == ' ' || c.is_alphanumeric() || "_.,:=*+-/()".contains(c);
        text.chars()
            .fold(String::new(), |out, c| if plain(c) { out + &c.to_string() } else { format!("{out}#{};", c as u32) })
    };
    let mut text = format!("---\ntitle: \"{}\"\n---\nflowchart TD\n", escaped(&picture.title));
    for (i, node) in picture.boxes.iter().enumerate() {
        let sections = node.sections.iter().map(|section| {
            let notes = section.notes.iter().map(|note| format!("<br/><i>{}</i>", escaped(note)));
            format!("{}{}", escaped(&section.text), notes.collect::<String>())
        });
        let label = sections.collect::<Vec<_>>().join("<br/>");
        let (open, close) = match node.kind {
            picture::Kind::Source => ("([", "])"),
            picture::Kind::Table => ("[(", ")]"),
            picture::Kind::Sink => ("[[", "]]"),
            picture::Kind::Operator | picture::Kind::Memory => ("[", "]"),
        };
        text.push_str(&format!("  n{i}{open}\"{label}\"{close}\n"));
    }
    for arrow in &picture.arrows {
        let line = if arrow.moved { "==>" } else { "-->" };
        let label = arrow.label.as_ref().map(|label| format!("|\"{}\"|", escaped(label))).unwrap_or_default();
        text.push_str(&format!("  n{} {line}{label} n{}\n", arrow.from, arrow.to));
    }
    let memory = picture.boxes.iter().enumerate().filter(|(_, node)| node.kind == picture::Kind::Memory);
    let memory: Vec<_> = memory.map(|(i, _)| format!("n{i}")).collect();
    if !memory.is_empty() {
        text.push_str(&format!("  classDef memory stroke-width:3px\n  class {} memory\n", memory.join(",")));
    }
    text
}

/// What Graphviz draws.
fn dot(picture: &Picture) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!("digraph \"{}\" {{\n  node [shape=box, fontname=\"monospace\"]\n", escaped(&picture.title));
    for (i, node) in picture.boxes.iter().enumerate() {
        let lines = node.sections.iter().flat_map(|section| std::iter::once(&section.text).chain(&section.notes));
        let label: String = lines.map(|line| escaped(line) + "\\l").collect();
        let look = match node.kind {
            picture::Kind::Source => ", style=rounded",
            picture::Kind::Table => ", shape=cylinder",
            picture::Kind::Sink => ", peripheries=2",
            picture::Kind::Memory => ", penwidth=3",
            picture::Kind::Operator => "",
        };
        text.push_str(&format!("  n{i} [label=\"{label}\"{look}]\n"));
    }
    for arrow in &picture.arrows {
        let label = arrow.label.as_ref().map(|label| format!("label=\"{}\"", escaped(label)));
        let look = arrow.moved.then(|| "style=bold".to_owned());
        let looks: Vec<_> = label.into_iter().chain(look).collect();
        let looks = if looks.is_empty() { String::new() } else { format!(" [{}]", looks.join(", ")) };
        text.push_str(&format!("  n{} -> n{}{looks}\n", arrow.from, arrow.to));
    }
    text + "}\n"
}
