//! Results over rows, each from the rows themselves, in their order.

use std::cmp::Ordering;

use super::evaluate::{Batches, Given, Outcome};
use super::expr::Expr;
use super::program::{Call, Emit, Func, SECOND, Scope, Window, changes, time_of};
use super::value::{Row, Ty, Value, engine_order, rescaled, same_rows};
use super::windows::Grid;

/// The result of a call over these rows.
pub(crate) fn result(call: &Call, rows: &[&Row]) -> Value {
    let chosen = rows.iter().filter(|row| call.filter.as_ref().is_none_or(|f| holds(f, row)));
    let Some(arg) = &call.arg else { return Value::Int(count(chosen.count())) };
    let mut values: Vec<Value> = chosen.map(|row| value(arg, row)).collect();
    if matches!(call.func, Func::First | Func::Last) {
        let found = if call.func == Func::First { values.first() } else { values.last() };
        return found.cloned().unwrap_or(Value::Null);
    }
    values.retain(|v| !v.is_null());
    if call.distinct {
        let mut different: Vec<Value> = Vec::new();
        for value in values {
            if !different.iter().any(|d| d.same(&value)) {
                different.push(value);
            }
        }
        values = different;
    }
    match call.func {
        Func::Count => Value::Int(count(values.len())),
        Func::CollectList => Value::List(values),
        Func::Sum => sum(&values),
        Func::Avg => mean(&values),
        Func::Min => values.into_iter().min_by(Value::exact_order).unwrap_or(Value::Null),
        Func::Max => values.into_iter().max_by(Value::exact_order).unwrap_or(Value::Null),
        Func::First | Func::Last => unreachable!("answered above"),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap()
}

fn value(expr: &Expr, row: &Row) -> Value {
    expr.eval(row).unwrap_or_else(|_| panic!("arguments of aggregates do not fail"))
}

fn holds(expr: &Expr, row: &Row) -> bool {
    expr.holds(row).unwrap_or_else(|_| panic!("filters of aggregates do not fail"))
}

fn sum(values: &[Value]) -> Value {
    let add = |a: Value, b: &Value| match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a + b),
        (Value::Float(a), Value::Float(b)) => Value::Float(a + b),
        (Value::Dec(a, scale), Value::Dec(b, _)) => Value::Dec(a + b, scale),
        (a, b) => panic!("{a:?} and {b:?} have no sum"),
    };
    match values.split_first() {
        None => Value::Null,
        Some((first, rest)) => rest.iter().fold(first.clone(), add),
    }
}

/// Of decimals with four more digits, rounded half away from zero.
fn mean(values: &[Value]) -> Value {
    let n = values.len();
    match sum(values) {
        Value::Int(sum) => Value::Float(sum as f64 / n as f64),
        Value::Float(sum) => Value::Float(sum / n as f64),
        Value::Dec(sum, scale) => {
            let (sum, n) = (rescaled(sum, scale, scale + 4), i128::try_from(n).unwrap());
            let rounded = (sum.abs() * 2 + n) / (n * 2);
            Value::Dec(if sum < 0 { -rounded } else { rounded }, scale + 4)
        }
        _ => Value::Null,
    }
}

/// The type of a call's result.
pub(crate) fn result_type(func: Func, arg: Option<Ty>) -> Option<Ty> {
    match (func, arg) {
        (Func::Count, _) => Some(Ty::Int),
        (Func::Sum, Some(Ty::Dec(p, s))) => Some(Ty::Dec((p + 10).min(38), s)),
        (Func::Sum, Some(ty @ (Ty::Int | Ty::Float))) => Some(ty),
        (Func::Avg, Some(Ty::Dec(p, s))) => Some(Ty::Dec((p + 4).min(38), s + 4)),
        (Func::Avg, Some(Ty::Int | Ty::Float)) => Some(Ty::Float),
        (
            Func::Min | Func::Max | Func::First | Func::Last,
            Some(ty @ (Ty::Int | Ty::Float | Ty::Text | Ty::Dec(..) | Ty::Time)),
        ) => Some(ty),
        (Func::CollectList, Some(Ty::Int)) => Some(Ty::Ints),
        (Func::CollectList, Some(Ty::Text)) => Some(Ty::Texts),
        _ => None,
    }
}

/// An aggregate stage.
pub(crate) struct Aggregate<'a> {
    pub(crate) calls: &'a [Call],
    pub(crate) by: &'a [(String, Expr, Ty)],
    pub(crate) scope: &'a Scope,
    pub(crate) emit: Emit,
    /// Whether results that are null may come out where there are no rows.
    pub(crate) of_nothing: bool,
}

/// A row with what decides about it.
struct Came<'a> {
    row: &'a Row,
    key: Row,
    at: usize,
    time: i64,
}

impl Aggregate<'_> {
    fn key(&self, row: &Row) -> Row {
        self.by.iter().map(|(_, e, _)| value(e, row)).collect()
    }

    fn results(&self, rows: &[&Row]) -> Row {
        self.calls.iter().map(|call| result(call, rows)).collect()
    }

    /// Rows by key, in the order of first appearance.
    fn grouped<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> Vec<(Row, Vec<&'r Row>)> {
        let mut groups: Vec<(Row, Vec<&Row>)> = Vec::new();
        for row in rows {
            let key = self.key(row);
            match groups.iter_mut().find(|(k, _)| same_rows(k, &key)) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        groups
    }

    /// What comes of every batch.
    pub(crate) fn evaluate(
        &self,
        given: &Given<'_>,
        batches: &Batches,
        marks: &[(Option<i64>, Option<i64>)],
    ) -> Vec<Outcome> {
        match self.scope {
            Scope::Batch => given.rows.iter().map(|rows| Outcome::rows(self.of_batch(rows))).collect(),
            Scope::Over { window: Window::Session { gap }, .. } => self.sessions(given, gap * SECOND, marks),
            Scope::Over { window: Window::Count(rows), .. } => self.counted(given, *rows, batches),
            Scope::Over { window, batch_time: false } => self.windows(given, &Grid::of(window), marks),
            Scope::Over { window, batch_time: true } => self.batch_windows(given, window, batches),
            Scope::Running { ttl, batch_time } => {
                let by_rows = !batch_time && given.edge.time.is_some();
                self.running(given, ttl.map(|ttl| ttl * SECOND), by_rows, batches, marks)
            }
        }
    }

    fn of_batch(&self, rows: &[Row]) -> Vec<Row> {
        if rows.is_empty() && self.by.is_empty() {
            let results = self.results(&[]);
            let said = self.of_nothing || results.iter().all(|r| !r.is_null());
            return if said { vec![results] } else { vec![] };
        }
        let joined = |(key, rows): (Row, Vec<&Row>)| key.into_iter().chain(self.results(&rows)).collect();
        self.grouped(rows.iter()).into_iter().map(joined).collect()
    }

    /// Rows that are in time; the others are put into the outcomes.
    fn in_time<'r>(
        &self,
        given: &'r Given<'_>,
        marks: &[(Option<i64>, Option<i64>)],
        closed: impl Fn(i64, i64) -> bool,
        outcomes: &mut [Outcome],
    ) -> Vec<Came<'r>> {
        let mut fine = Vec::new();
        for (at, rows) in given.rows.iter().enumerate() {
            for row in rows {
                let time = time_of(given.edge, row);
                if marks[at].0.is_some_and(|mark| closed(time, mark)) {
                    outcomes[at].late(row);
                } else {
                    fine.push(Came { row, key: self.key(row), at, time });
                }
            }
        }
        fine
    }

    fn windows(&self, given: &Given<'_>, grid: &Grid, marks: &[(Option<i64>, Option<i64>)]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = marks.iter().map(|_| Outcome::default()).collect();
        let closed = |time: i64, mark: i64| {
            let windows = grid.containing(time);
            !windows.is_empty() && windows.iter().all(|(_, end)| *end <= mark)
        };
        let fine = self.in_time(given, marks, closed, &mut outcomes);
        let mut spans: Vec<(i64, i64)> = fine.iter().flat_map(|came| grid.containing(came.time)).collect();
        spans.sort_unstable();
        spans.dedup();
        for (start, end) in spans {
            let inside = |came: &&Came<'_>| {
                marks[came.at].0.is_none_or(|mark| end > mark) && grid.containing(came.time).contains(&(start, end))
            };
            let rows: Vec<&Came<'_>> = fine.iter().filter(inside).collect();
            self.emit_window((start, end), &rows, marks, &mut outcomes);
        }
        outcomes
    }

    /// What comes of a window with these rows, in all batches.
    fn emit_window(
        &self,
        (start, end): (i64, i64),
        rows: &[&Came<'_>],
        marks: &[(Option<i64>, Option<i64>)],
        outcomes: &mut [Outcome],
    ) {
        let mut keys: Vec<&Row> = Vec::new();
        for came in rows {
            if !keys.iter().any(|k| same_rows(k, &came.key)) {
                keys.push(&came.key);
            }
        }
        for key in keys {
            let of_key: Vec<&&Came<'_>> = rows.iter().filter(|came| same_rows(&came.key, key)).collect();
            let as_of = |at: usize| -> Row {
                let seen: Vec<&Row> = of_key.iter().filter(|came| came.at <= at).map(|came| came.row).collect();
                let head = [Value::Time(start), Value::Time(end)];
                head.into_iter().chain(key.clone()).chain(self.results(&seen)).collect()
            };
            let mut given: Option<Row> = None;
            for at in 0..marks.len() {
                let came = of_key.iter().any(|came| came.at <= at);
                let touched = of_key.iter().any(|came| came.at == at);
                let closed_before = marks[at].0.is_some_and(|mark| end <= mark);
                if !came || closed_before {
                    continue;
                }
                let closes = marks[at].1.is_some_and(|mark| end <= mark);
                match self.emit {
                    Emit::Unsaid | Emit::Final if closes => outcomes[at].out.push(as_of(at)),
                    Emit::Unsaid | Emit::Final => {}
                    Emit::All => outcomes[at].out.push(as_of(at)),
                    Emit::Changes if touched => {
                        change(&mut outcomes[at].out, given.take(), Some(as_of(at)));
                        given = Some(as_of(at));
                    }
                    Emit::Changes => {}
                }
            }
        }
    }

    /// Sessions of a key: rows no more than a gap apart, as far as they were open when the rows came.
    fn sessions(&self, given: &Given<'_>, gap: i64, marks: &[(Option<i64>, Option<i64>)]) -> Vec<Outcome> {
        struct Open<'r> {
            key: Row,
            first: i64,
            last: i64,
            rows: Vec<&'r Row>,
            given: Option<Row>,
        }
        let mut outcomes: Vec<Outcome> = marks.iter().map(|_| Outcome::default()).collect();
        let closed = |time: i64, mark: i64| time + gap <= mark;
        let fine = self.in_time(given, marks, closed, &mut outcomes);
        let mut open: Vec<Open<'_>> = Vec::new();
        for (at, (_, after)) in marks.iter().enumerate() {
            let mut taken_back: Vec<Row> = Vec::new();
            let mut touched: Vec<usize> = Vec::new();
            for came in fine.iter().filter(|came| came.at == at) {
                let touches = |s: &Open<'_>| {
                    same_rows(&s.key, &came.key) && came.time <= s.last + gap && came.time >= s.first - gap
                };
                let (mut joined, apart): (Vec<_>, Vec<_>) = open.into_iter().partition(touches);
                open = apart;
                joined.sort_by_key(|s| s.first);
                let mut merged =
                    Open { key: came.key.clone(), first: came.time, last: came.time, rows: vec![], given: None };
                for session in joined {
                    merged.first = merged.first.min(session.first);
                    merged.last = merged.last.max(session.last);
                    merged.rows.extend(session.rows);
                    taken_back.extend(session.given);
                }
                merged.rows.push(came.row);
                open.push(merged);
            }
            // Rows in the order in which they came.
            let place = |row: &&Row| fine.iter().position(|came| std::ptr::eq(came.row, *row));
            for (i, session) in open.iter_mut().enumerate() {
                session.rows.sort_by_key(place);
                let here = |row: &&Row| fine.iter().any(|came| came.at == at && std::ptr::eq(came.row, *row));
                if session.rows.iter().any(here) {
                    touched.push(i);
                }
            }
            let shown = |s: &Open<'_>| -> Row {
                let head = [Value::Time(s.first), Value::Time(s.last + gap)];
                head.into_iter().chain(s.key.clone()).chain(self.results(&s.rows)).collect()
            };
            match self.emit {
                Emit::Unsaid | Emit::Final => {
                    let closing = open.iter().filter(|s| after.is_some_and(|mark| s.last + gap <= mark));
                    outcomes[at].out.extend(closing.map(shown));
                }
                Emit::All => outcomes[at].out.extend(open.iter().map(shown)),
                Emit::Changes => {
                    let mut new: Vec<Row> = Vec::new();
                    for i in touched {
                        let row = shown(&open[i]);
                        new.push(row.clone());
                        open[i].given = Some(row);
                    }
                    // What is taken back and comes again is no change.
                    for old in taken_back {
                        match new.iter().position(|row| engine_order(row, &old) == Ordering::Equal) {
                            Some(same) => {
                                new.remove(same);
                            }
                            None => change(&mut outcomes[at].out, Some(old), None),
                        }
                    }
                    new.into_iter().for_each(|row| change(&mut outcomes[at].out, None, Some(row)));
                }
            }
            open.retain(|s| after.is_none_or(|mark| s.last + gap > mark));
        }
        outcomes
    }

    /// Windows of so many rows of a key.
    fn counted(&self, given: &Given<'_>, size: usize, batches: &Batches) -> Vec<Outcome> {
        let mut open: Vec<(Row, Vec<&Row>)> = Vec::new();
        let mut outcomes = Vec::new();
        for rows in given.rows {
            let mut outcome = Outcome::default();
            for row in rows {
                let key = self.key(row);
                let at = open.iter().position(|(k, _)| same_rows(k, &key)).unwrap_or_else(|| {
                    open.push((key.clone(), vec![]));
                    open.len() - 1
                });
                open[at].1.push(row);
                if open[at].1.len() == size {
                    let (key, rows) = open.remove(at);
                    outcome.out.push(key.into_iter().chain(self.results(&rows)).collect());
                }
            }
            outcomes.push(outcome);
        }
        if let (true, Some(last)) = (batches.closing, outcomes.last_mut()) {
            let rest = open.into_iter().map(|(key, rows)| key.into_iter().chain(self.results(&rows)).collect());
            last.out.extend(rest);
        }
        outcomes
    }

    /// Windows of batches: they end every step from the zero time, which is one interval before the first batch.
    fn batch_windows(&self, given: &Given<'_>, window: &Window, batches: &Batches) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = given.rows.iter().map(|_| Outcome::default()).collect();
        let Some(first) = batches.times.first() else { return outcomes };
        let grid = Grid::of_batches(window, first - SECOND);
        let last = batches.times[batches.count() - 1];
        let mut spans: Vec<(i64, i64)> = Vec::new();
        let mut tick = *first;
        while tick <= last {
            spans.extend(grid.containing(tick - 1));
            tick += SECOND;
        }
        spans.sort_unstable();
        spans.dedup();
        for (start, end) in spans {
            let inside =
                (0..given.rows.len()).filter(|b| grid.containing(batches.times[*b] - 1).contains(&(start, end)));
            let rows: Vec<&Row> = inside.flat_map(|b| &given.rows[b]).collect();
            let due = batches.times.iter().position(|time| end <= *time);
            let closing = batches.closing.then(|| batches.count() - 1);
            let at = match (due, closing) {
                (Some(at), _) => at,
                (None, Some(at)) if !rows.is_empty() => at,
                _ => continue,
            };
            let head = [Value::Time(start), Value::Time(end)];
            if self.by.is_empty() && rows.is_empty() {
                let results = self.results(&[]);
                if self.of_nothing || results.iter().all(|r| !r.is_null()) {
                    outcomes[at].out.push(head.into_iter().chain(results).collect());
                }
                continue;
            }
            for (key, rows) in self.grouped(rows.into_iter()) {
                let row = head.iter().cloned().chain(key).chain(self.results(&rows)).collect();
                outcomes[at].out.push(row);
            }
        }
        outcomes
    }

    fn running(
        &self,
        given: &Given<'_>,
        ttl: Option<i64>,
        by_rows: bool,
        batches: &Batches,
        marks: &[(Option<i64>, Option<i64>)],
    ) -> Vec<Outcome> {
        struct Total<'r> {
            key: Row,
            last: i64,
            rows: Vec<&'r Row>,
            given: Option<Row>,
        }
        let mut totals: Vec<Total<'_>> = Vec::new();
        let mut outcomes = Vec::new();
        for (at, rows) in given.rows.iter().enumerate() {
            let mut out = Vec::new();
            let over = |last: i64, now: i64| ttl.is_some_and(|ttl| now >= last.saturating_add(ttl));
            if !by_rows {
                totals.retain(|t| !over(t.last, batches.times[at]));
            }
            let mut touched: Vec<Row> = Vec::new();
            for row in rows {
                let key = self.key(row);
                let time = if by_rows { time_of(given.edge, row) } else { batches.times[at] };
                match totals.iter_mut().find(|t| same_rows(&t.key, &key)) {
                    // A total whose time was over starts anew; it was not taken back.
                    Some(total) if by_rows && over(total.last, time) => {
                        (total.last, total.rows, total.given) = (time, vec![row], None);
                    }
                    Some(total) => {
                        total.last = total.last.max(time);
                        total.rows.push(row);
                    }
                    None => totals.push(Total { key: key.clone(), last: time, rows: vec![row], given: None }),
                }
                if !touched.iter().any(|k| same_rows(k, &key)) {
                    touched.push(key);
                }
            }
            let shown = |t: &Total<'_>| -> Row { t.key.iter().cloned().chain(self.results(&t.rows)).collect() };
            for key in &touched {
                let total = totals.iter_mut().find(|t| same_rows(&t.key, key)).unwrap();
                let row = shown(total);
                if changes(self.scope, self.emit) {
                    change(&mut out, total.given.take(), Some(row.clone()));
                }
                total.given = Some(row);
            }
            if self.emit == Emit::All {
                out.extend(totals.iter().map(shown));
            }
            if let (true, Some(mark)) = (by_rows, marks[at].1) {
                totals.retain(|t| !over(t.last, mark));
            }
            outcomes.push(Outcome::rows(out));
        }
        outcomes
    }
}

/// An old row out, a new one in; nothing where they are equal.
fn change(out: &mut Vec<Row>, old: Option<Row>, new: Option<Row>) {
    if let (Some(old), Some(new)) = (&old, &new)
        && engine_order(old, new) == Ordering::Equal
    {
        return;
    }
    let with = |mut row: Row, op: &str| {
        row.push(Value::text(op));
        row
    };
    out.extend(old.map(|row| with(row, "-")));
    out.extend(new.map(|row| with(row, "+")));
}
