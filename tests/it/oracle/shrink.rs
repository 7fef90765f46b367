//! A failing case made smaller, as long as it fails.

use std::time::{Duration, Instant};

use super::run::{Case, Trouble};

/// How long is looked for a smaller one.
const PATIENCE: Duration = Duration::from_secs(20);

/// The smallest case found by leaving things out, with its failure.
pub(crate) fn smallest(case: Case, why: String) -> (Case, String) {
    let mut best = (case, why);
    let until = Instant::now() + PATIENCE;
    loop {
        let smaller = candidates(&best.0).into_iter().find_map(|candidate| {
            if Instant::now() > until {
                return None;
            }
            // A smaller case may make no sense, which is another failure: the oracle panics, or it does not check.
            match super::attempt(&candidate) {
                Err(Trouble::Wrong(why)) if is_like(&why, &best.1) => Some((candidate, why)),
                _ => None,
            }
        });
        match smaller {
            Some(found) => best = found,
            None => return best,
        }
    }
}

fn is_like(why: &str, other: &str) -> bool {
    let kind = |text: &str| {
        let unchecked =
            text.strip_prefix("does not check: ").and_then(|rest| rest.split(':').next().map(str::to_owned));
        (unchecked, text.starts_with("panicked"), text.contains("failed"))
    };
    kind(why) == kind(other)
}

/// The case with one thing less.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for i in (0..case.program.streams.len()).rev() {
        let name = &case.program.streams[i].name;
        if !is_read(case, name) {
            with(&|c| {
                c.program.streams.remove(i);
            });
        }
        let last = case.program.streams[i].steps.len() - 1;
        for at in 0..case.program.streams[i].steps.len() {
            // Columns are known by their place: it must stay where anybody reads them.
            if keeps_columns(case, i, at) || (at == last && !is_read(case, name)) {
                with(&|c| {
                    c.program.streams[i].steps.remove(at);
                });
            }
            with(&|c| c.program.streams[i].steps[at].late = None);
            with(&|c| c.program.streams[i].steps[at].bad = None);
        }
    }
    for (i, source) in case.program.sources.iter().enumerate() {
        if !is_read(case, &source.name) {
            with(&|c| {
                let gone = c.program.sources.remove(i);
                c.batches.rows.remove(&gone.name);
            });
        }
    }
    with(&|c| c.course.restarts.clear());
    with(&|c| c.course.partitions = 1);
    with(&|c| c.course.threads = 1);
    with(&|c| c.course.block_rows = 65_536);
    with(&|c| c.course.pieces = 1);
    with(&|c| c.course.optimized = false);
    with(&|c| c.course.followed = false);
    with(&|c| {
        if c.batches.closing {
            c.batches.closing = false;
            c.batches.times.pop();
            c.batches.rows.values_mut().for_each(|rows| {
                rows.pop();
            });
        }
    });
    if !case.batches.closing && case.batches.count() > 1 {
        with(&|c| {
            c.batches.times.pop();
            c.batches.rows.values_mut().for_each(|rows| {
                rows.pop();
            });
            let count = c.batches.count();
            c.course.restarts.retain(|(at, _)| *at < count);
        });
    }
    for at in 0..case.batches.count() {
        for (name, rows) in &case.batches.rows {
            let Some(rows) = &rows[at] else { continue };
            if rows.len() > 1 {
                with(&|c| c.batches.rows.get_mut(name).unwrap()[at] = Some(vec![]));
            }
            for row in 0..rows.len() {
                with(&|c| {
                    let rows = c.batches.rows.get_mut(name).unwrap();
                    rows[at].as_mut().unwrap().remove(row);
                });
            }
        }
    }
    let same = format!("{case:?}");
    all.retain(|c| format!("{c:?}") != same);
    all.retain(|c| c.program.streams.iter().all(|s| !s.steps.is_empty()) && !c.program.streams.is_empty());
    all
}

fn is_read(case: &Case, name: &str) -> bool {
    use super::program::Stage;
    case.program.streams.iter().any(|stream| {
        stream.from == name
            || stream.steps.iter().any(|step| match &step.stage {
                Stage::Union(other) => other == name,
                Stage::Join(join) => join.other == name,
                _ => false,
            })
    })
}

/// Whether a stage hands on the columns that it reads.
fn keeps_columns(case: &Case, stream: usize, at: usize) -> bool {
    let stream = &case.program.streams[stream];
    let mut edge = case.program.edge(&stream.from);
    for (i, step) in stream.steps.iter().enumerate() {
        let behind = case.program.behind(&step.stage, &edge);
        if i == at {
            let names = |edge: &super::program::Edge| edge.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
            return names(&edge) == names(&behind) && edge.time == behind.time;
        }
        edge = behind;
    }
    false
}
