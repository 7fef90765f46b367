//! Random rows for the sources of a pipeline.

use std::collections::BTreeMap;

use super::{Chance, START};
use crate::oracle::evaluate::Batches;
use crate::oracle::program::{Column, Program, SECOND};
use crate::oracle::value::{Row, Ty, Value};

/// All rows of a source, out of order but none of them late, in as many batches as asked for: cut differently every
/// time, by another chance.
pub(crate) fn in_time(seed: u64, program: &Program, count: usize, cuts: u64) -> Batches {
    let (mut chance, mut cuts) = (Chance::new(seed), Chance::new(cuts));
    let times: Vec<i64> = (0..=count).map(|n| START + i64::try_from(n).unwrap() * SECOND).collect();
    let mut rows: BTreeMap<String, Vec<Option<Vec<Row>>>> = BTreeMap::new();
    for source in &program.sources {
        let total = chance.below(30);
        let mut all: Vec<Row> = Vec::new();
        let mut newest = START;
        for _ in 0..total {
            let mut row: Row = source.columns.iter().map(|c| cell(&mut chance, c, START, 1)).collect();
            if let Some(delay) = source.delay {
                // Later than the watermark can be, by a microsecond at least.
                let behind = if delay == 0 { 0 } else { chance.between(0, delay * 2 - 1) * SECOND / 2 };
                newest += chance.between(0, 4) * SECOND / 2;
                let ahead = if delay == 0 { 1 } else { 0 };
                row[0] = Value::Time(newest + ahead * i64::try_from(all.len()).unwrap() - behind);
            }
            all.push(row);
        }
        if source.table {
            let mut batches = vec![Some(all)];
            batches.resize(times.len(), None);
            rows.insert(source.name.clone(), batches);
            continue;
        }
        let mut of_source: Vec<Vec<Row>> = vec![Vec::new(); count];
        let mut at = 0;
        for row in all {
            while at + 1 < count && cuts.chance(30) {
                at += 1;
            }
            of_source[at].push(row);
        }
        let mut batches: Vec<_> = of_source.into_iter().map(Some).collect();
        batches.push(Some(vec![]));
        rows.insert(source.name.clone(), batches);
    }
    Batches { times, closing: true, rows }
}

/// Random rows for every source.
pub(super) fn batches(chance: &mut Chance, program: &Program) -> Batches {
    let count = 1 + chance.below(8);
    let most = chance.pick(&[3, 6, 12]);
    let mut times = Vec::new();
    let mut time = START;
    for _ in 0..count {
        time += SECOND * if chance.chance(15) { chance.between(2, 4) } else { 1 };
        times.push(time);
    }
    let closing = chance.chance(70);
    if closing {
        times.push(time + SECOND);
    }
    let mut rows: BTreeMap<String, Vec<Option<Vec<Row>>>> = BTreeMap::new();
    for source in &program.sources {
        let pace = chance.between(0, 3);
        let spread = chance.between(1, 9);
        let mut of_source: Vec<Option<Vec<Row>>> = Vec::new();
        for batch in 0..count {
            let replaced = batch == 0 || chance.chance(25);
            if source.table && !replaced {
                of_source.push(None);
                continue;
            }
            let size = if chance.chance(20) { 0 } else { chance.below(most + 1) };
            let now = START + i64::try_from(batch).unwrap() * pace * SECOND;
            let mut new: Vec<Row> = Vec::new();
            for _ in 0..size {
                let again = (!new.is_empty() && chance.chance(10)).then(|| chance.pick(&new));
                new.push(
                    again.unwrap_or_else(|| source.columns.iter().map(|c| cell(chance, c, now, spread)).collect()),
                );
            }
            of_source.push(Some(new));
        }
        of_source.resize(times.len(), if source.table { None } else { Some(vec![]) });
        rows.insert(source.name.clone(), of_source);
    }
    Batches { times, closing, rows }
}

fn cell(chance: &mut Chance, column: &Column, now: i64, spread: i64) -> Value {
    if column.nullable && chance.chance(15) {
        return Value::Null;
    }
    match column.ty {
        Ty::Time => {
            let whole = now + chance.between(-spread, 3) * SECOND;
            Value::Time(if chance.chance(30) { whole + chance.pick(&[-1, 1, 500_000]) } else { whole })
        }
        Ty::Text => Value::Text(chance.pick(&["a", "b", "A", "ä", ""]).to_owned()),
        Ty::Int => Value::Int(chance.between(-2, 4)),
        Ty::Float => Value::Float(chance.pick(&[0.0, -0.0, 0.1, 0.2, 1.5, -2.5, 3.25, 1e10, f64::NAN])),
        Ty::Dec(_, scale) => Value::Dec(i128::from(chance.between(-300, 1000)), scale),
        Ty::Bool => Value::Bool(chance.chance(50)),
        Ty::Ints => {
            let count = chance.below(4);
            Value::List(
                (0..count)
                    .map(|_| if chance.chance(10) { Value::Null } else { Value::Int(chance.between(0, 3)) })
                    .collect(),
            )
        }
        Ty::Texts => panic!("no source has such a column"),
    }
}
