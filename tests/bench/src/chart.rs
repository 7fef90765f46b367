//! The figures as a picture.

use std::fmt::Write as _;

use crate::compare::Outcome;
use crate::figures::Figure;
use crate::programs::Program;

const WIDTH: f64 = 760.0;
const NAMES: f64 = 170.0;
const BAR: f64 = 16.0;

/// An SVG with a group of bars for each workload: milliseconds of a batch on the most cores, on a scale on which ten times
/// as much is as far everywhere. A time that is ten times another's would hide all others on a plain scale.
pub fn svg(outcomes: &[Outcome], machine: &str) -> String {
    let groups: Vec<(&Outcome, Vec<&Figure>)> =
        outcomes.iter().map(|outcome| (outcome, best(outcome))).filter(|(_, figures)| !figures.is_empty()).collect();
    let all = || groups.iter().flat_map(|(_, figures)| figures).map(|figure| figure.millis);
    let least = all().fold(f64::INFINITY, f64::min).log10().floor();
    let most = all().fold(0.1, f64::max).log10().ceil();
    let scale = |millis: f64| (millis.log10() - least) / (most - least).max(1.0) * (WIDTH - NAMES - 70.0);
    let bars: usize = groups.iter().map(|(_, figures)| figures.len()).sum();
    let height = 50.0 + groups.len() as f64 * 34.0 + bars as f64 * (BAR + 3.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" \
         font-size=\"13\">milliseconds a batch, less is better; {}</text>\n",
        escaped(machine)
    );
    let mut y = 36.0;
    for (outcome, figures) in groups {
        y += 22.0;
        let title = format!("{}: {}", outcome.workload.name, outcome.workload.does);
        put(&mut text, format_args!("<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{}</text>\n", escaped(&title)));
        y += 8.0;
        for figure in figures {
            let width = scale(figure.millis).max(2.0);
            let (name, color) = (figure.program.name(), color(figure.program));
            let (middle, behind) = (y + BAR - 4.0, NAMES + width + 6.0);
            put(&mut text, format_args!("<text x=\"20\" y=\"{middle}\">{name}</text>\n"));
            put(
                &mut text,
                format_args!(
                    "<rect x=\"{NAMES}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
                     <text x=\"{behind:.1}\" y=\"{middle}\">{}</text>\n",
                    short(figure.millis)
                ),
            );
            y += BAR + 3.0;
        }
        y += 4.0;
    }
    text.push_str("</svg>\n");
    text
}

/// The figures on the most cores, the quickest first.
fn best(outcome: &Outcome) -> Vec<&Figure> {
    let most = outcome.figures.iter().map(|figure| figure.cores).max();
    let mut figures: Vec<_> = outcome.figures.iter().filter(|figure| Some(figure.cores) == most).collect();
    figures.sort_by(|a, b| a.millis.total_cmp(&b.millis));
    figures
}

fn color(program: Program) -> &'static str {
    match program {
        Program::Millstream => "#1f6f8b",
        Program::Durable => "#5fa8c0",
        Program::Limit => "#9a9a9a",
        _ => "#d9a066",
    }
}

fn short(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.0}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Writing to a string cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}
