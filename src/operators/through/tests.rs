//! Runs real programs: those that every Unix has.

use crate::operators::stepping::{Line, row};

const SAME: &str = "schema: { k: string, n: int64 }";

fn through(program: &str, with: &str) -> Line {
    Line::of("plain", &format!("select k, n |> through exec({program:?}) with {{ {with} }} bad to refused"), 3)
}

fn failure(line: &mut Line) -> String {
    line.step(&[row("a", 1, 0)]).unwrap_err().to_string()
}

#[test]
fn rows_go_through_a_program_of_each_batch() {
    let mut line = through("cat", SAME);
    assert_eq!(line.out(&[row("a", 1, 0), row("b", 2, 0)]), [r#"{"k":"a","n":1}"#, r#"{"k":"b","n":2}"#]);
    assert!(line.out(&[]).is_empty());
    assert_eq!(line.out(&[row("c", 3, 0)]), [r#"{"k":"c","n":3}"#]);
}

#[test]
fn text_and_csv_go_through_as_well() {
    let upper = "select k |> through exec(\"tr a-z A-Z\") with { format: text, schema: { line: string } }";
    let mut line = Line::of("plain", upper, 1);
    assert_eq!(line.out(&[row("ab", 1, 0), row("c d", 1, 0)]), [r#"{"line":"AB"}"#, r#"{"line":"C D"}"#]);
    let mut line = through("sed s/5/50/", "format: csv, schema: { n: int64, k: string }");
    assert_eq!(line.out(&[row("x,y", 5, 0)]), [r#"{"n":50,"k":"x,y"}"#]);
}

#[test]
fn a_program_that_is_kept_answers_batch_after_batch() {
    // What it counts shows that it is one program.
    let count = "sh -c 'n=0; while IFS= read -r line; do if [ -n \"$line\" ]; then n=$((n+1)); else echo \"{\\\"n\\\":$n}\"; echo; fi; done'";
    let mut line = through(count, "start: once, schema: { n: int64 }");
    assert_eq!(line.out(&[row("a", 1, 0), row("b", 2, 0)]), [r#"{"n":2}"#]);
    assert!(line.out(&[]).is_empty());
    assert_eq!(line.out(&[row("c", 3, 0)]), [r#"{"n":3}"#]);
    let mut line = through("sh -c 'head -n 2; exit 0'", &format!("start: once, {SAME}"));
    assert_eq!(line.out(&[row("a", 1, 0)]).len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(line.out(&[row("b", 1, 0)]).len(), 1, "one that ended well is started again");
}

#[test]
fn lines_that_do_not_fit_are_bad_rows() {
    let mut line = through("sh -c 'cat; echo rubbish; echo; echo {}'", SAME);
    let stepped = line.step(&[row("a", 1, 0)]).unwrap();
    let bad: Vec<_> = stepped.streams["refused"].iter().flat_map(crate::operators::stepping::json).collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].starts_with(r#"{"text":"rubbish","_place":"sh","_line":2,"_reason":"not JSON"#), "{bad:?}");
    assert!(bad[1].contains(r#""_line":4,"_reason":"field `k` is missing or null""#), "{bad:?}");
    let count = stepped.report.operators.iter().find(|o| o.word == "through").unwrap();
    assert_eq!((count.rows_in, count.taken, count.rows_out, count.bad), (3, 1, 1, 2));
}

#[test]
fn a_program_that_fails_fails_the_batch_with_its_last_words() {
    let mut line = through("sh -c 'cat; for i in 1 2 3 4 5 6 7; do echo sorry $i >&2; done; exit 3'", SAME);
    let why = failure(&mut line);
    let words = "program `sh` ended with code 3\n  sorry 3\n  sorry 4\n  sorry 5\n  sorry 6\n  sorry 7";
    assert!(why.contains(words) && !why.contains("sorry 2"), "{why}");
    let why = failure(&mut through("./not-there --at all", SAME));
    assert!(why.contains("program `./not-there` cannot be started: "), "{why}");
    let why = failure(&mut through("sh -c 'read line; kill -9 $$'", SAME));
    assert!(why.contains("was ended by a signal"), "{why}");
    let why = failure(&mut through("sh -c 'read line; echo dying >&2; exit 4'", &format!("start: once, {SAME}")));
    assert!(why.contains("program `sh` ended with code 4\n  dying"), "{why}");
    let why = failure(&mut through("sh -c 'read line; exit 0'", &format!("start: once, {SAME}")));
    assert!(why.contains("ended before it had answered"), "{why}");
    let why = failure(&mut through("sleep 60", &format!("timeout: 100ms, {SAME}")));
    assert!(why.contains("program `sleep` said nothing for 100ms"), "{why}");
}

#[test]
fn neither_side_waits_for_the_other_in_vain() {
    let long = "x".repeat(1000);
    let rows: Vec<_> = (0..3_000).map(|n| row(&long, n, 0)).collect();
    for with in [SAME.to_owned(), format!("start: once, {SAME}")] {
        assert_eq!(through("cat", &with).out(&rows).len(), rows.len());
    }
    // It writes much before it reads anything, and then reads little.
    let mut line =
        through("sh -c 'yes \"{\\\"k\\\": \\\"y\\\", \\\"n\\\": 1}\" | head -n 20000; head -n 1 > /dev/null'", SAME);
    assert_eq!(line.out(&rows).len(), 20_000);
}

#[test]
fn it_runs_in_the_pipelines_folder_and_is_told_the_batch() {
    let tell = "sh -c 'cat > /dev/null; echo {\\\"n\\\": $MILLSTREAM_BATCH}'";
    let mut line = through(tell, "schema: { n: int64 }");
    assert_eq!(line.out(&[row("a", 1, 0)]), [r#"{"n":0}"#]);
    assert_eq!(line.out(&[row("a", 1, 0)]), [r#"{"n":1}"#]);
}
