//! The engine against a naive recomputation: random pipelines over random batches, run in random ways. Every named
//! stream of every batch must hold the rows that the oracle finds by looking at all batches from the start, without
//! Arrow, state or threads.
//!
//! `ORACLE_CASES=100000 cargo test --release --test it oracle::random -- --nocapture` runs many; `ORACLE_SEED` is the
//! first seed (cases are run as so many seeds from there), `ORACLE_THREADS` how many run at a time. A failure prints
//! its seed and the smallest case found that fails in the same way.

mod aggregates;
pub(crate) mod evaluate;
mod expr;
mod fold;
pub(crate) mod generate;
mod joins;
mod known;
pub(crate) mod program;
pub(crate) mod run;
mod shrink;
pub(crate) mod value;
mod windows;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use run::{Case, Trouble, try_case};

/// So many where nothing else is asked for.
const CASES: u64 = 300;

pub(crate) fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A case, with a panic as a failure like any other.
fn attempt(case: &Case) -> Result<(), Trouble> {
    catch_unwind(AssertUnwindSafe(|| try_case(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Trouble::Wrong(format!("panicked: {}", text.unwrap_or_default())))
    })
}

#[test]
fn random_pipelines_give_the_rows_of_a_naive_recomputation() {
    let (first, count) = (asked("ORACLE_SEED", 1), asked("ORACLE_CASES", CASES));
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let refused: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let most = usize::try_from(asked("ORACLE_FAILURES", 3)).unwrap();
    // Panics are caught and told of with their seed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failures.lock().unwrap().len() >= most {
                return;
            }
            match attempt(&generate::case(seed)) {
                Ok(()) => {}
                Err(Trouble::Refused(why)) => *refused.lock().unwrap().entry(why).or_default() += 1,
                Err(Trouble::Wrong(why)) => failures.lock().unwrap().push((seed, why)),
            }
        }
    };
    std::thread::scope(|scope| {
        (0..asked("ORACLE_THREADS", 2)).for_each(|_| {
            scope.spawn(work);
        });
    });
    let refused = refused.into_inner().unwrap();
    let unrun: u64 = refused.values().sum();
    say(&format!("{count} cases from seed {first}: {unrun} refused"));
    refused.iter().for_each(|(why, n)| say(&format!("  {n} times: {why}")));
    let failures = failures.into_inner().unwrap();
    for (seed, why) in &failures {
        let (case, why) = shrink::smallest(generate::case(*seed), why.clone());
        say(&format!("seed {seed} fails:\n{}\n{}\n{:?}\n{why}", case.program.text(), shown(&case), case.course));
    }
    std::panic::set_hook(hook);
    assert!(failures.is_empty(), "seeds {:?} fail", failures.iter().map(|(seed, _)| *seed).collect::<Vec<_>>());
}

#[expect(clippy::print_stderr, reason = "a long run says what it did")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What a case is given.
fn shown(case: &Case) -> String {
    let mut text = String::new();
    for (at, time) in case.batches.times.iter().enumerate() {
        text.push_str(&format!("batch {at} at {time}\n"));
        for (name, rows) in &case.batches.rows {
            if let Some(rows) = &rows[at]
                && !rows.is_empty()
            {
                text.push_str(&format!("  {name}:\n{}", value::show(rows)));
            }
        }
    }
    text
}
