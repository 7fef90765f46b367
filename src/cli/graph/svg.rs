//! The picture as SVG: no script, no outside font. Boxes bring their own background and arrows have a middle grey, so
//! that it can be read on a light page and on a dark one.

use super::layout::{Size, layout};
use super::picture::{Arrow, Kind, Node, Picture};
use crate::cli::table::wrapped;

/// The width of a character of a monospaced font, a little more than the widest of the common ones has.
const CHARACTER: f64 = 7.9;
const FONT: f64 = 13.0;
const LINE: f64 = 18.0;
const PADDING: f64 = 11.0;
const MARGIN: f64 = 20.0;
/// Room for the title.
const HEAD: f64 = 34.0;
/// Where texts are broken.
const COLUMNS: usize = 44;

/// Fill and frame of a box.
fn colours(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Source => ("#dcebfb", "#4f86bf"),
        Kind::Table => ("#e7e2f6", "#7d6bb8"),
        Kind::Operator => ("#f2f3f5", "#8b929b"),
        Kind::Memory => ("#fdebd2", "#c98a2b"),
        Kind::Sink => ("#dcf2e1", "#4e9a63"),
    }
}

/// A box with its text broken into lines.
struct Label {
    /// By section: lines, and whether each is a note.
    sections: Vec<Vec<(String, bool)>>,
    size: Size,
}

/// The whole drawing.
pub(super) fn drawn(picture: &Picture) -> String {
    let labels: Vec<Label> = picture.boxes.iter().map(label).collect();
    let sizes: Vec<Size> = labels.iter().map(|label| label.size).collect();
    let arrows: Vec<(usize, usize)> = picture.arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let place = layout(&sizes, &arrows);
    let title = picture.title.chars().count() as f64 * CHARACTER * 1.1;
    // Words beside an arrow may reach beyond the boxes.
    let words = picture.arrows.iter().filter_map(|arrow| arrow.label.as_ref()).map(|label| label.chars().count());
    let words = words.max().unwrap_or(0) as f64 * CHARACTER * 0.85;
    let inner = (place.width + words).max(title);
    let (width, height) = (inner + 2.0 * MARGIN, place.height + HEAD + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"{FONT}\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0,0 L10,5 L0,10 z\" fill=\"#8a9099\"/></marker></defs>\n"
    );
    out.push_str(&format!(
        "<text x=\"{MARGIN}\" y=\"{:.0}\" font-size=\"{:.1}\" font-weight=\"bold\" fill=\"#8a9099\">{}</text>\n",
        MARGIN + FONT,
        FONT * 1.1,
        escaped(&picture.title)
    ));
    out.push_str(&format!("<g transform=\"translate({MARGIN},{})\">\n", MARGIN + HEAD));
    for (i, arrow) in picture.arrows.iter().enumerate() {
        let start = leaving(picture, &place.tops, &sizes, i);
        let end = entering(picture, &place.tops, &sizes, i);
        out.push_str(&line(arrow, start, &place.bends[i], end));
    }
    for ((label, node), (x, y)) in labels.iter().zip(&picture.boxes).zip(&place.tops) {
        out.push_str(&drawn_box(label, node, x - label.size.width / 2.0, *y));
    }
    out + "</g>\n</svg>\n"
}

fn label(node: &Node) -> Label {
    let broken = |text: &str, note: bool| {
        let lines = wrapped(text, COLUMNS);
        lines.lines().map(|line| (line.to_owned(), note)).collect::<Vec<_>>()
    };
    let section = |section: &super::picture::Section| {
        let mut lines = broken(&section.text, false);
        // What goes on is set in.
        lines.iter_mut().skip(1).for_each(|(line, _)| line.insert_str(0, "  "));
        section.notes.iter().for_each(|note| lines.extend(broken(note, true)));
        lines
    };
    let sections: Vec<_> = node.sections.iter().map(section).collect();
    let longest = sections.iter().flatten().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let lines: usize = sections.iter().map(Vec::len).sum();
    let gaps = sections.len().saturating_sub(1) as f64 * PADDING;
    let size = Size {
        width: longest as f64 * CHARACTER + 2.0 * PADDING,
        height: lines as f64 * LINE + 2.0 * PADDING - (LINE - FONT) + gaps,
    };
    Label { sections, size }
}

/// Where an arrow leaves its box: those to the left from the left.
fn leaving(picture: &Picture, tops: &[(f64, f64)], sizes: &[Size], i: usize) -> (f64, f64) {
    let from = picture.arrows[i].from;
    let share = share(picture, i, |arrow| arrow.from == from, |arrow| tops[arrow.to].0);
    (tops[from].0 + (share - 0.5) * sizes[from].width * 0.7, tops[from].1 + sizes[from].height)
}

/// Where an arrow reaches its box.
fn entering(picture: &Picture, tops: &[(f64, f64)], sizes: &[Size], i: usize) -> (f64, f64) {
    let to = picture.arrows[i].to;
    let share = share(picture, i, |arrow| arrow.to == to, |arrow| tops[arrow.from].0);
    (tops[to].0 + (share - 0.5) * sizes[to].width * 0.7, tops[to].1)
}

/// The place of an arrow among its like in the order of their other ends, between 0 and 1.
fn share(picture: &Picture, i: usize, like: impl Fn(&Arrow) -> bool, end: impl Fn(&Arrow) -> f64) -> f64 {
    let mut all: Vec<_> =
        picture.arrows.iter().enumerate().filter(|(_, a)| like(a)).map(|(n, a)| (end(a), n)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let place = all.iter().position(|(_, n)| *n == i).unwrap_or(0);
    (place as f64 + 0.5) / all.len().max(1) as f64
}

/// A smooth line through the points, with its words beside the middle of its first part.
fn line(arrow: &Arrow, start: (f64, f64), bends: &[(f64, f64)], end: (f64, f64)) -> String {
    let mut path = format!("M{:.1},{:.1}", start.0, start.1);
    let mut at = start;
    for (i, point) in bends.iter().chain([&end]).enumerate() {
        // Every other part runs straight down beside the boxes of a layer.
        if i % 2 == 1 && i < bends.len() {
            path.push_str(&format!(" L{:.1},{:.1}", point.0, point.1));
        } else {
            let middle = (at.1 + point.1) / 2.0;
            path.push_str(&format!(
                " C{:.1},{middle:.1} {:.1},{middle:.1} {:.1},{:.1}",
                at.0, point.0, point.0, point.1
            ));
        }
        at = *point;
    }
    let wide = if arrow.moved { 3.0 } else { 1.4 };
    let mut out = format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"#8a9099\" stroke-width=\"{wide}\" marker-end=\"url(#tip)\"/>\n"
    );
    if let Some(label) = &arrow.label {
        let first = bends.first().copied().unwrap_or(end);
        // Beside the middle: above a line that turns away to the right, below one that comes from there.
        let turn = if first.0 > start.0 { -3.0 } else { 11.0 };
        let (x, y) = ((start.0 + first.0) / 2.0 + 7.0, (start.1 + first.1) / 2.0 + turn);
        out.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{:.1}\" fill=\"#8a9099\">{}</text>\n",
            FONT * 0.85,
            escaped(label)
        ));
    }
    out
}

fn drawn_box(label: &Label, node: &Node, x: f64, y: f64) -> String {
    let (fill, frame) = colours(node.kind);
    let round = match node.kind {
        Kind::Source | Kind::Sink | Kind::Table => 12,
        Kind::Operator | Kind::Memory => 4,
    };
    let Size { width, height } = label.size;
    let mut out = format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round}\" fill=\"{fill}\" \
         stroke=\"{frame}\" stroke-width=\"1.5\"/>\n"
    );
    let mut top = y + PADDING;
    for (i, section) in label.sections.iter().enumerate() {
        if i > 0 {
            out.push_str(&format!(
                "<line x1=\"{x:.1}\" y1=\"{0:.1}\" x2=\"{1:.1}\" y2=\"{0:.1}\" stroke=\"{frame}\" stroke-width=\"0.7\"/>\n",
                top + PADDING / 2.0 - (LINE - FONT) / 2.0,
                x + width
            ));
            top += PADDING;
        }
        for (i, (line, note)) in section.iter().enumerate() {
            let (base, at) = (top + FONT - 2.0, x + PADDING);
            let style = if *note { "fill=\"#5b6169\" font-style=\"italic\"" } else { "fill=\"#16191d\"" };
            out.push_str(&format!(
                "<text x=\"{at:.1}\" y=\"{base:.1}\" xml:space=\"preserve\" {style}>{}</text>\n",
                first_bold(line, i == 0)
            ));
            top += LINE;
        }
    }
    out
}

/// The line, its first word bold where it is the first one.
fn first_bold(line: &str, first: bool) -> String {
    if !first {
        return escaped(line);
    }
    let (word, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
    format!("<tspan font-weight=\"bold\">{}</tspan>{}", escaped(word), escaped(rest))
}

fn escaped(text: &str) -> String {
    let one = |out: String, c: char| match c {
        '&' => out + "&amp;",
        '<' => out + "&lt;",
        '>' => out + "&gt;",
        c if c.is_control() => out + " ",
        c => out + c.encode_utf8(&mut [0; 4]),
    };
    text.chars().fold(String::new(), one)
}
