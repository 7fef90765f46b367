//! When partners can no longer come: what a join must say so that its state has an end.

use std::fmt;

use millstream_dsl::ast::{self, JoinWord};
use millstream_dsl::{Diagnostic, Span};

use crate::model::time::show_duration;
use crate::operators::join::Draft;
use crate::operators::lifetime::{self, Lifetime};
use crate::plan::{Edge, StageContext};

/// How partners find each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    /// In reference data, as it stands when the batch begins.
    Table,
    /// In the same batch.
    Batch,
    /// In the same window.
    Window {
        /// Of event time or of batch time.
        window: Lifetime,
    },
    /// `lower <= right.time - left.time <= upper`, in microseconds.
    Bounded {
        /// How much older a right row may be (below zero) or must be younger.
        lower: i64,
        /// How much younger a right row may be.
        upper: i64,
        /// Of the partners only the latest.
        latest: bool,
    },
    /// The latest partner, however old, that is at most this much younger.
    Latest {
        /// In microseconds.
        upper: i64,
    },
    /// The latest partner in reference data.
    LatestOfTable {
        /// How much older it may be (below zero), in microseconds; none: however old.
        lower: Option<i64>,
        /// How much younger it may be.
        upper: i64,
    },
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Table => Ok(()),
            How::Batch => f.write_str(" per batch"),
            How::Window { window } => write!(f, " {window}"),
            How::Bounded { lower, upper, latest } => {
                let latest = if *latest { " latest" } else { "" };
                write!(f, "{latest} within {} to {}", signed(*lower), signed(*upper))
            }
            How::Latest { .. } | How::LatestOfTable { .. } => f.write_str(" latest"),
        }
    }
}

/// A duration that may be below zero.
fn signed(micros: i64) -> String {
    if micros < 0 { format!("-{}", show_duration(-micros)) } else { show_duration(micros) }
}

impl How {
    pub(super) fn latest(&self) -> bool {
        matches!(self, How::Latest { .. } | How::LatestOfTable { .. } | How::Bounded { latest: true, .. })
    }

    pub(super) fn stateful(&self) -> bool {
        !matches!(self, How::Table | How::LatestOfTable { .. } | How::Batch)
    }

    /// Whether a row can come when all its partners are gone.
    pub(super) fn can_be_late(&self) -> bool {
        match self {
            How::Window { window } => matches!(window, Lifetime::Window(_)),
            How::Bounded { .. } | How::Latest { .. } => true,
            How::Table | How::LatestOfTable { .. } | How::Batch => false,
        }
    }

    /// How long a row of the side that is always there waits for partners.
    pub(super) fn wait(&self, modifier: Option<JoinWord>) -> i64 {
        match (self, modifier) {
            (How::Bounded { lower, .. }, Some(JoinWord::Right)) => lower.saturating_neg().max(0),
            (How::Bounded { upper, .. } | How::Latest { upper }, _) => (*upper).max(0),
            _ => 0,
        }
    }

    /// The same for rows as old as they are: `older` is 1 for a side whose time column holds ends of windows.
    pub(super) fn lag(&self, modifier: Option<JoinWord>, older: (i64, i64)) -> i64 {
        match (self, modifier) {
            (How::Bounded { lower, .. }, Some(JoinWord::Right)) => {
                lower.saturating_neg().saturating_add(older.1 - older.0).max(0)
            }
            (How::Bounded { upper, .. } | How::Latest { upper }, _) => upper.saturating_add(older.0 - older.1).max(0),
            _ => 0,
        }
    }
}

impl Draft<'_> {
    /// How partners find each other; reported where they could wait for ever.
    pub(super) fn how(&self, ctx: &mut dyn StageContext) -> Option<How> {
        let latest = self.call.options.text("match") == Some("latest");
        let scope = self
            .call
            .stage
            .clauses
            .iter()
            .find(|c| matches!(c.kind, ast::ClauseKind::PerBatch | ast::ClauseKind::Over(_)));
        if let (true, Some(clause)) = (self.table || latest, scope) {
            let why = if self.table { "a table has no batches or windows" } else { "the latest partner may be older" };
            let problem = Diagnostic::error("misplaced-clause", clause.at.0, "this join takes no scope").label(why);
            ctx.report(problem.help("leave it out"));
            return None;
        }
        let how = if self.table && !latest {
            How::Table
        } else if let Some(clause) = scope {
            self.scoped(&clause.kind, ctx)?
        } else if latest {
            self.as_of(ctx)?
        } else {
            self.bounded(ctx)?
        };
        if self.call.stage.modifier == Some(JoinWord::Cross) {
            let problem =
                Diagnostic::warning("cross-join", self.word_span(), "the join pairs every row with every row")
                    .label(format!("rows of `{}` times rows of `{}`", self.left_called(), self.right_name))
                    .help(format!(
                        "unless one side is small, say which rows belong together:\n  join {} using id",
                        self.right_name
                    ));
            ctx.report(problem);
        }
        Some(how)
    }

    fn scoped(&self, clause: &ast::ClauseKind, ctx: &mut dyn StageContext) -> Option<How> {
        let ast::ClauseKind::Over(window) = clause else { return Some(How::Batch) };
        let batch_time = lifetime::batch_time(self.call);
        let scope = lifetime::over(self.call, window, batch_time, ctx)?;
        if batch_time.is_none() && self.right.time.is_none() {
            ctx.report(no_time(window.at.0, &self.right_name));
            return None;
        }
        if let Lifetime::Window(crate::plan::seams::Window::Count { .. } | crate::plan::seams::Window::Session { .. }) =
            scope
        {
            let problem = Diagnostic::error("invalid-window", window.at.0, "window does not fit a join")
                .label("follows from the rows of one side")
                .help("take windows of a fixed length:\n  over tumbling(1m)");
            ctx.report(problem);
            return None;
        }
        Some(How::Window { window: scope })
    }

    fn bounded(&self, ctx: &mut dyn StageContext) -> Option<How> {
        match self.condition.bounds.both() {
            Some((lower, upper)) => {
                self.warn_no_watermark(ctx);
                Some(How::Bounded { lower, upper, latest: false })
            }
            None if self.condition.all.iter().any(crate::plan::TypedExpr::is_unknown) => None,
            None => {
                ctx.report(self.unbounded());
                None
            }
        }
    }

    /// As-of joins: the partner's time must be at or before the row's.
    fn as_of(&self, ctx: &mut dyn StageContext) -> Option<How> {
        let at = self.call.options.span("match").unwrap_or(self.word_span());
        for (edge, name) in [(&self.left, self.left_called()), (&self.right, self.right_name.as_str())] {
            if edge.time.is_none() {
                ctx.report(no_time(at, name));
                return None;
            }
        }
        let Some(upper) = self.condition.bounds.upper else {
            let (left, right) =
                (self.time_of(&self.left, self.left_called()), self.time_of(&self.right, &self.right_name));
            let problem = Diagnostic::error("missing-argument", at, "`match: latest` does not say until when")
                .label("the latest of which partners?")
                .help(format!("compare the times in the condition:\n  and {right} <= {left}"));
            ctx.report(problem);
            return None;
        };
        if self.table {
            return Some(How::LatestOfTable { lower: self.condition.bounds.lower, upper });
        }
        self.warn_no_watermark(ctx);
        if let Some(lower) = self.condition.bounds.lower {
            return Some(How::Bounded { lower, upper, latest: true });
        }
        let (left, right) = (self.time_of(&self.left, self.left_called()), self.time_of(&self.right, &self.right_name));
        let problem = Diagnostic::warning("running-forever", at, "state that is never dropped")
            .label(format!("keeps the latest row of `{}` per key for ever", self.right_name))
            .help(format!("unless the keys are few, say how old a partner may be:\n  and {right} >= {left} - 1h"));
        ctx.report(problem);
        Some(How::Latest { upper })
    }

    fn time_of(&self, edge: &Edge, name: &str) -> String {
        let column = edge.time.as_ref().map_or("ts", |t| t.column.as_str());
        format!("{name}.{column}")
    }

    fn unbounded(&self) -> Diagnostic {
        let (left, right) = (self.left_called(), self.right_name.as_str());
        let (older, younger) = (self.time_of(&self.left, left), self.time_of(&self.right, right));
        let bounds = self.condition.bounds;
        let (keeps, bound) = match (bounds.lower, bounds.upper) {
            (Some(_), None) => (format!("keeps rows of `{left}` for ever"), format!("{younger} <= {older} + 1h")),
            (None, Some(_)) => (format!("keeps rows of `{right}` for ever"), format!("{younger} >= {older} - 1h")),
            _ => {
                let both = format!("keeps rows of `{left}` and `{right}` for ever");
                (both, format!("{younger} between {older} and {older} + 1h"))
            }
        };
        let equal = |(l, r): &(usize, usize)| {
            format!("{left}.{} == {right}.{}", self.left.schema.columns[*l].name, self.right.schema.columns[*r].name)
        };
        let keys: Vec<_> = self.using.iter().map(equal).collect();
        let help =
            if keys.is_empty() { format!("and {bound}") } else { format!("on {} and {bound}", keys.join(" and ")) };
        let timeless: Vec<_> = [(&self.left, left), (&self.right, right)]
            .iter()
            .filter(|(edge, _)| edge.time.is_none())
            .map(|(_, name)| format!("`{name}`"))
            .collect();
        let first = match &timeless[..] {
            [] => format!("say in the condition how far apart in time partners may be:\n  {help}"),
            names => format!(
                "name the time column at the source of {}, then say how far apart partners may be:\n  {{ time: ts, watermark: 30s }}\n  {help}",
                names.join(" and ")
            ),
        };
        Diagnostic::error("unbounded-join", self.word_span(), "unbounded join")
            .label(keeps)
            .help(format!("{first}\nor join what is in the same window or batch:\n  over tumbling(1m)\n  per batch"))
    }

    /// Without a watermark on both sides no row ever grows too old.
    fn warn_no_watermark(&self, ctx: &mut dyn StageContext) {
        for (edge, name) in [(&self.left, self.left_called()), (&self.right, self.right_name.as_str())] {
            if edge.time.as_ref().is_some_and(|t| t.delay.is_none()) {
                let problem =
                    Diagnostic::warning("no-watermark", self.word_span(), "nothing is ever final without a watermark")
                        .label(format!("`{name}` has no watermark, so partners are waited for without end"))
                        .help("say at the source how late rows may come:\n  watermark: 30s");
                ctx.report(problem);
            }
        }
    }

    /// Reports combinations that could only be answered when everything has been seen.
    pub(super) fn refuse_modifier(&self, how: &How, ctx: &mut dyn StageContext) -> Option<()> {
        let modifier = self.call.stage.modifier;
        let why = match (how, modifier) {
            (How::Table, Some(JoinWord::Right | JoinWord::Full)) => "would hand on rows of the table with every batch",
            (_, Some(word)) if how.latest() && word != JoinWord::Left => "an as-of join is a plain or a `left` join",
            (How::Bounded { .. }, Some(JoinWord::Cross)) => "a `cross` join has no condition",
            _ => return Some(()),
        };
        let word = modifier.map_or("", JoinWord::word);
        let problem =
            Diagnostic::error("misplaced-modifier", self.word_span(), format!("`{word}` does not fit this join"))
                .label(why)
                .help(format!("write:\n  left join {}", self.right_name));
        ctx.report(problem);
        None
    }

    /// What is kept, in the words of the table that `check` prints.
    pub(super) fn state_text(&self, how: &How) -> String {
        let delay = |edge: &Edge| edge.time.as_ref().and_then(|t| t.delay);
        let delay = delay(&self.left).max(delay(&self.right));
        let both = |reach: i64| format!("state <= {} of both sides", lifetime::until(reach, delay));
        match how {
            How::Table | How::LatestOfTable { .. } | How::Batch => String::new(),
            How::Window { window: Lifetime::Window(window) } => both(window.reach().unwrap_or(0)),
            How::Window { window: Lifetime::BatchWindow(window) } => {
                format!("state <= {} of both sides", show_duration(window.reach().unwrap_or(0)))
            }
            How::Window { .. } => "state: open windows of both sides".into(),
            How::Bounded { lower, upper, .. } => both(upper.max(&0).max(&lower.saturating_neg()).to_owned()),
            How::Latest { .. } => format!("state for ever: latest {} by key", self.right_name),
        }
    }
}

fn no_time(at: Span, name: &str) -> Diagnostic {
    Diagnostic::error("no-time-column", at, format!("stream `{name}` has no time column"))
        .label("needs the event time of both sides")
        .help("name the column at the source, and keep it up to here:\n  { time: ts, watermark: 30s }")
}
