//! An aggregate with memory cut in two at the shuffle. Where partial results can be merged the first half puts each
//! block together by key and pane; else, and where late rows are read, it only computes what the second half needs.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::operators::aggregate::Aggregate;
use crate::operators::aggregate::lasting::{Lasting, Scope};
use crate::operators::aggregate::pieces::{Stretch, piece_rows, piece_schema};
use crate::operators::aggregate::reading::{Reader, computed_rows, computed_schema};
use crate::operators::groups::CompiledGrouping;
use crate::operators::lifetime::Lifetime;
use crate::operators::show;
use crate::operators::spans::Spans;
use crate::operators::values::{Values, take_rows};
use crate::plan::operator::{BatchTime, Distribution, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::seams::Window;
use crate::plan::{Node, Operator, Port, Properties};

/// What the first half does.
#[derive(Debug, Clone)]
pub(super) enum Before {
    /// Puts the rows of a block together that are of one key and stretch.
    PutTogether(Stretch),
    /// Computes keys and arguments.
    Compute,
}

/// What can be done before the shuffle, if anything.
pub(super) fn before(of: &Aggregate) -> Option<Before> {
    let stretch = match &of.lives {
        Lifetime::Batch => return None,
        Lifetime::Window(Window::Session { .. } | Window::Count { .. }) => None,
        // Rows that come late are wanted whole.
        Lifetime::Window(_) if of.late_is_read => None,
        Lifetime::Window(window) => Some(Stretch::Pane(Spans::of(window)?)),
        Lifetime::BatchWindow(_) | Lifetime::Running { event_time: false, .. } => Some(Stretch::Whole),
        Lifetime::Running { ttl, event_time: true } => Some(Stretch::Run(ttl.unwrap_or(i64::MAX))),
    };
    let pieces = Scope::in_pieces(&of.lives);
    let merges = || {
        let grouping = of.grouping.compile().ok()?;
        Some(grouping.calls().iter().all(|call| !call.keeps_rows(pieces)))
    };
    match stretch {
        Some(stretch) if merges()? => Some(Before::PutTogether(stretch)),
        _ => {
            let computed = of.grouping.keys.iter().any(|key| !matches!(key.node, Node::Column { .. }));
            (computed || !of.late_is_read).then_some(Before::Compute)
        }
    }
}

/// The half before the shuffle and the one behind it.
pub(super) fn halves(of: &Aggregate) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
    let before = before(of)?;
    let first = FirstHalf { of: of.clone(), before: before.clone() };
    Some((Box::new(first), Box::new(SecondHalf { of: of.clone(), before })))
}

#[derive(Debug)]
struct FirstHalf {
    of: Aggregate,
    before: Before,
}

impl Operator for FirstHalf {
    fn word(&self) -> &'static str {
        "aggregate"
    }

    fn explain(&self) -> String {
        let calls: Vec<_> = self.of.grouping.calls.iter().map(show::call).collect();
        let what = if let Before::Compute = self.before { "arguments of" } else { "partial" };
        format!("aggregate {what} {}{}", calls.join(", "), show::by(&self.of.key_names))
    }

    fn properties(&self) -> Properties {
        let whole = self.of.properties();
        Properties {
            row_wise: matches!(self.before, Before::Compute),
            deterministic: whole.deterministic,
            ..Properties::row_wise(whole.reads.unwrap_or_default())
        }
    }

    /// The windows may differ, as long as their panes are the same.
    fn likeness(&self) -> Option<String> {
        let Before::PutTogether(stretch) = &self.before else { return None };
        let stretch = match stretch {
            Stretch::Pane(spans) => format!("pane {}", spans.panes()?),
            Stretch::Whole => "whole".into(),
            Stretch::Run(_) | Stretch::Session(_) => return None,
        };
        let grouping = &self.of.grouping;
        let calls: Vec<_> = grouping.calls.iter().map(show::call).collect();
        let over: Vec<_> = grouping.inputs().iter().map(|e| format!("{e}: {:?}", e.slot)).collect();
        Some(format!("{stretch} of {} over {} at {:?}", calls.join(", "), over.join(", "), self.of.time))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let refuse = |error: TaskError| NotRunnable(error.to_string());
        let values = Values::new(&self.of.grouping.inputs(), &self.of.input)?;
        Ok(Task::Rows(match &self.before {
            Before::Compute => Box::new(Compute { schema: computed_schema(&self.of), of: self.of.clone(), values }),
            Before::PutTogether(stretch) => {
                let grouping = self.of.grouping.compile()?;
                let schema = piece_schema(&grouping).map_err(refuse)?;
                Box::new(PutTogether { of: self.of.clone(), values, grouping, stretch: stretch.clone(), schema })
            }
        }))
    }
}

/// Computes keys and arguments.
struct Compute {
    of: Aggregate,
    values: Values,
    schema: SchemaRef,
}

impl RowTask for Compute {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.values.eval(block, batch)?;
        let rows = computed_rows(&self.of, &self.schema, computed.columns, &computed.rows)?;
        Ok(computed.bad.evaluated(Port::Out, rows, 0))
    }
}

/// Puts rows of a block together.
struct PutTogether {
    of: Aggregate,
    values: Values,
    grouping: CompiledGrouping,
    stretch: Stretch,
    schema: SchemaRef,
}

impl RowTask for PutTogether {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.values.eval(block, batch)?;
        let mut columns = computed.columns;
        let mut times = match (&self.of.time, &self.stretch) {
            (Some(time), Stretch::Pane(_) | Stretch::Run(_)) => time.of_rows(&computed.rows)?,
            _ => vec![0; computed.rows.num_rows()],
        };
        let all = times.len();
        if let Stretch::Pane(spans) = &self.stretch
            && !spans.without_gaps()
        {
            let inside: UInt32Array =
                (0..all as u32).filter(|row| spans.last_end(times[*row as usize]).is_some()).collect();
            columns = columns.iter().map(|c| take_rows(c, &inside)).collect::<Result<_, _>>()?;
            times = inside.values().iter().map(|row| times[*row as usize]).collect();
        }
        let filtered = all - times.len();
        let rows = piece_rows(&self.grouping, &self.schema, &self.stretch, &columns, &times)?;
        let out = computed.bad.evaluated(Port::Out, rows, filtered);
        Ok(Evaluated { taken: times.len(), handed: Some(0), ..out })
    }
}

#[derive(Debug)]
struct SecondHalf {
    of: Aggregate,
    before: Before,
}

impl Operator for SecondHalf {
    fn word(&self) -> &'static str {
        "aggregate"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.of.results.iter().map(|r| r.name.as_str()).collect();
        let what = if let Before::Compute = self.before { "rows into" } else { "merge" };
        format!("aggregate {what} {}{} {}", names.join(", "), show::by(&self.of.key_names), self.of.lives)
    }

    fn properties(&self) -> Properties {
        let keys = self.of.grouping.keys.len();
        let distribution = match keys {
            0 => Distribution::Single,
            n => Distribution::ByKey(vec![(0..n).collect()]),
        };
        let whole = self.of.properties();
        Properties { stateful: true, order_matters: whole.order_matters, ..Properties::gathering(distribution) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let reader = match self.before {
            Before::Compute => Reader::computed(&self.of),
            Before::PutTogether(_) => Reader::pieces(&self.of),
        };
        Ok(Task::Keyed(Box::new(Lasting::new(&self.of, reader)?)))
    }
}

/// Both halves in one place.
pub(super) fn whole(of: &Aggregate) -> Result<Task, NotRunnable> {
    Ok(Task::Keyed(Box::new(Lasting::new(of, Reader::whole(of)?)?)))
}
