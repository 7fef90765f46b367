//! How long an aggregate or fold remembers: `per batch`, `over` a window, `running` with a ttl. The text must say
//! which; everything about the answer that does not depend on what is remembered is checked here.

use std::fmt;

use millstream_dsl::{Diagnostic, Span, ast};

use crate::model::time::show_duration;
use crate::operators::input;
use crate::operators::spans::Spans;
use crate::plan::catalog::StageCall;
use crate::plan::memory::Windows;
use crate::plan::seams::Window;
use crate::plan::{EventTime, StageContext};

/// The scope of a stage that remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Until the batch ends.
    Batch,
    /// Until windows of event time close.
    Window(Window),
    /// Windows of batch time, as DStreams have them.
    BatchWindow(Window),
    /// Until a key had no rows for so many microseconds, by the time of rows or of batches.
    Running {
        /// None: for ever.
        ttl: Option<i64>,
        /// Rows tell the time; else batches do.
        event_time: bool,
    },
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lifetime::Batch => f.write_str("per batch"),
            Lifetime::Window(window) => write!(f, "over {window}"),
            Lifetime::BatchWindow(window) => write!(f, "over {window} on batch time"),
            Lifetime::Running { ttl: Some(ttl), event_time } => {
                write!(f, "running ttl {}{}", show_duration(*ttl), if *event_time { "" } else { " on batch time" })
            }
            Lifetime::Running { ttl: None, .. } => f.write_str("running ttl forever"),
        }
    }
}

/// Where windows of event time lie that follow from time alone.
pub(super) fn windows(lives: &Lifetime) -> Option<Box<dyn Windows>> {
    let Lifetime::Window(window) = lives else { return None };
    Some(Box::new(Spans::of(window)?))
}

/// What is remembered, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered<'a> {
    /// "total"
    pub what: &'static str,
    /// The names of the key.
    pub keys: &'a [String],
    /// Whether windows are among the possible scopes.
    pub windows: bool,
}

impl Remembered<'_> {
    /// "one total per `category`"
    fn per_key(&self) -> String {
        match self.keys {
            [] => format!("one {}", self.what),
            keys => {
                let keys: Vec<_> = keys.iter().map(|k| format!("`{k}`")).collect();
                format!("one {} per {}", self.what, keys.join(", "))
            }
        }
    }

    /// "totals by category"
    fn plural(&self) -> String {
        match self.keys {
            [] => format!("{}s", self.what),
            keys => format!("{}s by {}", self.what, keys.join(", ")),
        }
    }

    fn help(&self) -> String {
        let windows = if self.windows { "\n  over sliding(60s, every 10s)   one result per window" } else { "" };
        format!(
            "say how long a {} lives:{windows}\n  per batch                      forget after each batch\n  \
             running ttl 30d                keep, drop after 30 days without rows",
            self.what
        )
    }
}

/// The scope that the text gives, if it gives one that makes sense.
pub(super) fn lifetime(call: &StageCall<'_>, of: Remembered<'_>, ctx: &mut dyn StageContext) -> Option<Lifetime> {
    let mut scopes = call.stage.clauses.iter().filter(|c| is_scope(&c.kind));
    let Some(first) = scopes.next() else {
        ctx.report(unbounded(input::word_span(call), of));
        return None;
    };
    if let Some(second) = scopes.find(|c| c.kind.word() != first.kind.word()) {
        let problem = Diagnostic::error("duplicate-clause", second.at.0, "two scopes for one stage")
            .label("a second scope")
            .also(first.at.0, "the first")
            .help("keep one of them");
        ctx.report(problem);
        return None;
    }
    let batch_time = batch_time(call);
    match &first.kind {
        ast::ClauseKind::PerBatch => {
            refuse_batch_time(batch_time, "`per batch` is in batch time anyway", ctx);
            Some(Lifetime::Batch)
        }
        ast::ClauseKind::Over(window) => over(call, window, batch_time, ctx),
        ast::ClauseKind::Running(ttl) => running(ttl, first.at.0, of, batch_time.is_none(), ctx),
        _ => None,
    }
}

/// `on batch time`, where it is written.
pub(super) fn batch_time(call: &StageCall<'_>) -> Option<Span> {
    call.clause(|kind| matches!(kind, ast::ClauseKind::OnBatchTime).then_some(())).map(|(_, clause)| clause.at.0)
}

fn is_scope(kind: &ast::ClauseKind) -> bool {
    matches!(kind, ast::ClauseKind::PerBatch | ast::ClauseKind::Over(_) | ast::ClauseKind::Running(_))
}

fn unbounded(at: Span, of: Remembered<'_>) -> Diagnostic {
    Diagnostic::error("unbounded-state", at, "unbounded state")
        .label(format!("keeps {} for ever", of.per_key()))
        .help(of.help())
}

fn refuse_batch_time(written: Option<Span>, why: &str, ctx: &mut dyn StageContext) {
    if let Some(at) = written {
        ctx.report(
            Diagnostic::error("misplaced-clause", at, "clause `on batch time` does not belong here")
                .label(why.to_owned()),
        );
    }
}

/// A window, of event time where the text does not say batch time.
pub(super) fn over(
    call: &StageCall<'_>,
    window: &ast::Expr,
    batch_time: Option<Span>,
    ctx: &mut dyn StageContext,
) -> Option<Lifetime> {
    let at = window.at.0;
    match ctx.window(window, batch_time.is_some()) {
        Some(Window::Count { rows }) => {
            refuse_batch_time(batch_time, "a window of so many rows has no time", ctx);
            Some(Lifetime::Window(Window::Count { rows }))
        }
        Some(window) if batch_time.is_some() => batch_window(window, at, ctx),
        Some(window) => input::event_time(call, at, ctx).map(|_| Lifetime::Window(window)),
        None => {
            if batch_time.is_none() {
                input::event_time(call, at, ctx);
            }
            None
        }
    }
}

/// Batch time has windows of whole batches only.
fn batch_window(window: Window, at: Span, ctx: &mut dyn StageContext) -> Option<Lifetime> {
    let refusal = match &window {
        Window::Session { .. } => "sessions are of event time",
        Window::Tumbling { zone: Some(_), .. } => "a zone is for event time",
        _ => return Some(Lifetime::BatchWindow(window)),
    };
    let problem = Diagnostic::error("invalid-window", at, "window makes no sense in batch time").label(refusal).help(
        "leave out `on batch time`, or take windows of whole batches:\n  over sliding(60s, every 10s) on batch time",
    );
    ctx.report(problem);
    None
}

fn running(
    ttl: &ast::Ttl,
    at: Span,
    of: Remembered<'_>,
    by_rows: bool,
    ctx: &mut dyn StageContext,
) -> Option<Lifetime> {
    let event_time = by_rows && ctx.input().time.is_some();
    match ttl {
        ast::Ttl::Missing => {
            let problem = Diagnostic::error("unbounded-state", at, "`running` does not say how long")
                .label(format!("keeps {} for ever", of.per_key()))
                .help(format!("say how long a {} lives without rows:\n  running ttl 30d", of.what));
            ctx.report(problem);
            None
        }
        ast::Ttl::Forever => {
            let problem = Diagnostic::warning("running-forever", at, "state that is never dropped")
                .label(format!("keeps {} for ever", of.per_key()))
                .help("unless the keys are few, drop what had no rows for long:\n  running ttl 30d");
            ctx.report(problem);
            Some(Lifetime::Running { ttl: None, event_time })
        }
        ast::Ttl::For(duration) => ctx.duration(duration).map(|ttl| Lifetime::Running { ttl: Some(ttl), event_time }),
    }
}

/// What is kept, in the words of the table that `check` prints.
pub(super) fn state_text(lifetime: &Lifetime, of: Remembered<'_>, time: Option<&EventTime>) -> String {
    match lifetime {
        Lifetime::Batch => String::new(),
        Lifetime::Window(window) => match window.reach() {
            Some(reach) => format!("state <= {} of {}", until(reach, time.and_then(|t| t.delay)), of.plural()),
            None => format!("state: open windows of {}", of.plural()),
        },
        Lifetime::BatchWindow(window) => {
            format!("state <= {} of {}", show_duration(window.reach().unwrap_or(0)), of.plural())
        }
        Lifetime::Running { ttl: Some(ttl), .. } => format!("state <= {} of {}", show_duration(*ttl), of.plural()),
        Lifetime::Running { ttl: None, .. } => format!("state for ever: {}", of.plural()),
    }
}

/// How long rows are kept that are held for `reach` and may come `delay` late: `60s + 30s`.
pub(super) fn until(reach: i64, delay: Option<i64>) -> String {
    match delay {
        Some(delay) if delay > 0 && reach > 0 => format!("{} + {}", show_duration(reach), show_duration(delay)),
        Some(delay) if reach == 0 => show_duration(delay),
        _ => show_duration(reach),
    }
}
