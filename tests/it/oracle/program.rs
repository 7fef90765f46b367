//! Pipelines as values: how they are written, and which columns their streams have.

use std::fmt::Write;

use super::expr::{Expr, type_text};
use super::value::{Ty, Value};

/// A second, in microseconds.
pub(crate) const SECOND: i64 = 1_000_000;

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) nullable: bool,
    /// The elements of its lists are never null.
    pub(crate) solid: bool,
}

impl Column {
    pub(crate) fn new(name: &str, ty: Ty, nullable: bool) -> Column {
        Column { name: name.to_owned(), ty, nullable, solid: false }
    }
}

/// What a stream is.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) columns: Vec<Column>,
    /// The column that tells the time, and whether it is a window's end.
    pub(crate) time: Option<(usize, bool)>,
    /// It has a column `op`, the last one.
    pub(crate) changes: bool,
    /// What is known of the order of its rows.
    pub(crate) order: Order,
}

/// What is known of the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// It follows from the input.
    Known,
    /// It is not said, and stages to which it matters make their own.
    Loose,
    /// It is not said, and no stage to which it matters should follow.
    Unclear,
}

impl Edge {
    pub(crate) fn position(&self, name: &str) -> usize {
        self.columns.iter().position(|c| c.name == name).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// A column as an expression.
    pub(crate) fn column(&self, index: usize) -> Expr {
        Expr::Column(index, self.columns[index].name.clone())
    }
}

/// A source or table.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// How late rows may come, in seconds, where the first column tells the time.
    pub(crate) delay: Option<i64>,
    pub(crate) table: bool,
}

/// Windows; lengths in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Window {
    Tumbling { length: i64, start: i64 },
    Sliding { length: i64, every: i64, start: i64 },
    Cumulative { length: i64, every: i64 },
    Session { gap: i64 },
    Count(usize),
}

/// How long something is remembered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scope {
    Batch,
    Over { window: Window, batch_time: bool },
    Running { ttl: Option<i64>, batch_time: bool },
}

/// When results come out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Emit {
    Unsaid,
    Final,
    Changes,
    All,
}

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Func {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    CollectList,
}

/// A call of one.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) func: Func,
    pub(crate) arg: Option<Expr>,
    pub(crate) ty: Ty,
    pub(crate) distinct: bool,
    pub(crate) filter: Option<Expr>,
}

/// One of several things to order by.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) value: Expr,
    pub(crate) descending: bool,
}

/// Which rows a join gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

/// When partners can come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meeting {
    Batch,
    Table,
    Window(Window),
    /// The right row's time is within these seconds of the left row's.
    Bound {
        low: i64,
        high: i64,
    },
    /// The latest right row at or before the left row's time, at most so many seconds before it.
    Latest {
        back: i64,
    },
}

/// A join. Its sides have no column name in common.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) kind: Kind,
    pub(crate) other: String,
    /// Positions of keys, left and right.
    pub(crate) keys: Vec<(usize, usize)>,
    pub(crate) meeting: Meeting,
    /// A further condition over the columns of both sides.
    pub(crate) also: Option<Expr>,
}

/// A record that is kept for each key: a sum and a count of steps.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) by: Vec<usize>,
    /// Over the row's columns; null counts as zero.
    pub(crate) adds: Expr,
    pub(crate) scope: Scope,
    pub(crate) every_batch: bool,
}

/// A stage.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Where(Expr),
    Select(Vec<(String, Expr, Ty)>),
    Extend(Vec<(String, Expr, Ty)>),
    Explode { column: usize, name: String, outer: bool, position: Option<String> },
    Aggregate { calls: Vec<Call>, by: Vec<(String, Expr, Ty)>, scope: Scope, emit: Emit },
    Distinct(Vec<usize>),
    Dedupe { by: Vec<usize>, within: i64, batch_time: bool },
    Sort(Vec<Key>),
    Limit(usize),
    Top { count: usize, keys: Vec<Key>, per: Vec<usize> },
    Union(String),
    Join(Join),
    Fold(Fold),
}

/// A stage with the streams of what goes another way.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) stage: Stage,
    pub(crate) late: Option<String>,
    pub(crate) bad: Option<String>,
}

/// A stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) steps: Vec<Step>,
}

/// A pipeline with a batch every second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) sources: Vec<Source>,
    pub(crate) streams: Vec<Stream>,
}

impl Program {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("pipeline oracle { every: 1s }\n");
        for source in &self.sources {
            let columns: Vec<_> = source.columns.iter().map(column_text).collect();
            let word = if source.table { "table" } else { "source" };
            let time = match source.delay {
                Some(delay) => format!(", time: {}, watermark: {delay}s", source.columns[0].name),
                None => String::new(),
            };
            writeln!(text, "{word} {} = queue() {{ schema: {{ {} }}{time} }}", source.name, columns.join(", "))
                .unwrap();
        }
        for stream in &self.streams {
            write!(text, "stream {} = from {}", stream.name, stream.from).unwrap();
            let mut edge = self.edge(&stream.from);
            for step in &stream.steps {
                write!(text, "\n  |> {}", self.stage_text(&step.stage, &edge, &stream.from)).unwrap();
                for (word, to) in [("late", &step.late), ("bad", &step.bad)] {
                    if let Some(to) = to {
                        write!(text, " {word} to {to}").unwrap();
                    }
                }
                edge = self.behind(&step.stage, &edge);
            }
            text.push('\n');
        }
        for stream in &self.streams {
            writeln!(text, "from {} |> into discard", stream.name).unwrap();
            for name in stream.steps.iter().flat_map(|s| s.late.iter().chain(&s.bad)) {
                writeln!(text, "from {name} |> into discard").unwrap();
            }
        }
        text
    }

    /// What a source, table or stream is.
    pub(crate) fn edge(&self, name: &str) -> Edge {
        if let Some(source) = self.sources.iter().find(|s| s.name == name) {
            let time = source.delay.map(|_| (0, false));
            return Edge { columns: source.columns.clone(), time, changes: false, order: Order::Known };
        }
        let stream = self.streams.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no stream {name}"));
        stream.steps.iter().fold(self.edge(&stream.from), |edge, step| self.behind(&step.stage, &edge))
    }

    /// What a stage makes of an edge.
    pub(crate) fn behind(&self, stage: &Stage, edge: &Edge) -> Edge {
        let repeats = |exprs: &[(String, Expr, Ty)]| {
            let (index, ends) = edge.time?;
            let at = |e: &Expr| matches!(e, Expr::Column(i, _) if *i == index);
            exprs.iter().position(|(_, e, _)| at(e)).map(|i| (i, ends))
        };
        match stage {
            Stage::Where(_) | Stage::Sort(_) | Stage::Limit(_) | Stage::Distinct(_) | Stage::Dedupe { .. } => {
                let mut edge = edge.clone();
                if let Stage::Where(condition) = stage {
                    condition.never_null().into_iter().for_each(|i| edge.columns[i].nullable = false);
                }
                let order = match stage {
                    Stage::Sort(_) | Stage::Limit(_) => Order::Known,
                    Stage::Distinct(_) | Stage::Dedupe { .. } => Order::Loose,
                    _ => edge.order,
                };
                Edge { order, ..edge }
            }
            Stage::Top { per, .. } => {
                let order = if per.is_empty() { Order::Known } else { Order::Loose };
                Edge { order, ..edge.clone() }
            }
            Stage::Select(exprs) => {
                let mut columns = computed(exprs, edge);
                if edge.changes {
                    columns.push(edge.columns[edge.columns.len() - 1].clone());
                }
                Edge { columns, time: repeats(exprs), ..edge.clone() }
            }
            Stage::Extend(exprs) => {
                let mut columns = edge.columns.clone();
                let at = columns.len() - usize::from(edge.changes);
                columns.splice(at..at, computed(exprs, edge));
                Edge { columns, ..edge.clone() }
            }
            Stage::Explode { column, name, outer, position } => {
                let mut columns = edge.columns.clone();
                columns.push(Column::new(name, Ty::Int, *outer || !edge.columns[*column].solid));
                if let Some(position) = position {
                    columns.push(Column::new(position, Ty::Int, *outer));
                }
                Edge { columns, ..edge.clone() }
            }
            Stage::Aggregate { calls, by, scope, emit } => aggregated(calls, by, scope, *emit, edge),
            Stage::Union(other) => {
                let other = self.edge(other);
                let mut columns = edge.columns.clone();
                for column in &mut columns {
                    let other = &other.columns[other.position(&column.name)];
                    column.nullable |= other.nullable;
                    column.solid &= other.solid;
                }
                let same_time = edge
                    .time
                    .zip(other.time)
                    .is_some_and(|((a, x), (b, y))| edge.columns[a].name == other.columns[b].name && x == y);
                Edge {
                    columns,
                    time: edge.time.filter(|_| same_time),
                    changes: false,
                    order: edge.order.max(other.order),
                }
            }
            Stage::Join(join) => super::joins::behind(join, edge, &self.edge(&join.other)),
            Stage::Fold(fold) => super::fold::behind(fold, edge),
        }
    }

    fn stage_text(&self, stage: &Stage, edge: &Edge, from: &str) -> String {
        let named = |exprs: &[(String, Expr, Ty)]| {
            exprs.iter().map(|(n, e, _)| format!("{} as {n}", e.text())).collect::<Vec<_>>().join(", ")
        };
        let names =
            |columns: &[usize]| columns.iter().map(|i| edge.columns[*i].name.clone()).collect::<Vec<_>>().join(", ");
        let by = |columns: &[usize]| if columns.is_empty() { String::new() } else { format!(" by {}", names(columns)) };
        let order = |keys: &[Key], spelled: bool| {
            let key = |k: &Key| {
                let word = if k.descending {
                    " desc"
                } else if spelled {
                    " asc"
                } else {
                    ""
                };
                format!("{}{word}", k.value.text())
            };
            keys.iter().map(key).collect::<Vec<_>>().join(", ")
        };
        match stage {
            Stage::Where(condition) => format!("where {}", condition.text()),
            Stage::Select(exprs) => format!("select {}", named(exprs)),
            Stage::Extend(exprs) => {
                let set: Vec<_> = exprs.iter().map(|(n, e, _)| format!("{n} = {}", e.text())).collect();
                format!("extend {}", set.join(", "))
            }
            Stage::Explode { column, name, outer, position } => {
                let position = position.as_ref().map_or(String::new(), |p| format!(", position: {p}"));
                format!("explode {} as {name} with {{ outer: {outer}{position} }}", edge.columns[*column].name)
            }
            Stage::Aggregate { calls, by, scope, emit } => {
                let calls: Vec<_> = calls.iter().map(call_text).collect();
                let by = if by.is_empty() { String::new() } else { format!(" by {}", named(by)) };
                let emit = match emit {
                    Emit::Unsaid => "",
                    Emit::Final => " emit final",
                    Emit::Changes => " emit changes",
                    Emit::All => " emit all",
                };
                format!("aggregate {}{by} {}{emit}", calls.join(", "), scope_text(scope))
            }
            Stage::Distinct(columns) => format!("distinct{}", by(columns)),
            Stage::Dedupe { by: columns, within, batch_time } => {
                let clock = if *batch_time { " on batch time" } else { "" };
                format!("dedupe{} within {within}s{clock}", by(columns))
            }
            Stage::Sort(keys) => format!("sort by {}", order(keys, false)),
            Stage::Limit(count) => format!("limit {count}"),
            Stage::Top { count, keys, per } => {
                let per = if per.is_empty() { String::new() } else { format!(" per {}", names(per)) };
                format!("top {count} by {}{per}", order(keys, true))
            }
            Stage::Union(other) => format!("union {other}"),
            Stage::Join(join) => super::joins::text(join, edge, from, &self.edge(&join.other)),
            Stage::Fold(fold) => super::fold::text(fold, edge),
        }
    }
}

fn column_text(column: &Column) -> String {
    format!("{}: {}{}", column.name, type_text(column.ty), if column.nullable { "?" } else { "" })
}

fn computed(exprs: &[(String, Expr, Ty)], edge: &Edge) -> Vec<Column> {
    let column = |(name, e, ty): &(String, Expr, Ty)| Column {
        solid: is_solid(e, edge),
        ..Column::new(name, *ty, e.nullable(&edge.columns))
    };
    exprs.iter().map(column).collect()
}

/// Whether the elements of lists are never null, because they were collected, which leaves nulls out.
fn is_solid(e: &Expr, edge: &Edge) -> bool {
    matches!(e, Expr::Column(i, _) if edge.columns[*i].solid)
}

fn aggregated(calls: &[Call], by: &[(String, Expr, Ty)], scope: &Scope, emit: Emit, edge: &Edge) -> Edge {
    let mut columns = Vec::new();
    let timed = matches!(scope, Scope::Over { window, .. } if !matches!(window, Window::Count(_)));
    if timed {
        columns.push(Column::new("window_start", Ty::Time, false));
        columns.push(Column::new("window_end", Ty::Time, false));
    }
    columns.extend(computed(by, edge));
    columns.extend(calls.iter().map(|c| Column {
        solid: c.func == Func::CollectList || c.arg.as_ref().is_some_and(|arg| is_solid(arg, edge)),
        ..Column::new(&c.name, c.ty, nullable_result(c, edge))
    }));
    let changes = changes(scope, emit);
    if changes {
        columns.push(Column::new("op", Ty::Text, false));
    }
    let event = matches!(scope, Scope::Over { batch_time: false, .. });
    let plain = by.iter().all(|(_, e, _)| matches!(e, Expr::Column(..)));
    let order = match (by.is_empty(), scope) {
        (true, Scope::Batch) => Order::Known,
        (false, _) if plain => Order::Loose,
        _ => Order::Unclear,
    };
    Edge { columns, time: (timed && event).then_some((1, true)), changes, order }
}

/// Whether a result may be null over rows.
pub(crate) fn nullable_result(call: &Call, edge: &Edge) -> bool {
    match (&call.func, &call.arg) {
        (Func::Count | Func::CollectList, _) | (_, None) => false,
        // A filter may leave no rows.
        (_, Some(arg)) => call.filter.is_some() || arg.nullable(&edge.columns),
    }
}

/// Whether results are changes.
pub(crate) fn changes(scope: &Scope, emit: Emit) -> bool {
    match emit {
        Emit::Changes => true,
        Emit::Unsaid => matches!(scope, Scope::Running { .. }),
        Emit::Final | Emit::All => false,
    }
}

fn call_text(call: &Call) -> String {
    let word = match call.func {
        Func::Count => "count",
        Func::Sum => "sum",
        Func::Avg => "avg",
        Func::Min => "min",
        Func::Max => "max",
        Func::First => "first",
        Func::Last => "last",
        Func::CollectList => "collect_list",
    };
    let distinct = if call.distinct { "distinct " } else { "" };
    let arg = call.arg.as_ref().map_or(String::new(), Expr::text);
    let filter = call.filter.as_ref().map_or(String::new(), |f| format!(" filter (where {})", f.text()));
    format!("{word}({distinct}{arg}){filter} as {}", call.name)
}

/// A scope as it is written.
pub(crate) fn scope_text(scope: &Scope) -> String {
    let clock = |batch_time: bool| if batch_time { " on batch time" } else { "" };
    match scope {
        Scope::Batch => "per batch".into(),
        Scope::Over { window, batch_time } => format!("over {}{}", window_text(window), clock(*batch_time)),
        Scope::Running { ttl: None, .. } => "running ttl forever".into(),
        Scope::Running { ttl: Some(ttl), batch_time } => format!("running ttl {ttl}s{}", clock(*batch_time)),
    }
}

/// A window as it is written.
pub(crate) fn window_text(window: &Window) -> String {
    let from = |start: i64| if start == 0 { String::new() } else { format!(", start {start}s") };
    match window {
        Window::Tumbling { length, start } => format!("tumbling({length}s{})", from(*start)),
        Window::Sliding { length, every, start } => format!("sliding({length}s, every {every}s{})", from(*start)),
        Window::Cumulative { length, every } => format!("cumulative({length}s, every {every}s)"),
        Window::Session { gap } => format!("session(gap {gap}s)"),
        Window::Count(rows) => format!("count({rows})"),
    }
}

/// The time of a row.
pub(crate) fn time_of(edge: &Edge, row: &[Value]) -> i64 {
    let (index, ends_window) = edge.time.expect("rows with a time");
    let Value::Time(micros) = row[index] else { panic!("a row without a time") };
    micros - i64::from(ends_window)
}
