//! Records that are kept for each key and stepped with every row: a sum and how many rows there were.

use super::evaluate::{Batches, Given, Outcome};
use super::program::{Column, Edge, Fold, Order, SECOND, Scope, scope_text, time_of};
use super::value::{Row, Ty, Value, same_rows};

/// As it is written.
pub(crate) fn text(fold: &Fold, edge: &Edge) -> String {
    let names: Vec<_> = fold.by.iter().map(|i| edge.columns[*i].name.clone()).collect();
    let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
    let yields: Vec<_> =
        names.iter().cloned().chain(["total: state.total".into(), "steps: state.steps".into()]).collect();
    let every = if fold.every_batch { " with { every_batch: true }" } else { "" };
    format!(
        "fold{by} {} init {{ total: 0, steps: 0 }} step {{ total: state.total + ({} ?? 0), steps: state.steps + 1 }} \
         yield {{ {} }}{every}",
        scope_text(&fold.scope),
        fold.adds.text(),
        yields.join(", ")
    )
}

/// What comes out.
pub(crate) fn behind(fold: &Fold, edge: &Edge) -> Edge {
    let mut columns: Vec<_> = fold.by.iter().map(|i| edge.columns[*i].clone()).collect();
    columns.push(Column::new("total", Ty::Int, false));
    columns.push(Column::new("steps", Ty::Int, false));
    // A row that comes out for a row keeps its time where the time is part of the key.
    let time = edge.time.filter(|_| !fold.every_batch);
    let time = time.and_then(|(index, ends)| Some((fold.by.iter().position(|i| *i == index)?, ends)));
    Edge { columns, time, changes: false, order: if fold.by.is_empty() { edge.order } else { Order::Loose } }
}

/// What comes of every batch.
pub(crate) fn evaluate(
    fold: &Fold,
    given: &Given<'_>,
    batches: &Batches,
    marks: &[(Option<i64>, Option<i64>)],
) -> Vec<Outcome> {
    struct Record {
        key: Row,
        last: i64,
        total: i64,
        steps: i64,
    }
    let (ttl, batch_time) = match fold.scope {
        Scope::Running { ttl, batch_time } => (ttl.map(|ttl| ttl * SECOND), batch_time),
        _ => (None, false),
    };
    let by_rows = !batch_time && given.edge.time.is_some();
    let over = |last: i64, now: i64| ttl.is_some_and(|ttl| now >= last.saturating_add(ttl));
    let shown = |r: &Record, key: &Row| -> Row {
        key.iter().cloned().chain([Value::Int(r.total), Value::Int(r.steps)]).collect()
    };
    let mut records: Vec<Record> = Vec::new();
    let mut outcomes = Vec::new();
    for (at, rows) in given.rows.iter().enumerate() {
        let mut out = Vec::new();
        if !by_rows {
            records.retain(|r| !over(r.last, batches.times[at]));
        }
        for row in rows {
            let key: Row = fold.by.iter().map(|i| row[*i].clone()).collect();
            let time = if by_rows { time_of(given.edge, row) } else { batches.times[at] };
            let adds = fold.adds.eval(row).unwrap_or_else(|_| panic!("what a fold adds does not fail"));
            let adds = if let Value::Int(n) = adds { n } else { 0 };
            let known = records.iter().position(|r| same_rows(&r.key, &key));
            if let Some(old) = known.filter(|i| by_rows && over(records[*i].last, time)) {
                records.remove(old);
            }
            let place = records.iter().position(|r| same_rows(&r.key, &key)).unwrap_or_else(|| {
                records.push(Record { key: key.clone(), last: time, total: 0, steps: 0 });
                records.len() - 1
            });
            let record = &mut records[place];
            record.total += adds;
            record.steps += 1;
            record.last = record.last.max(time);
            if !fold.every_batch {
                // Keys are equal to each other, but what comes out is the row's own.
                out.push(shown(record, &key));
            }
        }
        if let (true, Some(mark)) = (by_rows, marks[at].1) {
            records.retain(|r| !over(r.last, mark));
        }
        if fold.every_batch {
            out.extend(records.iter().map(|record| shown(record, &record.key)));
        }
        if fold.scope == Scope::Batch {
            records.clear();
        }
        outcomes.push(Outcome::rows(out));
    }
    outcomes
}
