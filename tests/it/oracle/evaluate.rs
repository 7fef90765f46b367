//! What must come out of a pipeline, computed from all batches at once, stage by stage, without any state that goes
//! from batch to batch.

use std::collections::BTreeMap;

use super::aggregates::Aggregate;
use super::program::{Edge, Func, Key, Program, Stage, Step, nullable_result, time_of};
use super::value::{Row, Ty, Value, engine_order, same_rows};
use super::{fold, joins};

/// Marks before and after every batch.
pub(crate) type Marks = Vec<(Option<i64>, Option<i64>)>;

/// The batches of a run.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    /// In microseconds.
    pub(crate) times: Vec<i64>,
    /// The last one closes every window.
    pub(crate) closing: bool,
    /// By source or table, for every batch; of tables only where they are replaced.
    pub(crate) rows: BTreeMap<String, Vec<Option<Vec<Row>>>>,
}

impl Batches {
    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }
}

/// What a stage reads: for every batch its rows.
pub(crate) struct Given<'a> {
    pub(crate) edge: &'a Edge,
    pub(crate) rows: &'a [Vec<Row>],
}

/// What came of a batch at a stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) out: Vec<Row>,
    /// Late rows, where the stage has one input.
    pub(crate) late: Vec<Row>,
    pub(crate) late_count: usize,
    pub(crate) bad: Vec<Row>,
}

impl Outcome {
    pub(crate) fn rows(out: Vec<Row>) -> Outcome {
        Outcome { out, ..Outcome::default() }
    }

    pub(crate) fn late(&mut self, row: &Row) {
        self.late.push(row.clone());
        self.late_count += 1;
    }
}

/// What came of a stream in all batches.
struct Flow {
    edge: Edge,
    rows: Vec<Vec<Row>>,
    marks: Marks,
    /// How far rows may be behind the mark.
    lag: i64,
}

/// Everything that must be seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// By stream: the rows of every batch. Of streams of late and bad rows only the columns of the stage's input.
    pub(crate) streams: BTreeMap<String, Vec<Vec<Row>>>,
    /// Late and bad rows of every batch.
    pub(crate) late: Vec<usize>,
    pub(crate) bad: Vec<usize>,
}

/// Computes it.
pub(crate) fn expected(program: &Program, batches: &Batches) -> Expected {
    let mut flows: BTreeMap<String, Flow> = BTreeMap::new();
    let count = batches.count();
    for source in &program.sources {
        let given = &batches.rows[&source.name];
        let mut rows: Vec<Vec<Row>> = Vec::new();
        for batch in given {
            rows.push(match batch {
                Some(rows) => rows.clone(),
                // A table stays as it is.
                None if source.table => rows.last().cloned().unwrap_or_default(),
                None => Vec::new(),
            });
        }
        let edge = program.edge(&source.name);
        let marks = match source.delay {
            Some(delay) => source_marks(&edge, &rows, delay * super::program::SECOND, batches.closing),
            None => vec![(None, None); count],
        };
        flows.insert(source.name.clone(), Flow { edge, rows, marks, lag: 0 });
    }
    let mut expected = Expected { late: vec![0; count], bad: vec![0; count], ..Expected::default() };
    for stream in &program.streams {
        let from = &flows[&stream.from];
        let mut flow =
            Flow { edge: from.edge.clone(), rows: from.rows.clone(), marks: from.marks.clone(), lag: from.lag };
        for step in &stream.steps {
            flow = stage(program, step, &flow, &flows, batches, &mut expected);
        }
        expected.streams.insert(stream.name.clone(), flow.rows.clone());
        flows.insert(stream.name.clone(), flow);
    }
    expected
}

/// The newest time of the batches so far, less the delay.
fn source_marks(edge: &Edge, rows: &[Vec<Row>], delay: i64, closing: bool) -> Marks {
    let mut marks = Vec::new();
    for at in 0..rows.len() {
        let newest = |until: usize| rows[..until].iter().flatten().map(|row| time_of(edge, row)).max();
        let after = if closing && at + 1 == rows.len() { Some(i64::MAX) } else { newest(at + 1).map(|t| t - delay) };
        marks.push((newest(at).map(|t| t - delay), after));
    }
    marks
}

/// The marks of a stage that reads these.
fn meet(inputs: &[&Flow], count: usize, closing: bool) -> Marks {
    let timed: Vec<_> = inputs.iter().filter(|flow| flow.edge.time.is_some()).collect();
    let last = if closing { count - 1 } else { count };
    let mut marks: Marks = Vec::new();
    for at in 0..count {
        let behind = |flow: &&&Flow| match flow.marks[at].1 {
            Some(i64::MAX) => Some(i64::MAX),
            mark => mark.map(|mark| mark - flow.lag),
        };
        let before = marks.last().and_then(|(_, after)| *after);
        let after = timed.iter().map(behind).min().flatten();
        marks.push((before, if at == last { Some(i64::MAX) } else { after.max(before) }));
    }
    marks
}

fn stage(
    program: &Program,
    step: &Step,
    flow: &Flow,
    flows: &BTreeMap<String, Flow>,
    batches: &Batches,
    expected: &mut Expected,
) -> Flow {
    let edge = program.behind(&step.stage, &flow.edge);
    let other = match &step.stage {
        Stage::Union(other) => Some(&flows[other]),
        Stage::Join(join) => Some(&flows[&join.other]),
        _ => None,
    };
    let table =
        other.is_some_and(|_| matches!(&step.stage, Stage::Join(j) if j.meeting == super::program::Meeting::Table));
    let inputs: Vec<&Flow> = std::iter::once(flow).chain(other.filter(|_| !table)).collect();
    let marks = meet(&inputs, batches.count(), batches.closing);
    let rows: Vec<Vec<Row>> = match order_matters(&step.stage) {
        true => flow.rows.iter().map(|rows| settled(rows, &flow.edge)).collect(),
        false => flow.rows.clone(),
    };
    let given = Given { edge: &flow.edge, rows: &rows };
    let mut lag = 0;
    let outcomes: Vec<Outcome> = match &step.stage {
        Stage::Aggregate { calls, by, scope, emit } => {
            let said = |call: &super::program::Call| {
                matches!(call.func, Func::Count | Func::CollectList) || nullable_result(call, &flow.edge)
            };
            let of_nothing = calls.iter().all(said);
            Aggregate { calls, by, scope, emit: *emit, of_nothing }.evaluate(&given, batches, &marks)
        }
        Stage::Dedupe { by, within, batch_time } => {
            let by_rows = !batch_time && flow.edge.time.is_some();
            dedupe(&given, by, within * super::program::SECOND, by_rows, batches, &marks)
        }
        Stage::Union(_) => union(&flow.edge, &flow.rows, other.expect("another stream")),
        Stage::Join(join) => {
            let other = other.expect("another stream");
            lag = joins::lag(join, &flow.edge, &other.edge);
            let right = Given { edge: &other.edge, rows: &other.rows };
            joins::evaluate(join, &given, &right, batches, &marks)
        }
        Stage::Fold(fold) => fold::evaluate(fold, &given, batches, &marks),
        stage => rows.iter().map(|rows| of_batch(stage, &flow.edge, rows)).collect(),
    };
    for (at, outcome) in outcomes.iter().enumerate() {
        expected.late[at] += outcome.late_count;
        expected.bad[at] += outcome.bad.len();
    }
    if let (Some(name), None) = (&step.late, other) {
        expected.streams.insert(name.clone(), outcomes.iter().map(|o| o.late.clone()).collect());
    }
    if let (Some(name), None) = (&step.bad, other) {
        expected.streams.insert(name.clone(), outcomes.iter().map(|o| o.bad.clone()).collect());
    }
    Flow { edge, rows: outcomes.into_iter().map(|o| o.out).collect(), marks, lag }
}

/// Stages that look at one batch only.
fn of_batch(stage: &Stage, edge: &Edge, rows: &[Row]) -> Outcome {
    let mut outcome = Outcome::default();
    match stage {
        Stage::Where(condition) => {
            for row in rows {
                match condition.holds(row) {
                    Ok(true) => outcome.out.push(row.clone()),
                    Ok(false) => {}
                    Err(_) => outcome.bad.push(row.clone()),
                }
            }
        }
        Stage::Select(exprs) | Stage::Extend(exprs) => {
            let keep = matches!(stage, Stage::Extend(_));
            let op = usize::from(edge.changes);
            for row in rows {
                let values: Result<Row, _> = exprs.iter().map(|(_, e, _)| e.eval(row)).collect();
                match values {
                    Ok(values) => {
                        let mut out = if keep { row[..row.len() - op].to_vec() } else { Vec::new() };
                        out.extend(values);
                        out.extend_from_slice(&row[row.len() - op..]);
                        outcome.out.push(out);
                    }
                    Err(_) => outcome.bad.push(row.clone()),
                }
            }
        }
        Stage::Explode { column, outer, position, .. } => {
            for row in rows {
                let items = if let Value::List(items) = &row[*column] { items.clone() } else { Vec::new() };
                let with = |item: Value, at: Value| -> Row {
                    row.iter().cloned().chain([item]).chain(position.iter().map(|_| at.clone())).collect()
                };
                if items.is_empty() && *outer {
                    outcome.out.push(with(Value::Null, Value::Null));
                }
                let numbered = (0_i64..).zip(items);
                outcome.out.extend(numbered.map(|(at, item)| with(item, Value::Int(at))));
            }
        }
        Stage::Distinct(by) => {
            let of = |row: &Row| -> Row {
                if by.is_empty() { row.clone() } else { by.iter().map(|i| row[*i].clone()).collect() }
            };
            let mut seen: Vec<Row> = Vec::new();
            for row in rows {
                if !seen.iter().any(|s| same_rows(s, &of(row))) {
                    seen.push(of(row));
                    outcome.out.push(row.clone());
                }
            }
        }
        Stage::Sort(keys) => outcome.out = sorted(rows, keys, false),
        Stage::Limit(count) => outcome.out = rows.iter().take(*count).cloned().collect(),
        Stage::Top { count, keys, per } => {
            let mut kept: Vec<(Row, usize)> = Vec::new();
            for row in sorted(rows, keys, true) {
                let key: Row = per.iter().map(|i| row[*i].clone()).collect();
                let taken = kept.iter().position(|(k, _)| same_rows(k, &key)).unwrap_or_else(|| {
                    kept.push((key.clone(), 0));
                    kept.len() - 1
                });
                if kept[taken].1 < *count {
                    kept[taken].1 += 1;
                    outcome.out.push(row);
                }
            }
        }
        other => panic!("{other:?} looks at more than a batch"),
    }
    outcome
}

/// Whether what comes out depends on the order of rows.
fn order_matters(stage: &Stage) -> bool {
    use super::program::{Scope, Window};
    match stage {
        Stage::Sort(_) | Stage::Limit(_) | Stage::Top { .. } | Stage::Fold(_) | Stage::Dedupe { .. } => true,
        Stage::Distinct(by) => !by.is_empty(),
        Stage::Aggregate { calls, scope, .. } => {
            matches!(scope, Scope::Over { window: Window::Count(_), .. })
                || calls.iter().any(|c| matches!(c.func, Func::First | Func::Last | Func::CollectList))
        }
        _ => false,
    }
}

/// Rows in an order that depends on nothing but themselves, where theirs is not said.
fn settled(rows: &[Row], edge: &Edge) -> Vec<Row> {
    let mut rows = rows.to_vec();
    if edge.order != super::program::Order::Known {
        rows.sort_by(|a, b| engine_order(a, b));
    }
    rows
}

/// In an order; nulls come last, or first under `desc`, or always last.
fn sorted(rows: &[Row], keys: &[Key], nulls_last: bool) -> Vec<Row> {
    let mut rows = rows.to_vec();
    let value = |key: &Key, row: &Row| key.value.eval(row).unwrap_or_else(|_| panic!("orders do not fail"));
    rows.sort_by(|a, b| {
        let by_key = |key: &Key| {
            let (a, b) = (value(key, a), value(key, b));
            match (a.is_null(), b.is_null()) {
                (false, false) if key.descending => b.order(&a),
                (false, false) => a.order(&b),
                (x, y) if key.descending && !nulls_last => y.cmp(&x),
                (x, y) => x.cmp(&y),
            }
        };
        keys.iter().map(by_key).fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    rows
}

fn union(edge: &Edge, rows: &[Vec<Row>], other: &Flow) -> Vec<Outcome> {
    let place: Vec<usize> = edge.columns.iter().map(|c| other.edge.position(&c.name)).collect();
    let aligned = |row: &Row| -> Row { place.iter().map(|i| row[*i].clone()).collect() };
    let both = rows.iter().zip(&other.rows);
    both.map(|(a, b)| Outcome::rows(a.iter().cloned().chain(b.iter().map(aligned)).collect())).collect()
}

/// The first row of each key; the next one passes that is `within` or more behind it in time.
fn dedupe(
    given: &Given<'_>,
    by: &[usize],
    within: i64,
    by_rows: bool,
    batches: &Batches,
    marks: &Marks,
) -> Vec<Outcome> {
    let mut known: Vec<(Row, i64)> = Vec::new();
    let mut outcomes = Vec::new();
    for (at, rows) in given.rows.iter().enumerate() {
        let mut outcome = Outcome::default();
        for row in rows {
            let time = if by_rows { time_of(given.edge, row) } else { batches.times[at] };
            if by_rows && marks[at].0.is_some_and(|mark| mark >= time + within) {
                outcome.late(row);
                continue;
            }
            let key: Row = if by.is_empty() { row.clone() } else { by.iter().map(|i| row[*i].clone()).collect() };
            match known.iter_mut().find(|(k, _)| same_rows(k, &key)) {
                Some((_, until)) if time < *until => {}
                Some((_, until)) => {
                    *until = time + within;
                    outcome.out.push(row.clone());
                }
                None => {
                    known.push((key, time + within));
                    outcome.out.push(row.clone());
                }
            }
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// Whether values of a type can be keys, or be compared.
pub(crate) fn plain(ty: Ty) -> bool {
    !matches!(ty, Ty::Ints | Ty::Texts)
}
