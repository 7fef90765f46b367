//! Joins: how they are written, what comes out, and which rows are partners.

use super::evaluate::{Batches, Given, Outcome};
use super::program::{Column, Edge, Join, Kind, Meeting, Order, SECOND, time_of, window_text};
use super::value::{Row, Ty, Value};
use super::windows;

/// As it is written.
pub(crate) fn text(join: &Join, left: &Edge, _: &str, right: &Edge) -> String {
    let word = match join.kind {
        Kind::Inner => "",
        Kind::Left => "left ",
        Kind::Right => "right ",
        Kind::Full => "full ",
        Kind::Semi => "semi ",
        Kind::Anti => "anti ",
    };
    let mut parts: Vec<_> =
        join.keys.iter().map(|(l, r)| format!("{} == {}", left.columns[*l].name, right.columns[*r].name)).collect();
    let time = |edge: &Edge| edge.columns[edge.time.expect("a time").0].name.clone();
    let moved = |seconds: i64| {
        let sign = if seconds < 0 { '-' } else { '+' };
        format!("{} {sign} {}s", time(left), seconds.abs())
    };
    match &join.meeting {
        Meeting::Bound { low, high } => {
            parts.push(format!("{} between {} and {}", time(right), moved(*low), moved(*high)));
        }
        Meeting::Latest { back } => {
            parts.push(format!("{} <= {}", time(right), time(left)));
            parts.push(format!("{} >= {}", time(right), moved(-back)));
        }
        _ => {}
    }
    parts.extend(join.also.iter().map(super::expr::Expr::text));
    let scope = match &join.meeting {
        Meeting::Batch => " per batch".to_owned(),
        Meeting::Window(window) => format!(" over {}", window_text(window)),
        Meeting::Latest { .. } => " with { match: latest }".to_owned(),
        Meeting::Table | Meeting::Bound { .. } => String::new(),
    };
    format!("{word}join {} on {}{scope}", join.other, parts.join(" and "))
}

/// What comes out.
pub(crate) fn behind(join: &Join, left: &Edge, right: &Edge) -> Edge {
    let left_only = matches!(join.kind, Kind::Semi | Kind::Anti);
    let left_may_miss = matches!(join.kind, Kind::Right | Kind::Full);
    let right_may_miss = matches!(join.kind, Kind::Left | Kind::Full);
    let relaxed = |c: &Column, miss: bool| Column { nullable: c.nullable || miss, ..c.clone() };
    let mut columns: Vec<_> = left.columns.iter().map(|c| relaxed(c, left_may_miss)).collect();
    if !left_only {
        columns.extend(right.columns.iter().map(|c| relaxed(c, right_may_miss)));
    }
    let mut time = match join.kind {
        Kind::Full => None,
        Kind::Right => right.time.map(|(i, ends)| (i + left.columns.len(), ends)),
        _ => left.time,
    };
    if let Meeting::Window(_) = join.meeting {
        let window = ["window_start", "window_end"].map(|name| Column::new(name, Ty::Time, false));
        columns.splice(0..0, window);
        time = Some((1, true));
    }
    let order = if join.meeting == Meeting::Table { left.order } else { Order::Loose };
    Edge { columns, time, changes: false, order }
}

/// By how much rows that come out may be behind the watermark.
pub(crate) fn lag(join: &Join, left: &Edge, right: &Edge) -> i64 {
    let older = |edge: &Edge| i64::from(edge.time.is_some_and(|(_, ends)| ends));
    let (older_left, older_right) = (older(left), older(right));
    match (&join.meeting, join.kind) {
        (Meeting::Bound { low, .. }, Kind::Right) => (-low * SECOND + older_right - older_left).max(0),
        (Meeting::Bound { high, .. }, _) => (high * SECOND + older_left - older_right).max(0),
        (Meeting::Latest { .. }, _) => (older_left - older_right).max(0),
        _ => 0,
    }
}

/// Whether two rows are partners, leaving times aside.
fn fits(join: &Join, left: &Row, right: &Row) -> bool {
    let equal = |(l, r): &(usize, usize)| !left[*l].is_null() && left[*l].same(&right[*r]);
    join.keys.iter().all(equal)
        && join.also.as_ref().is_none_or(|also| {
            let both: Row = left.iter().chain(right).cloned().collect();
            also.holds(&both).unwrap_or_else(|_| panic!("conditions of joins do not fail"))
        })
}

/// A row of both, of which one may be missing.
fn both(join: &Join, left: Option<&Row>, right: Option<&Row>, widths: (usize, usize)) -> Row {
    let part = |row: Option<&Row>, width: usize| row.cloned().unwrap_or_else(|| vec![Value::Null; width]);
    let mut out = part(left, widths.0);
    if !matches!(join.kind, Kind::Semi | Kind::Anti) {
        out.extend(part(right, widths.1));
    }
    out
}

/// What comes of rows that can only meet each other.
fn among(join: &Join, left: &[Row], right: &[Row], widths: (usize, usize)) -> Vec<Row> {
    let mut out = Vec::new();
    let mut right_met = vec![false; right.len()];
    for row in left {
        let partners: Vec<usize> = (0..right.len()).filter(|r| fits(join, row, &right[*r])).collect();
        partners.iter().for_each(|r| right_met[*r] = true);
        match join.kind {
            Kind::Semi if !partners.is_empty() => out.push(row.clone()),
            Kind::Anti if partners.is_empty() => out.push(row.clone()),
            Kind::Semi | Kind::Anti => {}
            Kind::Left | Kind::Full if partners.is_empty() => out.push(both(join, Some(row), None, widths)),
            _ => out.extend(partners.iter().map(|r| both(join, Some(row), Some(&right[*r]), widths))),
        }
    }
    if matches!(join.kind, Kind::Right | Kind::Full) {
        let alone = right.iter().zip(right_met).filter(|(_, met)| !met);
        out.extend(alone.map(|(row, _)| both(join, None, Some(row), widths)));
    }
    out
}

/// What comes of every batch. `table`: the rows of the table as each batch sees them.
pub(crate) fn evaluate(
    join: &Join,
    left: &Given<'_>,
    right: &Given<'_>,
    batches: &Batches,
    marks: &[(Option<i64>, Option<i64>)],
) -> Vec<Outcome> {
    let widths = (left.edge.columns.len(), right.edge.columns.len());
    match &join.meeting {
        Meeting::Batch | Meeting::Table => {
            (0..batches.count()).map(|b| Outcome::rows(among(join, &left.rows[b], &right.rows[b], widths))).collect()
        }
        Meeting::Bound { low, high } => bounded(join, left, right, (low * SECOND, high * SECOND), marks),
        Meeting::Window(window) => windowed(join, left, right, &windows::Grid::of(window), marks),
        Meeting::Latest { back } => latest(join, left, right, back * SECOND, marks),
    }
}

/// A row with the batch it came in.
struct Came<'a> {
    row: &'a Row,
    at: usize,
    /// What its time column says.
    time: i64,
}

fn column_time(edge: &Edge, row: &Row) -> i64 {
    time_of(edge, row) + i64::from(edge.time.is_some_and(|(_, ends)| ends))
}

/// Rows that are in time, and how many of each batch are not: those behind the watermark at the batch's start.
fn in_time<'a>(
    given: &'a Given<'_>,
    marks: &[(Option<i64>, Option<i64>)],
    is_late: impl Fn(&Row, i64) -> bool,
    outcomes: &mut [Outcome],
) -> Vec<Came<'a>> {
    let mut fine = Vec::new();
    for (at, rows) in given.rows.iter().enumerate() {
        for row in rows {
            if marks[at].0.is_some_and(|mark| is_late(row, mark)) {
                outcomes[at].late_count += 1;
            } else {
                fine.push(Came { row, at, time: column_time(given.edge, row) });
            }
        }
    }
    fine
}

/// The first batch at whose end the watermark is above an instant.
fn passed(marks: &[(Option<i64>, Option<i64>)], instant: i64) -> Option<usize> {
    marks.iter().position(|(_, after)| after.is_some_and(|after| after > instant))
}

fn bounded(
    join: &Join,
    left: &Given<'_>,
    right: &Given<'_>,
    (low, high): (i64, i64),
    marks: &[(Option<i64>, Option<i64>)],
) -> Vec<Outcome> {
    let widths = (left.edge.columns.len(), right.edge.columns.len());
    let mut outcomes: Vec<Outcome> = marks.iter().map(|_| Outcome::default()).collect();
    let lefts = in_time(left, marks, |row, mark| time_of(left.edge, row) < mark, &mut outcomes);
    let rights = in_time(right, marks, |row, mark| time_of(right.edge, row) < mark, &mut outcomes);
    let older = |edge: &Edge| i64::from(edge.time.is_some_and(|(_, ends)| ends));
    let meet = |l: &Came<'_>, r: &Came<'_>| {
        let distance = r.time - l.time;
        low <= distance && distance <= high && fits(join, l.row, r.row)
    };
    for l in &lefts {
        let partners: Vec<&Came<'_>> = rights.iter().filter(|r| meet(l, r)).collect();
        let first = partners.iter().map(|r| r.at.max(l.at)).min();
        match (join.kind, first) {
            (Kind::Semi, Some(first)) => outcomes[first].out.push(l.row.clone()),
            (Kind::Inner | Kind::Left | Kind::Right | Kind::Full, Some(_)) => {
                for r in partners {
                    outcomes[r.at.max(l.at)].out.push(both(join, Some(l.row), Some(r.row), widths));
                }
            }
            (Kind::Left | Kind::Full | Kind::Anti, None) => {
                let hopeless = join.keys.iter().any(|(i, _)| l.row[*i].is_null());
                let due = if hopeless { Some(l.at) } else { passed(marks, l.time + high - older(right.edge)) };
                if let Some(due) = due {
                    outcomes[due.max(l.at)].out.push(both(join, Some(l.row), None, widths));
                }
            }
            _ => {}
        }
    }
    if matches!(join.kind, Kind::Right | Kind::Full) {
        for r in rights.iter().filter(|r| !lefts.iter().any(|l| meet(l, r))) {
            let hopeless = join.keys.iter().any(|(_, i)| r.row[*i].is_null());
            let due = if hopeless { Some(r.at) } else { passed(marks, r.time - low - older(left.edge)) };
            if let Some(due) = due {
                outcomes[due.max(r.at)].out.push(both(join, None, Some(r.row), widths));
            }
        }
    }
    outcomes
}

/// Partners are in the same window; everything comes out when it closes.
fn windowed(
    join: &Join,
    left: &Given<'_>,
    right: &Given<'_>,
    grid: &windows::Grid,
    marks: &[(Option<i64>, Option<i64>)],
) -> Vec<Outcome> {
    let widths = (left.edge.columns.len(), right.edge.columns.len());
    let mut outcomes: Vec<Outcome> = marks.iter().map(|_| Outcome::default()).collect();
    // A row between two windows is not late, it just is in none.
    let closed = |edge: &Edge, row: &Row, mark: i64| {
        let spans = grid.containing(time_of(edge, row));
        !spans.is_empty() && spans.iter().all(|(_, end)| *end <= mark)
    };
    let lefts = in_time(left, marks, |row, mark| closed(left.edge, row, mark), &mut outcomes);
    let rights = in_time(right, marks, |row, mark| closed(right.edge, row, mark), &mut outcomes);
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for (edge, rows) in [(left.edge, &lefts), (right.edge, &rights)] {
        spans.extend(rows.iter().flat_map(|came| grid.containing(time_of(edge, came.row))));
    }
    spans.sort_unstable();
    spans.dedup();
    for (start, end) in spans {
        let Some(closes) = marks.iter().position(|(_, after)| after.is_some_and(|after| end <= after)) else {
            continue;
        };
        let of = |edge: &Edge, rows: &[Came<'_>]| -> Vec<Row> {
            let inside = |came: &&Came<'_>| {
                let open = marks[came.at].0.is_none_or(|mark| end > mark);
                open && grid.containing(time_of(edge, came.row)).contains(&(start, end))
            };
            rows.iter().filter(inside).map(|came| came.row.clone()).collect()
        };
        for row in among(join, &of(left.edge, &lefts), &of(right.edge, &rights), widths) {
            let mut out = vec![Value::Time(start), Value::Time(end)];
            out.extend(row);
            outcomes[closes].out.push(out);
        }
    }
    outcomes
}

/// Each left row with the latest partner at or before it, when the watermark has passed it.
fn latest(
    join: &Join,
    left: &Given<'_>,
    right: &Given<'_>,
    back: i64,
    marks: &[(Option<i64>, Option<i64>)],
) -> Vec<Outcome> {
    let widths = (left.edge.columns.len(), right.edge.columns.len());
    let mut outcomes: Vec<Outcome> = marks.iter().map(|_| Outcome::default()).collect();
    let lefts = in_time(left, marks, |row, mark| time_of(left.edge, row) < mark, &mut outcomes);
    let rights = in_time(right, marks, |row, mark| time_of(right.edge, row) < mark, &mut outcomes);
    let older = i64::from(right.edge.time.is_some_and(|(_, ends)| ends));
    for l in &lefts {
        let near = |r: &&Came<'_>| r.time <= l.time && r.time >= l.time - back && fits(join, l.row, r.row);
        let newest = rights.iter().filter(near).map(|r| r.time).max();
        // Of partners of the same time the one that came last.
        let partner = rights.iter().filter(near).filter(|r| Some(r.time) == newest).max_by_key(|r| r.at);
        let hopeless = join.keys.iter().any(|(i, _)| l.row[*i].is_null());
        let due = if hopeless { Some(l.at) } else { passed(marks, l.time - older) };
        let Some(due) = due else { continue };
        if partner.is_some() || join.kind == Kind::Left {
            outcomes[due.max(l.at)].out.push(both(join, Some(l.row), partner.map(|r| r.row), widths));
        }
    }
    outcomes
}
