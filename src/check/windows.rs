//! `over sliding(60s, every 10s)`: a window's arguments, and whether it fits the batch interval.

use millstream_dsl::ast::{Call, Expr, ExprKind};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::{Checker, some_of};
use crate::check::expressions::suggested;
use crate::check::options::Around;
use crate::model::time::show_duration;
use crate::plan::Settings;
use crate::plan::catalog::find;
use crate::plan::seams::{Length, Window};

impl Checker<'_> {
    /// Reads a window. Lengths are compared with the batch interval where `batch_time`.
    pub(super) fn window(&mut self, expr: &Expr, batch_time: bool) -> Option<Window> {
        let ExprKind::Call(call) = &expr.kind else {
            if !matches!(expr.kind, ExprKind::Broken) {
                self.no_window(expr);
            }
            return None;
        };
        let Some(entry) = self.catalog.windows.iter().find(|w| w.doc.name == call.name.name).cloned() else {
            self.unknown_window(call);
            return None;
        };
        let around = Around { what: format!("window `{}`", entry.doc.name), rows: None };
        let mark = self.problems.mark();
        let mut settings = Settings::default();
        self.arguments(&call.args, &entry.args, &entry.labels, &around, call.name.at.0, &mut settings);
        if self.problems.errors_since(mark) {
            for problem in self.problems.take_since(mark) {
                let problem = self.with_whole(problem, expr.at.0, "over ");
                self.report(problem);
            }
            return None;
        }
        let window = match (entry.plan)(&settings) {
            Ok(window) => window,
            Err(why) => {
                let message = format!("window `{}` {why}", entry.doc.name);
                let problem = Diagnostic::error("invalid-window", expr.at.0, message).label("makes no sense");
                self.report(problem.help(format!("it is written like this:\n  {}", entry.doc.usage)));
                return None;
            }
        };
        self.warn_gaps(&window, expr.at.0);
        if batch_time {
            self.fits_interval(&window, expr.at.0)?;
            self.warn_beyond_retention(&window, expr.at.0);
        }
        Some(window)
    }

    fn no_window(&mut self, expr: &Expr) {
        let text = self.text(expr.at.0);
        let problem =
            Diagnostic::error("invalid-window", expr.at.0, "a window is wanted behind `over`").label("is none");
        let help = match &expr.kind {
            ExprKind::Literal(_) => format!("say which kind:\n  over tumbling({text})"),
            _ => "for example:\n  over tumbling(1m)\n  over sliding(60s, every 10s)\n  over session(gap 30s)".into(),
        };
        self.report(problem.help(help));
    }

    fn unknown_window(&mut self, call: &Call) {
        let (name, at) = (&call.name.name, call.name.at.0);
        let words = || self.catalog.windows.iter().map(|w| w.doc.name.as_str());
        let problem =
            Diagnostic::error("unknown-window", at, format!("window `{name}` does not exist")).label("not known");
        let problem = match find(&self.catalog.windows, name) {
            Some(alias) => {
                let here = &alias.doc.name;
                problem.help(format!("it is called `{here}` here:\n  {}", alias.doc.usage)).edit(at, here)
            }
            None => suggested(problem, name, at, words()),
        };
        let problem = match problem.help {
            None => {
                let all = some_of(words());
                problem.help(format!("the windows are {all}"))
            }
            Some(_) => problem,
        };
        self.report(problem);
    }

    fn warn_gaps(&mut self, window: &Window, at: Span) {
        if let Window::Sliding { length, every, .. } = window
            && every > length
        {
            let (length, every) = (show_duration(*length), show_duration(*every));
            let problem =
                Diagnostic::warning("slide-gap", at, format!("a window of {length} every {every} leaves rows out"));
            self.report(
                problem
                    .label("rows between two windows belong to none")
                    .help(format!("let it start as often as it is long:\n  tumbling({length})")),
            );
        }
    }

    /// Batches that are gone cannot be counted any more.
    fn warn_beyond_retention(&mut self, window: &Window, at: Span) {
        let (Some(reach), Some(retain)) = (window.reach(), self.header.retain) else { return };
        if reach > retain {
            let (reach, retain) = (show_duration(reach), show_duration(retain));
            let message = format!("a window of {reach} reaches beyond what is kept");
            let kept = self.header.settings.span("retain").unwrap_or(self.header.at);
            self.report(
                Diagnostic::warning("window-beyond-retention", at, message)
                    .label("will lack its oldest part")
                    .also(kept, format!("batches are kept for {retain}"))
                    .help(format!("keep them as long:\n  retain: {reach}")),
            );
        }
    }

    /// Windows in batch time are made of whole batches.
    fn fits_interval(&mut self, window: &Window, at: Span) -> Option<()> {
        let (every, every_at) = (self.header.every, self.header.every_at);
        if every == 0 {
            self.report(
                Diagnostic::error("batch-window-asap", at, "a window in batch time needs a batch interval")
                    .label("is made of batches")
                    .also(every_at, "batches come as soon as possible")
                    .help("give the pipeline an interval:\n  every: 1s"),
            );
            return None;
        }
        let lengths: Vec<i64> = match window {
            Window::Tumbling { length: Length::Fixed(length), .. } => vec![*length],
            Window::Sliding { length, every, .. } | Window::Cumulative { length, every } => vec![*length, *every],
            _ => Vec::new(),
        };
        let Some(wrong) = lengths.iter().copied().find(|length| length % every != 0) else { return Some(()) };
        let multiple = |length: i64| show_duration((length.saturating_add(every - 1)) / every * every);
        let right = match window {
            Window::Tumbling { .. } => format!("tumbling({})", multiple(wrong)),
            Window::Cumulative { length, every } => {
                format!("cumulative({}, every {})", multiple(*length), multiple(*every))
            }
            Window::Sliding { length, every, .. } => {
                format!("sliding({}, every {})", multiple(*length), multiple(*every))
            }
            _ => multiple(wrong),
        };
        self.report(
            Diagnostic::error(
                "window-not-multiple",
                at,
                format!("{} is no multiple of the batch interval {}", show_duration(wrong), show_duration(every)),
            )
            .label("a window in batch time is made of whole batches")
            .also(every_at, format!("a batch every {}", show_duration(every)))
            .help(format!("use multiples:\n  over {right}")),
        );
        None
    }
}
