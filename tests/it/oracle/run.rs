//! Runs a case in the engine and compares every stream of every batch with what the oracle says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use arrow::datatypes::SchemaRef;
use millstream::builtins;
use millstream::check::{Overrides, Program as Checkable, ProgramFile, check};
use millstream::engine::{EngineError, Opening, Session, Stepped, Watch};
use millstream::optimize::optimize_watched;
use millstream::plan::{Catalog, Plan};
use millstream_dsl::{Severity, SourceMap, parse};

use super::evaluate::{Batches, Expected, expected};
use super::program::Program;
use super::value::{Row, Value, from_batches, show, to_batch};

/// A pipeline, what it is given, and how it is run.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) program: Program,
    pub(crate) batches: Batches,
    pub(crate) course: Course,
}

/// How a pipeline is run. None of it may change a row.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) partitions: usize,
    pub(crate) threads: usize,
    pub(crate) block_rows: usize,
    pub(crate) optimized: bool,
    /// Before these batches everything is saved and taken up again by so many partitions.
    pub(crate) restarts: Vec<(usize, usize)>,
    /// The rows of a batch are handed in in so many pieces.
    pub(crate) pieces: usize,
    /// State is followed by its changes, held against what would be saved after every batch, and taken up again from
    /// what changes make.
    pub(crate) followed: bool,
}

/// What went wrong with a case.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The engine says in a plain sentence that it cannot run this.
    Refused(String),
    /// The pipeline does not check, the engine failed, or rows differ.
    Wrong(String),
}

/// The first thing that cannot be run.
fn refused(error: EngineError) -> Trouble {
    match error {
        EngineError::Refused(refusals) => {
            let words = refusals.first().map_or(String::new(), |r| r.message.clone());
            Trouble::Refused(words.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>().join("N"))
        }
        other => Trouble::Wrong(format!("cannot be opened: {other:?}")),
    }
}

/// The rows of every named stream, batch by batch.
pub(crate) type Seen = Vec<BTreeMap<String, Vec<Row>>>;

/// Runs a case and gives back what was seen.
pub(crate) fn seen(case: &Case) -> Result<Seen, Trouble> {
    let plan = checked(&case.program.text()).map_err(Trouble::Wrong)?;
    let plan = if case.course.optimized { optimize_watched(plan, &|_| true, &mut |_, _| {}).plan } else { plan };
    let mut run = Run::open(&plan, &case.course, case.course.partitions)?;
    let mut all = Vec::new();
    for batch in 0..case.batches.count() {
        for (_, partitions) in case.course.restarts.iter().filter(|(at, _)| *at == batch) {
            run = run.again(&plan, &case.course, *partitions, &case.batches, batch)?;
        }
        let stepped = run.step(&plan, case, batch)?;
        all.push(stepped.streams.iter().map(|(name, rows)| (name.clone(), from_batches(rows))).collect());
    }
    Ok(all)
}

/// Runs a case and compares.
pub(crate) fn try_case(case: &Case) -> Result<(), Trouble> {
    let text = case.program.text();
    let plan = checked(&text).map_err(Trouble::Wrong)?;
    let plan = if case.course.optimized { optimize_watched(plan, &|_| true, &mut |_, _| {}).plan } else { plan };
    let expected = expected(&case.program, &case.batches);
    let mut run = Run::open(&plan, &case.course, case.course.partitions)?;
    for batch in 0..case.batches.count() {
        for (_, partitions) in case.course.restarts.iter().filter(|(at, _)| *at == batch) {
            run = run.again(&plan, &case.course, *partitions, &case.batches, batch)?;
        }
        let stepped = run.step(&plan, case, batch)?;
        compare(&expected, batch, &stepped).map_err(Trouble::Wrong)?;
    }
    Ok(())
}

/// A plan of a text that must check.
pub(crate) fn checked(text: &str) -> Result<Plan, String> {
    let mut sources = SourceMap::new();
    let id = sources.add("oracle", text);
    let parsed = parse::file(id, text);
    if !parsed.problems.is_empty() {
        return Err(format!("does not parse: {:?}", parsed.problems));
    }
    let file = ProgramFile { id, path: PathBuf::from("oracle.stream"), tree: parsed.tree, imports: Vec::new() };
    let program = Checkable { sources, files: vec![file], incomplete: false, ..Checkable::default() };
    // Making the catalog takes longer than checking against it.
    static CATALOG: LazyLock<Catalog> = LazyLock::new(builtins::catalog);
    let checked = check(&program, &CATALOG, &Overrides::new());
    let errors: Vec<_> = checked.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    if errors.is_empty() {
        Ok(checked.plan)
    } else {
        Err(format!(
            "does not check: {}",
            errors.iter().map(|p| format!("{}: {}; ", p.code, p.message)).collect::<String>()
        ))
    }
}

/// A session with what the rows of its inputs look like.
struct Run {
    session: Session,
    schemas: BTreeMap<String, SchemaRef>,
    /// What was saved at first, kept up with, where state is followed.
    followed: Option<Vec<u8>>,
}

impl Run {
    fn open(plan: &Plan, course: &Course, partitions: usize) -> Result<Run, Trouble> {
        let opening = Opening {
            partitions: Some(partitions),
            threads: Some(course.threads),
            block_rows: course.block_rows,
            watch: Watch::All,
            ..Opening::default()
        };
        let mut session = Session::open(plan, opening).map_err(refused)?;
        let followed = course.followed.then(|| session.follow()).transpose();
        let followed = followed.map_err(|e| Trouble::Wrong(format!("cannot be followed: {e}")))?;
        let schemas = plan.streams().map(|(name, node, port)| {
            let edge = plan.edge(node, port).expect("a named output has an edge");
            (name.to_owned(), edge.schema.to_arrow())
        });
        Ok(Run { session, schemas: schemas.collect(), followed })
    }

    /// Saves everything and goes on in another session.
    fn again(
        self,
        plan: &Plan,
        course: &Course,
        partitions: usize,
        batches: &Batches,
        batch: usize,
    ) -> Result<Run, Trouble> {
        let saved = match self.followed {
            Some(followed) => followed,
            None => self.session.save().map_err(|e| Trouble::Wrong(format!("cannot be saved: {e}")))?,
        };
        drop(self.session);
        let mut run = Run::open(plan, course, partitions)?;
        run.session.restore(&saved).map_err(|e| Trouble::Wrong(format!("cannot be restored: {e}")))?;
        if let Some(followed) = &mut run.followed {
            run.session.follow().map_err(|e| Trouble::Wrong(format!("cannot be followed: {e}")))?;
            *followed = saved;
        }
        // Tables are not part of what is saved: they are read anew.
        for (name, rows) in &batches.rows {
            if run.schemas.contains_key(name)
                && let Some(Some(rows)) = rows[..batch].iter().rev().find(|rows| rows.is_some())
                && rows_of_table(plan, name)
            {
                run.session.give(name, vec![to_batch(&run.schemas[name], rows)]);
            }
        }
        Ok(run)
    }

    fn step(&mut self, plan: &Plan, case: &Case, batch: usize) -> Result<Stepped, Trouble> {
        for (name, rows) in &case.batches.rows {
            let Some(rows) = &rows[batch] else { continue };
            let table = rows_of_table(plan, name);
            if rows.is_empty() && !table {
                continue;
            }
            let Some(schema) = self.schemas.get(name) else { continue };
            let size = if table { rows.len().max(1) } else { rows.len().div_ceil(case.course.pieces).max(1) };
            let pieces: Vec<_> = if rows.is_empty() {
                vec![to_batch(schema, rows)]
            } else {
                rows.chunks(size).map(|rows| to_batch(schema, rows)).collect()
            };
            if !self.session.give(name, pieces) {
                return Err(Trouble::Wrong(format!("`{name}` takes no rows")));
            }
        }
        let time = case.batches.times[batch];
        let last = case.batches.closing && batch + 1 == case.batches.count();
        let stepped = if last { self.session.close(time) } else { self.session.step(time) };
        let stepped = stepped.map_err(|e| Trouble::Wrong(format!("batch {batch} failed: {e}")))?;
        if let Some(followed) = &mut self.followed {
            let now = self.session.followed(followed);
            *followed = now.map_err(|e| Trouble::Wrong(format!("batch {batch}: {e}")))?;
        }
        Ok(stepped)
    }
}

fn rows_of_table(plan: &Plan, name: &str) -> bool {
    plan.streams().any(|(stream, node, _)| {
        stream == name && matches!(plan.node(node).work, millstream::plan::graph::Work::Table(_))
    })
}

/// Every stream of a batch, and how many rows were late and bad.
fn compare(expected: &Expected, batch: usize, stepped: &Stepped) -> Result<(), String> {
    let mut wrong = String::new();
    for (name, rows) in &expected.streams {
        let Some(given) = stepped.streams.get(name) else {
            writeln!(wrong, "stream `{name}` gave nothing to look at").unwrap();
            continue;
        };
        let given = from_batches(given);
        if let Some(difference) = difference(&rows[batch], &given) {
            writeln!(wrong, "  batch {batch}, stream `{name}`:\n{difference}").unwrap();
        }
    }
    let late: u64 = stepped.report.operators.iter().map(|o| o.late).sum();
    let bad: u64 = stepped.report.operators.iter().map(|o| o.bad).sum();
    for (what, wanted, given) in [("late", expected.late[batch], late), ("bad", expected.bad[batch], bad)] {
        if wanted as u64 != given {
            writeln!(wrong, "  batch {batch}: {given} {what} rows, {wanted} expected").unwrap();
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// A row that is taken back and comes again.
fn same_change(rows: &[Row]) -> Option<(usize, usize)> {
    let of = |op: &str| {
        let op = Value::text(op);
        (0..rows.len()).filter(move |i| rows[*i].last().is_some_and(|last| last.close(&op))).collect::<Vec<_>>()
    };
    let (old, new) = (of("-"), of("+"));
    let bare = |i: usize| &rows[i][..rows[i].len() - 1];
    let pairs = old.into_iter().flat_map(|o| new.iter().map(move |n| (o, *n)));
    pairs
        .into_iter()
        .find(|(o, n)| bare(*o).len() == bare(*n).len() && bare(*o).iter().zip(bare(*n)).all(|(a, b)| a.close(b)))
}

/// What differs between two lots of rows; columns behind those that are wanted do not matter.
fn difference(wanted: &[Row], given: &[Row]) -> Option<String> {
    let mut left: Vec<Row> = given.to_vec();
    let mut missing = Vec::new();
    for row in wanted {
        let same = |given: &Row| given.len() >= row.len() && row.iter().zip(given).all(|(a, b)| a.close(b));
        match left.iter().position(same) {
            Some(at) => {
                left.remove(at);
            }
            None => missing.push(row.clone()),
        }
    }
    // That one zero takes the place of the other is a change that need not be told.
    for rows in [&mut left, &mut missing] {
        while let Some((old, new)) = same_change(rows) {
            rows.remove(old.max(new));
            rows.remove(old.min(new));
        }
    }
    if missing.is_empty() && left.is_empty() {
        return None;
    }
    Some(format!("   missing:\n{}   unexpected:\n{}", show(&missing), show(&left)))
}
