//! A pipeline on a disk that loses what was not synced: whatever happens between and within batches, each row is in what
//! sinks have exactly once, and totals are what they are without crashes.
//!
//! Long: `ENGINE_SEED=1 ENGINE_CRASHES=1000000 cargo test --release --lib engine::tests::crashes -- --nocapture`. Runs with
//! other seeds add up.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use fastrand::Rng;

use super::SECOND;
use crate::engine::durable::image::Owner;
use crate::engine::durable::{Checkpoint, Durable, Pace, Recovered, Start};
use crate::engine::program::Step;
use crate::engine::tables::equal;
use crate::engine::{Clock, EngineError, ManualClock, Opening, Session, Watch};
use crate::journal::simulated::{Fault, SimulatedDisk};
use crate::journal::{Trouble, Tuning};
use crate::library::own;
use crate::model::{Column, Schema, Slot, Type};
use crate::optimize::optimize;
use crate::plan::operator::TaskError;
use crate::plan::seams::{Limits, Position, Positions, Read, Source, Split};
use crate::plan::{Catalog, Plan};

pub(super) const TEXT: &str = "pipeline p { every: 1s }\n\
    source numbers = numbers() { time: ts, watermark: 3s }\n\
    from numbers |> into each\n\
    stream totals = from numbers |> aggregate sum(n) as s, count() as c by n % 7 as k running ttl 30d emit changes\n\
    from totals |> into totals\n\
    stream windows = from numbers |> aggregate count() as c by n % 3 as k over sliding(10s, every 5s) late drop\n\
    from windows |> into windows\n\
    stream first = from numbers |> extend m = n % 50 |> dedupe by m within 10s late drop\n\
    from first |> into first\n";

/// The same, with another filter where nothing is remembered, and another column.
const EDITED: &str = "from numbers |> where n >= 0 |> into each\n";

/// How many rows there are; a batch takes up to 9.
const ROWS: i64 = 120;

/// What sinks have, by their word and batch: kept outside of the disk, at once, as another system's is.
pub(super) type Had = Arc<Mutex<BTreeMap<(String, u64), Vec<Vec<i64>>>>>;

/// Row n of the input is always the same.
struct Numbers {
    rng: Rng,
}

impl Source for Numbers {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        Ok(vec![Split { id: "all".into() }])
    }

    fn read(&mut self, _: &Split, from: &Position, _: &Limits) -> Result<Read, TaskError> {
        let at = <[u8; 8]>::try_from(from.0.as_slice()).map_or(0, i64::from_le_bytes);
        let to = (at + self.rng.i64(0..10)).min(ROWS);
        Ok(Read {
            blocks: vec![numbers(at..to)],
            to: if to == at { from.clone() } else { Position(to.to_le_bytes().to_vec()) },
            bytes: 8,
            exhausted: to == ROWS,
            ..Read::default()
        })
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }
}

fn schema() -> Schema {
    let required = |name: &str, ty| Column::new(name, Slot::required(ty));
    Schema::new(vec![required("n", Type::Int64), required("ts", Type::Timestamp(None))])
}

fn numbers(rows: std::ops::Range<i64>) -> RecordBatch {
    let times = rows.clone().map(|n| (n / 2 + n * 7 % 4) * SECOND);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
    ];
    RecordBatch::try_new(schema().to_arrow(), columns).unwrap()
}

pub(super) fn plan(text: &str, had: &Had, seed: u64) -> Plan {
    let mut catalog: Catalog = crate::builtins::catalog();
    catalog
        .add(own::source("numbers", "numbers", schema(), move |_| Ok(Box::new(Numbers { rng: Rng::with_seed(seed) }))));
    for word in ["each", "totals", "windows", "first"] {
        let had = Arc::clone(had);
        catalog.add(own::sink(word, "keeps rows", move |batch, rows| {
            let rows: Vec<Vec<i64>> = rows.iter().flat_map(cells).collect();
            let mut had = had.lock().unwrap();
            let before = had.insert((word.to_owned(), batch.number), rows.clone());
            assert!(
                before.is_none_or(|before| before == rows),
                "batch {} of `{word}` came again with other rows",
                batch.number
            );
            Ok(())
        }));
    }
    let (program, problems) = crate::load::text(text);
    let checked = crate::check::check(&program, &catalog, &BTreeMap::new());
    let wrong: Vec<_> = problems.iter().chain(&checked.problems).filter(|problem| problem.is_error()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    checked.plan
}

/// Rows as numbers; what is no number by its length.
fn cells(rows: &RecordBatch) -> Vec<Vec<i64>> {
    let cell = |column: &ArrayRef, row: usize| {
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64);
        column.map_or_else(|_| 0, |column| column.as_primitive::<Int64Type>().value(row))
    };
    (0..rows.num_rows()).map(|row| rows.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

pub(super) fn opening(clock: &Arc<ManualClock>) -> Opening {
    Opening { queued: false, sinks: true, watch: Watch::Nothing, clock: clock.clone(), ..Opening::default() }
}

/// What is the same however the input is cut into batches: rows that pass, the last totals, windows, first rows.
fn outcome(had: &Had) -> BTreeMap<String, Vec<Vec<i64>>> {
    let had = had.lock().unwrap();
    let mut all: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
    for ((word, _), rows) in had.iter() {
        all.entry(word.clone()).or_default().extend(rows.iter().cloned());
    }
    // Of changes the last one of each key.
    let mut last: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in all.remove("totals").unwrap_or_default() {
        last.insert(row[0], row[..3].to_vec());
    }
    all.insert("totals".into(), last.into_values().collect());
    for word in ["windows", "first"] {
        all.entry(word.into()).or_default().sort();
    }
    all
}

/// Runs until all is read, and once more so that nothing waits; the process ends where the disk fails.
fn work(session: &mut Session, clock: &ManualClock, most: u64) -> Result<bool, EngineError> {
    for _ in 0..most {
        let time = session.next_time(clock.now());
        let stepped = session.step(time)?;
        holds_what_is_remembered(session);
        clock.advance(time - clock.now());
        let at_end = |step: &Step| match step {
            Step::Source(_, intake) => intake.positions().values().any(|at| at.0 == ROWS.to_le_bytes()),
            _ => true,
        };
        if stepped.report.rows_in() == 0 && session.program.steps.iter().all(at_end) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a restart would find is what is remembered.
fn holds_what_is_remembered(session: &Session) {
    // Where the disk cannot be read, what the run itself finds is looked at.
    let Some(Ok(found)) = session.durable.as_ref().map(Durable::found) else { return };
    is_remembered(session, found);
}

fn is_remembered(session: &Session, mut found: Recovered) {
    let mut states = found.owned().unwrap();
    for (node, keyed) in session.program.keyed() {
        let identity = &session.program.nodes[node].identity;
        let held = states.remove(&Owner::State(identity.clone())).map(|(_, tables)| tables).unwrap_or_default();
        // What lies on disk may not be readable.
        let Ok(saved) = keyed.save() else { continue };
        if let Err(why) = equal(&held, &saved) {
            panic!("behind batch {}: `{identity}`: {why}", session.number);
        }
    }
}

/// One life after the other until the work is done; gives how many there were.
fn lives(seed: u64) -> u64 {
    let expected = straight();
    let mut rng = Rng::with_seed(seed);
    let disk = SimulatedDisk::new(seed);
    let had = Had::default();
    let clock = Arc::new(ManualClock::at(rng.i64(0..100) * SECOND));
    let tuning = || Tuning { segment_bytes: 3_000 };
    let mut crashes = 0;
    loop {
        // Some of the lives go by another text, which means the same.
        let text = if rng.bool() { TEXT.to_owned() } else { TEXT.replace("from numbers |> into each\n", EDITED) };
        // All that is known by key lies on disk, or nothing does.
        let text = if rng.u8(0..3) > 0 { text } else { text.replace("every: 1s", "every: 1s, state_limit: 1b") };
        if rng.u8(0..10) > 0 {
            disk.fail(rng.u64(1..60), rng.u64(1..4), fault(&mut rng));
        }
        let life = life(&text, &had, &disk, &clock, &mut rng, tuning());
        match life {
            Ok(true) => break,
            Ok(false) => disk.kill(),
            Err(_) if rng.bool() => disk.kill(),
            Err(_) => disk.crash(rng.u64(..)),
        }
        crashes += 1;
        // Clocks jump.
        clock.advance(rng.i64(-5..20) * SECOND);
        assert!(crashes < 2_000, "it never ends");
    }
    assert_eq!(outcome(&had), expected, "ENGINE_SEED={seed}");
    crashes
}

fn fault(rng: &mut Rng) -> Fault {
    match rng.u8(0..4) {
        0 => Fault::Error(io::ErrorKind::Other),
        1 => Fault::Error(io::ErrorKind::StorageFull),
        _ => Fault::Death,
    }
}

fn life(
    text: &str,
    had: &Had,
    disk: &SimulatedDisk,
    clock: &Arc<ManualClock>,
    rng: &mut Rng,
    tuning: Tuning,
) -> Result<bool, String> {
    let said = |trouble: Trouble| {
        // Whatever the disk did, what it says is never that the checkpoint was damaged by somebody else.
        assert!(
            !matches!(trouble, Trouble::Damaged { .. } | Trouble::Foreign { .. } | Trouble::Newer { .. }),
            "{trouble}"
        );
        trouble.to_string()
    };
    let pace = Pace { bytes: u64::MAX, batches: rng.u64(1..6), beside: false };
    let checkpoint = Checkpoint::tuned(disk.arc(), Path::new("/checkpoint"), "p", tuning, pace).map_err(said)?;
    let seed = rng.u64(..);
    let before = checkpoint.text().map(|text| String::from_utf8(text.to_vec()).unwrap());
    let changed = before.filter(|before| before != text).map(|before| {
        let (old, new) = (plan(&before, had, seed), plan(text, had, seed));
        let changes = crate::reload::compare(&old, &new);
        let taking = changes.settled(&crate::reload::Answers::default()).unwrap();
        (optimize(old).plan, taking)
    });
    let found = checkpoint.found().ok().filter(|_| checkpoint.text().is_some());
    let start = Start { checkpoint, text: text.as_bytes().to_vec(), changed };
    let (mut session, _) =
        Session::resume(&optimize(plan(text, had, seed)).plan, opening(clock), start).map_err(|e| e.to_string())?;
    if let Some(found) = found {
        is_remembered(&session, found);
    }
    let most = rng.u64(1..12);
    let done = work(&mut session, clock, most).map_err(|e| e.to_string())?;
    if done || rng.bool() {
        session.finish().map_err(|failure| failure.error.to_string())?;
    }
    Ok(done)
}

/// What comes out without crashes.
fn straight() -> BTreeMap<String, Vec<Vec<i64>>> {
    let had = Had::default();
    let clock = Arc::new(ManualClock::at(0));
    let mut session = Session::open(&optimize(plan(TEXT, &had, 1)).plan, opening(&clock)).unwrap();
    assert!(work(&mut session, &clock, 1_000).unwrap());
    outcome(&had)
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn each_row_counts_once_whatever_the_disk_loses() {
    let (most, first) = (number("ENGINE_CRASHES", 300), number("ENGINE_SEED", 1));
    let (mut crashes, mut seed, begun) = (0, first, Instant::now());
    while crashes < most {
        crashes += lives(seed);
        seed += 1;
    }
    tracing::info!(crashes, first, last = seed - 1, took = ?begun.elapsed(), "crashes");
    if most > 1_000 {
        use std::io::Write as _;
        let text = format!("{crashes} crashes, seeds {first} to {}, {:?}\n", seed - 1, begun.elapsed());
        io::stderr().lock().write_all(text.as_bytes()).unwrap();
    }
}
