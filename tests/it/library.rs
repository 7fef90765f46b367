//! Millstream as a library: the example, and what a program can get wrong.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use millstream::library::{Pipeline, Running, Start, own};
use millstream::model::{Column, Schema, Slot, Type};
use millstream::plan::Catalog;

#[path = "../examples/library.rs"]
mod example;

const SECOND: i64 = 1_000_000;

#[test]
fn the_example_runs() {
    example::main().unwrap();
}

fn numbers(numbers: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn column(batches: &[RecordBatch], name: &str) -> Vec<i64> {
    let values = |rows: &RecordBatch| rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(values).collect()
}

fn pipeline(stages: &str, catalog: &Catalog) -> Pipeline {
    let text = format!(
        "pipeline p {{ every: 1s }}\nsource xs = queue() {{ schema: {{ n: int64 }} }}\n\
         stream ys = from xs {stages}\nfrom ys |> into discard\n"
    );
    Pipeline::from_text(&text, catalog).unwrap()
}

fn started(stages: &str, catalog: &Catalog) -> Running {
    pipeline(stages, catalog).start_with(Start { threads: Some(2), partitions: Some(3), ..Start::default() }).unwrap()
}

#[test]
fn a_queue_gives_one_pushed_piece_a_batch() {
    let mut running = started("|> where n > 1", &millstream::builtins::catalog());
    running.give("xs", &numbers(&[1, 2])).unwrap();
    running.give("xs", &numbers(&[3])).unwrap();
    assert_eq!(column(running.step_at(SECOND).unwrap().stream("ys"), "n"), [2]);
    assert!(running.has_waiting());
    assert_eq!(column(running.step_at(2 * SECOND).unwrap().stream("ys"), "n"), [3]);
    assert!(running.step_at(3 * SECOND).unwrap().stream("ys").is_empty());
}

#[test]
fn given_rows_are_cast_to_the_declared_types_and_others_are_refused_in_a_sentence() {
    let mut running = started("|> where n > 1", &millstream::builtins::catalog());
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    running.give("xs", &RecordBatch::try_from_iter([("n", narrow)]).unwrap()).unwrap();
    assert_eq!(column(running.step_at(SECOND).unwrap().stream("ys"), "n"), [7]);
    let absent: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let refused = running.give("xs", &RecordBatch::try_from_iter([("n", absent)]).unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "`xs` was given no rows: row 2 has null in `n`");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let refused = running.give("xs", &RecordBatch::try_from_iter([("m", text)]).unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "`xs` was given no rows: column `n` is missing");
    let refused = running.give("zs", &numbers(&[1])).unwrap_err();
    let why = "it takes none from the program; those that do: `xs`";
    assert_eq!(refused.to_string(), format!("`zs` was given no rows: {why}"));
}

#[test]
fn mistakes_in_the_text_are_an_error_with_place_and_help() {
    let text = "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64 } }\nfrom xs |> wher n > 1 |> into discard\n";
    let mistakes = Pipeline::from_text(text, &millstream::builtins::catalog()).unwrap_err().to_string();
    assert!(mistakes.contains("\npipeline:3:12: error[unknown-stage]: stage `wher` does not exist"), "{mistakes}");
    assert!(mistakes.contains("did you mean `where`?"), "{mistakes}");
}

#[test]
fn an_own_function_is_typed_and_listed_like_any_other() {
    let mut catalog = millstream::builtins::catalog();
    catalog.add(own::function("twice", "a number twice", &[("n", Type::Int64)], Type::Int64, |args| {
        Arc::new(args[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| n * 2))
    }));
    let mut running = started("|> select twice(n) as n", &catalog);
    running.give("xs", &numbers(&[1, 2, 3])).unwrap();
    assert_eq!(column(running.step_at(SECOND).unwrap().stream("ys"), "n"), [2, 4, 6]);
    let text = "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64, s: string } }\n\
                from xs |> select twice(s) as a, twise(n) as b, twice(n, n) as c |> into discard\n";
    let mistakes = Pipeline::from_text(text, &catalog).unwrap_err().to_string();
    assert!(mistakes.contains("did you mean `twice`?"), "{mistakes}");
    assert_eq!(mistakes.matches("error[").count(), 3, "{mistakes}");
}

#[test]
fn an_own_function_gives_null_for_null_and_bad_rows_where_it_fails() {
    let mut catalog = millstream::builtins::catalog();
    catalog.add(own::fallible_function("small", "a number below ten", &[("n", Type::Int64)], Type::Int64, |args| {
        let numbers = args[0].as_primitive::<Int64Type>();
        match numbers.iter().flatten().find(|n| *n >= 10) {
            Some(large) => Err(format!("{large} is too large")),
            None => Ok(Arc::clone(&args[0])),
        }
    }));
    let mut running = started("|> select small(nullif(n, 3)) ?? 0 as n", &catalog);
    running.give("xs", &numbers(&[1, 3, 10, 4])).unwrap();
    assert_eq!(column(running.step_at(SECOND).unwrap().stream("ys"), "n"), [1, 0, 0, 4]);
    let text = "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64 } }\n\
                from xs |> select small(n) as n |> into discard\n";
    let mistakes = Pipeline::from_text(text, &catalog).unwrap_err().to_string();
    assert!(mistakes.contains("error[unhandled-failure]"), "{mistakes}");
}

fn counted(_: &Schema) -> Result<Schema, String> {
    Ok(Schema::new(vec![Column::new("rows", Slot::required(Type::Int64))]))
}

fn count(rows: &[RecordBatch]) -> Result<Vec<RecordBatch>, String> {
    let count = i64::try_from(rows.iter().map(RecordBatch::num_rows).sum::<usize>()).unwrap();
    let count: ArrayRef = Arc::new(Int64Array::from(vec![count]));
    Ok(vec![RecordBatch::try_from_iter([("rows", count)]).unwrap()])
}

#[test]
fn an_own_stage_sees_a_whole_batch_or_each_of_its_partitions() {
    let mut catalog = millstream::builtins::catalog();
    catalog.add(own::batch_stage("whole", "rows of the batch", counted, |rows, _| count(rows)));
    catalog.add(own::partition_stage("parts", "rows of each partition", counted, |rows, _| count(rows)));
    let many: Vec<i64> = (0..100).collect();
    let mut running = started("|> where n >= 0 |> whole", &catalog);
    running.give("xs", &numbers(&many)).unwrap();
    assert_eq!(column(running.step_at(SECOND).unwrap().stream("ys"), "rows"), [100]);
    assert_eq!(column(running.step_at(2 * SECOND).unwrap().stream("ys"), "rows"), [0], "an empty batch is one too");
    let mut running = started("|> where n >= 0 |> parts", &catalog);
    running.give("xs", &numbers(&many)).unwrap();
    let parts = column(running.step_at(SECOND).unwrap().stream("ys"), "rows");
    assert_eq!((parts.len(), parts.iter().sum::<i64>()), (3, 100), "{parts:?}");
}

#[test]
fn an_own_stage_refuses_columns_in_check_and_rows_when_it_runs() {
    let mut catalog = millstream::builtins::catalog();
    let never = |_: &Schema| Err("wants a column `m`".to_owned());
    catalog.add(own::batch_stage("picky", "takes nothing", never, |_, _| Ok(Vec::new())));
    catalog.add(own::batch_stage("liar", "gives other columns", counted, |_, _| {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        Ok(vec![RecordBatch::try_from_iter([("rows", text)]).unwrap()])
    }));
    catalog.add(own::batch_stage("broken", "fails", counted, |_, _| Err("the disk is full".into())));
    let text =
        "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64 } }\nfrom xs |> picky |> into discard\n";
    let mistakes = Pipeline::from_text(text, &catalog).unwrap_err().to_string();
    assert!(mistakes.contains("error[wrong-argument]: stage `picky` wants a column `m`"), "{mistakes}");
    let failed = started("|> liar", &catalog).step_at(SECOND).unwrap_err().to_string();
    assert!(failed.contains("stage `liar` gave other columns than it declares"), "{failed}");
    let failed = started("|> broken", &catalog).step_at(SECOND).unwrap_err().to_string();
    assert_eq!(failed, "batch 0 failed at `broken` of `ys`: the disk is full");
}

#[test]
fn an_own_sink_gets_every_batch_that_has_rows_by_its_number_and_a_second_try() {
    let tries = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&tries);
    let mut catalog = millstream::builtins::catalog();
    let kept = move |batch: &millstream::plan::operator::BatchTime, rows: &[RecordBatch]| {
        let mut seen = seen.lock().unwrap();
        seen.push((batch.number, column(rows, "n")));
        if seen.len() == 1 { Err("not yet".into()) } else { Ok(()) }
    };
    own::foreach(&mut catalog, "other", |_, _| Err("is not called".into()));
    own::foreach(&mut catalog, "kept", kept);
    let text =
        "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64 } }\nfrom xs |> into foreach(\"kept\")\n";
    let start = Start { clock: Arc::new(millstream::engine::ManualClock::default()), ..Start::default() };
    let mut running = Pipeline::from_text(text, &catalog).unwrap().start_with(start).unwrap();
    running.give("xs", &numbers(&[5])).unwrap();
    running.step().unwrap();
    running.step().unwrap();
    running.give("xs", &numbers(&[6])).unwrap();
    running.step().unwrap();
    assert_eq!(*tries.lock().unwrap(), [(0, vec![5]), (0, vec![5]), (2, vec![6])]);
}

#[test]
fn a_function_that_foreach_calls_must_be_given() {
    let text =
        "pipeline p { every: 1s }\nsource xs = queue() { schema: { n: int64 } }\nfrom xs |> into foreach(\"kept\")\n";
    let refused = Pipeline::from_text(text, &millstream::builtins::catalog()).unwrap().start().unwrap_err();
    assert!(refused.to_string().contains("sink `foreach` calls a function"), "{refused}");
}

#[test]
fn a_file_is_loaded_with_what_it_imports_and_its_sources_can_all_be_given() {
    let path = crate::program::root().join("pipelines/spark/reduce_by_key.stream");
    let pipeline = Pipeline::from_file(path, &millstream::builtins::catalog()).unwrap();
    assert!(pipeline.warnings().problems.is_empty());
    let start = Start { give_all: true, sinks: false, ..Start::default() };
    let mut running = pipeline.start_with(start).unwrap();
    let category: ArrayRef = Arc::new(StringArray::from(vec!["books", "games", "books"]));
    let amount: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    running.give("orders", &RecordBatch::try_from_iter([("category", category), ("amount", amount)]).unwrap()).unwrap();
    let rows = running.step_at(10 * SECOND).unwrap();
    assert_eq!(rows.stream("revenue").iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[test]
fn what_a_pipeline_remembers_goes_on_in_another_one() {
    let stages =
        "|> fold running ttl 1d init { total: 0 } step { total: state.total + n } yield { total: state.total }";
    let catalog = millstream::builtins::catalog();
    let mut first = started(stages, &catalog);
    first.give("xs", &numbers(&[1, 2])).unwrap();
    first.step_at(SECOND).unwrap();
    let saved = first.save().unwrap();
    let mut second = pipeline(stages, &catalog).start().unwrap();
    second.restore(&saved).unwrap();
    second.give("xs", &numbers(&[4])).unwrap();
    assert_eq!(column(second.step_at(2 * SECOND).unwrap().stream("ys"), "total"), [7]);
}

#[test]
fn rows_come_from_other_threads_until_they_say_that_it_is_over() {
    let text = "pipeline p { every: 0s }\nsource xs = queue() { schema: { n: int64 }, buffer: 1kb } bad drop\n\
                stream ys = from xs |> fold running ttl 1d init { sum: 0 } step { sum: state.sum + n } yield { sum: state.sum }\n\
                from ys |> into discard\n";
    let mut running = Pipeline::from_text(text, &millstream::builtins::catalog()).unwrap().start().unwrap();
    let feeders: Vec<_> = (0..4).map(|_| running.feeder("xs").unwrap()).collect();
    let mut sums = Vec::new();
    std::thread::scope(|threads| {
        let last = running.feeder("xs").unwrap();
        let givers: Vec<_> = feeders
            .iter()
            .map(|feeder| threads.spawn(|| (0..50).for_each(|_| feeder.give(&numbers(&[1; 100])).unwrap())))
            .collect();
        threads.spawn(move || {
            givers.into_iter().for_each(|giver| giver.join().unwrap());
            last.end();
        });
        running.run(&false.into(), |batch| sums.extend(column(batch.stream("ys"), "sum"))).unwrap();
    });
    assert_eq!(sums.last(), Some(&(4 * 50 * 100)));
    drop(running);
    let refused = feeders[0].give(&numbers(&[1])).unwrap_err();
    assert_eq!(refused.to_string(), "`xs` was given no rows: the pipeline is no more");
}

/// Spark drops rows between two windows without a word; here `check` warns, and a pipeline that runs all the same counts
/// them as filtered.
#[test]
fn rows_between_windows_are_left_out_and_counted() {
    let stages = "|> aggregate count() as n over sliding(1s, every 3s) on batch time |> select n";
    let catalog = millstream::builtins::catalog();
    let gaps = pipeline(stages, &catalog);
    assert!(gaps.warnings().problems.iter().any(|problem| problem.code == "slide-gap"), "{}", gaps.warnings());
    let mut running = gaps.start().unwrap();
    let mut counts = Vec::new();
    let mut filtered = 0;
    for batch in 1..=6 {
        running.give("xs", &numbers(&vec![1; batch])).unwrap();
        let done = running.step_at(SECOND * i64::try_from(batch).unwrap()).unwrap();
        counts.extend(column(done.stream("ys"), "n"));
        filtered += done.report.operators.iter().map(|operator| operator.filtered).sum::<u64>();
    }
    assert_eq!((counts, filtered), (vec![3, 6], 1 + 2 + 4 + 5));
}

#[test]
fn a_program_goes_on_where_its_checkpoint_ends() {
    let folder = tempfile::TempDir::new().unwrap();
    let text = |name: &str| {
        format!(
            "pipeline p {{ every: 1s, checkpoint: {:?} }}\nsource given = queue() {{ schema: {{ n: int64 }} }}\n\
             stream {name} = from given |> aggregate sum(n) as sum running ttl 30d emit all named sums\n\
             from {name} |> into discard\n",
            folder.path().join("state")
        )
    };
    let catalog = millstream::builtins::catalog();
    let mut sums = Vec::new();
    for n in [1, 2, 3] {
        let mut running = Pipeline::from_text(&text("totals"), &catalog).unwrap().start().unwrap();
        running.give("given", &numbers(&[n])).unwrap();
        sums.extend(column(running.step().unwrap().stream("totals"), "sum"));
    }
    assert_eq!(sums, [1, 3, 6]);
    let other = Pipeline::from_text(&text("others"), &catalog).unwrap().start();
    assert!(other.err().unwrap().to_string().contains("the pipeline's text has changed since the last run"));
}
