//! Runs hand-made plans on a manual clock.

mod aside;
mod crashes;
mod hand;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{AsArray, RecordBatch, StringArray};
use proptest::prelude::*;

use self::hand::{Noted, Pipeline, counts};
use super::*;

const SECOND: i64 = 1_000_000;

fn settings(clock: &Arc<ManualClock>) -> RunSettings {
    RunSettings { once: true, clock: clock.clone(), threads: Some(2), ..RunSettings::default() }
}

fn at(seconds: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(seconds * SECOND))
}

#[test]
fn words_are_counted_batch_by_batch() {
    let pipeline = Pipeline::word_count(&[&["to be or", "not to be"], &["to be"]]);
    let summary = run(&pipeline.plan, settings(&at(10)), &mut Noted::default()).unwrap();
    let batches = pipeline.sink.batches();
    assert_eq!(counts(&batches[0]), [("be", 2), ("not", 1), ("or", 1), ("to", 2)].map(|(w, n)| (w.into(), n)));
    assert_eq!(counts(&batches[1]), [("be", 1), ("to", 1)].map(|(w, n)| (w.into(), n)));
    assert_eq!((summary.batches, summary.sources[0].rows, summary.sinks[0].rows), (2, 3, 6));
    let words = &summary.operators[0];
    assert_eq!((words.word.as_str(), words.rows_in, words.rows_out), ("words", 3, 8));
}

#[test]
fn the_first_batch_is_at_the_next_multiple_of_the_interval() {
    let mut pipeline = Pipeline::word_count(&[&["a"], &["b"], &["c"]]);
    pipeline.plan.header.every = 10 * SECOND;
    let clock = at(13);
    let settings = RunSettings { once: false, batches: Some(3), ..settings(&clock) };
    let mut noted = Noted::default();
    run(&pipeline.plan, settings, &mut noted).unwrap();
    assert_eq!(noted.times, [20 * SECOND, 30 * SECOND, 40 * SECOND]);
}

#[test]
fn an_empty_batch_still_ticks_but_reaches_no_sink() {
    let mut pipeline = Pipeline::word_count(&[&[], &["a"], &[]]);
    pipeline.plan.header.every = SECOND;
    let settings = RunSettings { once: false, batches: Some(3), ..settings(&at(0)) };
    let summary = run(&pipeline.plan, settings, &mut Noted::default()).unwrap();
    assert_eq!((summary.batches, pipeline.sink.batches().len()), (3, 1));
}

#[test]
fn a_stopped_run_ends_after_the_batch_at_hand() {
    let mut pipeline = Pipeline::word_count(&[&["a"], &["b"]]);
    pipeline.plan.header.every = SECOND;
    let stop = Arc::new(AtomicBool::new(false));
    let settings = RunSettings { once: false, stop: stop.clone(), ..settings(&at(0)) };
    let mut noted = Noted { stop_after: Some((1, stop)), ..Noted::default() };
    assert_eq!(run(&pipeline.plan, settings, &mut noted).unwrap().batches, 1);
}

#[test]
fn everything_that_cannot_be_run_is_said_before_the_start() {
    let mut pipeline = Pipeline::word_count(&[]);
    pipeline.add_unrunnable("sessions");
    pipeline.add_unrunnable("fold");
    let messages: Vec<_> = runnable(&pipeline.plan).into_iter().map(|r| r.message).collect();
    assert_eq!(
        messages,
        ["stage `sessions` can be checked, but not run yet", "stage `fold` can be checked, but not run yet"]
    );
    let refused = run(&pipeline.plan, settings(&at(0)), &mut Noted::default());
    assert!(matches!(refused, Err(EngineError::Refused(all)) if all.len() == 2));
}

#[test]
fn a_panic_fails_the_batch_with_the_name_of_the_operator() {
    let pipeline = Pipeline::word_count(&[&["fine", "fine"], &["panic please"]]);
    let failed = run(&pipeline.plan, settings(&at(0)), &mut Noted::default()).unwrap_err();
    let told = failed.to_string();
    let (why, sample) = told.split_once(";").unwrap();
    assert_eq!(why, "batch 1 failed at `words` of `counts`: internal error: panicked: asked to");
    assert!(sample.contains("| panic please |"), "{sample}");
    assert_eq!(pipeline.sink.batches().len(), 1, "what was delivered before stays delivered");
}

#[test]
fn the_watermark_follows_the_newest_row_and_ends_with_the_rows() {
    let pipeline = Pipeline::timed(&[&["100", "95"], &["97"], &["120"]]);
    run(&pipeline.plan, settings(&at(0)), &mut Noted::default()).unwrap();
    let seen: Vec<_> = hand::in_order(&pipeline.sink.batches()).into_iter().flatten().collect();
    let expected = [("- to 90", 2), ("90 to 90", 1), ("90 to 110", 1), ("110 to end", 0)];
    assert_eq!(seen, expected.map(|(mark, rows)| (mark.to_owned(), rows)));
}

#[test]
fn refused_rows_come_in_again_with_the_reason() {
    let pipeline = Pipeline::refusing(&[&["good", "bad"]]);
    let summary = run(&pipeline.plan, settings(&at(0)), &mut Noted::default()).unwrap();
    let again = pipeline.sink.batches();
    let rows = &again[0][0];
    assert_eq!(rows.column(0).as_string::<i32>().value(0), "bad");
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "not wanted");
    assert_eq!((summary.sinks[0].rejected, summary.batches), (1, 2));
}

#[test]
fn rows_that_cannot_be_read_are_a_stream_of_their_own() {
    let pipeline = Pipeline::with_bad_rows(&[&["one", "!two", "three"]]);
    let summary = run(&pipeline.plan, settings(&at(0)), &mut Noted::default()).unwrap();
    let bad = &pipeline.sink.batches()[0][0];
    assert_eq!(bad.column_by_name("text").unwrap().as_string::<i32>().value(0), "!two");
    assert_eq!(bad.column_by_name("_reason").unwrap().as_string::<i32>().value(0), "starts with !");
    assert_eq!((summary.sources[0].rows, summary.sources[0].bad), (2, 1));
}

fn lines(rows: &[&str]) -> Vec<RecordBatch> {
    let schema = Pipeline::lines().to_arrow();
    vec![RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(rows.to_vec()))]).unwrap()]
}

#[test]
fn rows_are_handed_in_and_every_named_stream_can_be_looked_at() {
    let pipeline = Pipeline::word_count(&[]);
    let mut session = Session::open(&pipeline.plan, Opening::default()).unwrap();
    assert!(session.give("lines", lines(&["to be", "be"])));
    assert!(!session.give("nobody", lines(&[])));
    assert!(session.has_waiting());
    let done = session.step(SECOND).unwrap();
    assert_eq!(counts(&done.streams["counts"]), [("be".into(), 2), ("to".into(), 1)]);
    assert_eq!(done.streams["lines"][0].num_rows(), 2);
    assert!(!session.has_waiting());
    assert!(session.step(2 * SECOND).unwrap().streams["counts"].is_empty());
    assert!(pipeline.sink.batches().is_empty(), "sinks are left closed");
}

#[test]
fn one_block_at_a_time_where_asked() {
    let pipeline = Pipeline::word_count(&[]);
    let opening = Opening { one_at_a_time: true, ..Opening::default() };
    let mut session = Session::open(&pipeline.plan, opening).unwrap();
    session.give("lines", lines(&["a"]));
    session.give("lines", lines(&["b"]));
    let words = |session: &mut Session, n: i64| counts(&session.step(n * SECOND).unwrap().streams["counts"]).len();
    assert_eq!([words(&mut session, 1), words(&mut session, 2), words(&mut session, 3)], [1, 1, 0]);
}

#[test]
fn a_restored_session_goes_on_with_its_number_time_and_watermark() {
    let pipeline = Pipeline::timed(&[]);
    let mut session = Session::open(&pipeline.plan, Opening::default()).unwrap();
    session.step(10 * SECOND).unwrap();
    assert!(session.advance_mark(Some("lines"), 50 * SECOND));
    assert!(!session.advance_mark(Some("nobody"), 50 * SECOND));
    session.step(20 * SECOND).unwrap();
    let saved = session.save().unwrap();
    let mut again = Session::open(&pipeline.plan, Opening::default()).unwrap();
    again.restore(&saved).unwrap();
    let done = again.step(30 * SECOND).unwrap();
    assert_eq!(done.report.number, 2);
    assert_eq!(hand::in_order(&[done.streams["counts"].clone()]), [[("50 to 50".to_owned(), 0)]]);
    assert!(again.restore(b"something else").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn threads_and_block_sizes_change_nothing_and_partitions_no_row(
        lines in prop::collection::vec("[a-e ]{0,12}", 0..60),
        threads in 1usize..5,
        block_rows in 1usize..20,
        partitions in 1usize..9,
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let count = |threads, block_rows, partitions| {
            let pipeline = Pipeline::word_count(&[&lines]);
            let settings = RunSettings { threads: Some(threads), block_rows, partitions: Some(partitions), ..settings(&at(0)) };
            run(&pipeline.plan, settings, &mut Noted::default()).unwrap();
            pipeline.sink.batches()
        };
        let plain = count(1, 1000, partitions);
        let varied = count(threads, block_rows, partitions);
        prop_assert_eq!(hand::in_order(&plain), hand::in_order(&varied));
        let other = count(threads, block_rows, 1);
        prop_assert_eq!(plain.iter().map(|b| counts(b)).collect::<Vec<_>>(), other.iter().map(|b| counts(b)).collect::<Vec<_>>());
    }
}
