//! Laws, held by random pipelines over random rows: what may not change a row. `LAWS_CASES` says how many cases each
//! law is tried with, `LAWS_SEED` from where; without it the cases are the same in every run.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::oracle::asked;
use crate::oracle::generate::{Chance, case, course, in_time, wild_case};
use crate::oracle::program::{Emit, Program, Scope, Stage, changes};
use crate::oracle::run::{Case, Course, Seen, Trouble, seen};
use crate::oracle::value::{Row, Value, engine_order, show};

const PLAIN: Course = Course {
    partitions: 1,
    threads: 1,
    block_rows: 65_536,
    optimized: false,
    restarts: vec![],
    pieces: 1,
    followed: false,
};

fn config() -> ProptestConfig {
    let cases = u32::try_from(asked("LAWS_CASES", 64)).unwrap();
    let rng_seed = RngSeed::Fixed(asked("LAWS_SEED", 1));
    ProptestConfig { cases, rng_seed, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() }
}

/// What is seen of a case that can be run.
fn run(case: &Case) -> Option<Seen> {
    match seen(case) {
        Ok(seen) => Some(seen),
        Err(Trouble::Refused(_)) => None,
        Err(Trouble::Wrong(why)) => panic!("{}\n{why}", case.program.text()),
    }
}

/// How exactly rows must agree.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    /// Floats bit for bit.
    Bits,
    /// Floats up to rounding.
    Close,
}

fn agree(a: &Value, b: &Value, measure: Measure) -> bool {
    match (a, b, measure) {
        (Value::Float(a), Value::Float(b), Measure::Bits) => a.to_bits() == b.to_bits(),
        (Value::List(a), Value::List(b), Measure::Bits) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b, measure))
        }
        _ => a.close(b),
    }
}

/// What one lot of rows has more than another.
fn surplus(a: &[Row], b: &[Row], measure: Measure) -> Vec<Row> {
    let mut left = b.to_vec();
    let mut more = Vec::new();
    for row in a {
        let same = |other: &Row| row.len() == other.len() && row.iter().zip(other).all(|(a, b)| agree(a, b, measure));
        match left.iter().position(same) {
            Some(at) => drop(left.remove(at)),
            None => more.push(row.clone()),
        }
    }
    more
}

/// Where two lots of rows differ.
fn difference(what: &str, a: &[Row], b: &[Row], measure: Measure) -> Option<String> {
    let (gone, new) = (surplus(a, b, measure), surplus(b, a, measure));
    (!gone.is_empty() || !new.is_empty())
        .then(|| format!("{what}:\n  only once\n{}  only then\n{}", show(&gone), show(&new)))
}

/// Rows that failed without the reason in words, which shows an expression as it was run: constants may be folded.
fn without_reason(name: &str, rows: &[Row]) -> Vec<Row> {
    let kept = |row: &Row| if name.starts_with('z') { row[..row.len() - 1].to_vec() } else { row.clone() };
    rows.iter().map(kept).collect()
}

/// Every stream of every batch is the same in both.
fn same_batches(case: &Case, other: &Case, measure: Measure) {
    let (Some(a), Some(b)) = (run(case), run(other)) else { return };
    for (batch, (a, b)) in a.iter().zip(&b).enumerate() {
        for (name, rows) in a {
            let (rows, others) = (without_reason(name, rows), without_reason(name, &b[name]));
            if let Some(why) = difference(&format!("batch {batch} of `{name}`"), &rows, &others, measure) {
                panic!("{}\n{:?}\n{:?}\n{why}", case.program.text(), case.course, other.course);
            }
        }
    }
}

/// Whether results do not depend on how rows are cut into batches, as far as one can say it of every single row.
fn is_free_of_batches(program: &Program) -> bool {
    let free = |stage: &Stage| match stage {
        Stage::Where(_) | Stage::Select(_) | Stage::Extend(_) | Stage::Explode { .. } => true,
        Stage::Aggregate { scope, emit, .. } => match scope {
            Scope::Over { batch_time: false, window } => {
                let by_rows = matches!(window, crate::oracle::program::Window::Count(_));
                !by_rows && matches!(emit, Emit::Unsaid | Emit::Final)
            }
            Scope::Running { ttl: None, .. } => changes(scope, *emit),
            _ => false,
        },
        Stage::Dedupe { batch_time, .. } => !batch_time,
        Stage::Join(join) => matches!(
            join.meeting,
            crate::oracle::program::Meeting::Bound { .. } | crate::oracle::program::Meeting::Window(_)
        ),
        _ => false,
    };
    program.streams.iter().flat_map(|s| &s.steps).all(|step| free(&step.stage)) && has_no_loose_order(program)
}

/// Whether no stage looks at the order of rows that come out of another stage, which within a batch is not said, and
/// none tells duplicates by the time of batches.
fn has_no_loose_order(program: &Program) -> bool {
    use crate::oracle::program::{Func, Order};
    program.streams.iter().all(|stream| {
        let mut edge = program.edge(&stream.from);
        stream.steps.iter().all(|step| {
            let matters = match &step.stage {
                Stage::Dedupe { .. } => true,
                Stage::Aggregate { calls, .. } => {
                    calls.iter().any(|c| matches!(c.func, Func::First | Func::Last | Func::CollectList))
                }
                _ => false,
            };
            let by_batches = matches!(step.stage, Stage::Dedupe { .. }) && edge.time.is_none();
            let fine = !by_batches && (!matters || edge.order == Order::Known);
            edge = program.behind(&step.stage, &edge);
            fine
        })
    })
}

/// Everything that came of a stream, changes netted.
fn in_all(seen: &Seen, program: &Program) -> BTreeMap<String, Vec<Row>> {
    let mut all: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for batch in seen {
        for (name, rows) in batch {
            all.entry(name.clone()).or_default().extend(rows.iter().cloned());
        }
    }
    for stream in &program.streams {
        if !program.edge(&stream.name).changes {
            continue;
        }
        let rows = all.remove(&stream.name).unwrap_or_default();
        let op = |row: &Row| matches!(row.last(), Some(Value::Text(op)) if op == "+");
        let bare = |row: &Row| row[..row.len() - 1].to_vec();
        let (new, old): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(op);
        let (new, old): (Vec<Row>, Vec<Row>) = (new.iter().map(bare).collect(), old.iter().map(bare).collect());
        let mut net = surplus(&new, &old, Measure::Bits);
        net.sort_by(|a, b| engine_order(a, b));
        all.insert(stream.name.clone(), net);
    }
    all
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn threads_change_no_bit(seed in any::<u64>(), threads in 2..5_usize) {
        let one = wild_case(seed);
        let course = Course { threads: 1, ..one.course.clone() };
        let many = Case { course: Course { threads, ..course.clone() }, ..one.clone() };
        same_batches(&Case { course, ..one }, &many, Measure::Bits);
    }

    #[test]
    fn partitions_change_no_row(seed in any::<u64>(), partitions in 2..6_usize) {
        let one = wild_case(seed);
        let course = Course { partitions: 1, restarts: vec![], ..one.course.clone() };
        let many = Case { course: Course { partitions, ..course.clone() }, ..one.clone() };
        same_batches(&Case { course, ..one }, &many, Measure::Close);
    }

    #[test]
    fn a_restart_changes_no_bit(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let straight = wild_case(seed);
        let course = Course { restarts: vec![], ..straight.course.clone() };
        let restarts = vec![(at.index(straight.batches.count()), course.partitions)];
        let saved = Case { course: Course { restarts, ..course.clone() }, ..straight.clone() };
        same_batches(&Case { course, ..straight }, &saved, Measure::Bits);
    }

    #[test]
    fn a_restart_in_other_partitions_changes_no_row(seed in any::<u64>(), at in any::<prop::sample::Index>(), partitions in 1..6_usize) {
        let straight = wild_case(seed);
        let course = Course { restarts: vec![], ..straight.course.clone() };
        let restarts = vec![(at.index(straight.batches.count()), partitions)];
        let saved = Case { course: Course { restarts, ..course.clone() }, ..straight.clone() };
        same_batches(&Case { course, ..straight }, &saved, Measure::Close);
    }

    #[test]
    fn the_optimizer_changes_no_row(seed in any::<u64>()) {
        let as_written = wild_case(seed);
        let course = Course { optimized: false, ..as_written.course.clone() };
        let optimized = Case { course: Course { optimized: true, ..course.clone() }, ..as_written.clone() };
        same_batches(&Case { course, ..as_written }, &optimized, Measure::Close);
    }

    #[test]
    fn blocks_and_pieces_change_no_row(seed in any::<u64>(), block_rows in 1..9_usize) {
        let one = wild_case(seed);
        let course = Course { block_rows: 65_536, pieces: 1, ..one.course.clone() };
        let many = Case { course: Course { block_rows, pieces: 3, ..course.clone() }, ..one.clone() };
        same_batches(&Case { course, ..one }, &many, Measure::Close);
    }

    #[test]
    fn cuts_into_batches_change_no_row_of_event_time_and_running_results(
        seed in any::<u64>(), rows in any::<u64>(), cuts in any::<u64>(), count in 2..7_usize
    ) {
        // Of the pipelines that follow from the seed the first whose results do not speak of batches.
        let free = (0..200).map(|n| case(seed.wrapping_add(n)).program).find(is_free_of_batches);
        let Some(program) = free else { return Ok(()) };
        let whole = Case { batches: in_time(rows, &program, 1, 0), course: PLAIN, program: program.clone() };
        let course = course(&mut Chance::new(cuts), count);
        let cut = Case { batches: in_time(rows, &program, count, cuts), course, program: program.clone() };
        if let (Some(a), Some(b)) = (run(&whole), run(&cut)) {
            let (a, b) = (in_all(&a, &program), in_all(&b, &program));
            for stream in &program.streams {
                let why = difference(&stream.name, &a[&stream.name], &b[&stream.name], Measure::Close);
                prop_assert!(why.is_none(), "{}\n{:?}\n{:?}\n{}", program.text(), cut.course, cut.batches, why.unwrap_or_default());
            }
        }
    }
}
