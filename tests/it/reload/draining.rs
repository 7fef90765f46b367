//! Open windows that end by the old text while later ones go by the new, in a pipeline that runs.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{Running, heard};
use crate::program::{command, millstream_in};

/// The rows of windows as `start, count, smallest, largest`: numbers count from 0, so each must be in one window.
fn text(stages: &str, window: &str) -> String {
    format!(
        "pipeline p {{ every: 50ms }}\n\
         source ticks = generate() {{ rows_per_second: 1000, time: ts, watermark: 100ms }}\n\
         stream ranges = from ticks{stages} |> aggregate count() as n, min(value) as least, max(value) as most \
         over {window} late drop named ranges\n\
         from ranges |> select n, least, most |> into console {{ format: csv, rows: 1000 }}\n"
    )
}

fn windows(out: &str) -> Vec<[u64; 3]> {
    let row = |line: &str| {
        let cells: Vec<u64> = line.split(',').filter_map(|cell| cell.parse().ok()).collect();
        cells.try_into().ok()
    };
    out.lines().filter_map(row).collect()
}

/// Every number is in one window.
fn whole(out: &str) {
    let windows = windows(out);
    assert!(windows.len() > 5, "{out}");
    for pair in windows.windows(2) {
        let ([n, least, most], [_, next, _]) = (pair[0], pair[1]);
        assert_eq!((most + 1 - least, most + 1), (n, next), "{pair:?} in\n{out}");
    }
}

#[test]
fn every_row_is_in_one_window_of_either_text() {
    let running = Running::start(&text("", "tumbling(300ms)"), &[]);
    let decide =
        |answers: &[&str]| millstream_in(running.folder.path(), &[&["decide", "p.stream"], answers].concat(), "");
    running.save(&text("", "tumbling(500ms)"));
    running.until_said("millstream decide p.stream ranges=reset|drain", 1);
    assert_eq!(decide(&["ranges=drain"]).code, 0);
    running.until_said("windows that start before", 1);
    // What is saved meanwhile is not lost, and judged when it is over.
    running.save(&text(" |> where value >= 0", "tumbling(200ms)").replace("50ms }", "50ms, on_change: drain }"));
    running.until_said("what was saved now waits for their end", 1);
    running.until_said("only the new one runs from batch", 2);
    // A mean is no whole number: nothing could be one stream.
    running.save(&text(" |> where value >= 0", "tumbling(100ms)").replace("count() as n", "avg(value) as n"));
    running.until_said("millstream decide p.stream ranges=reset", 2);
    let refused = decide(&["ranges=drain"]).err;
    assert!(refused.contains("other columns come out, which cannot be one stream"), "{refused}");
    let before = windows(&running.out()).len();
    running.until("more windows", || windows(&running.out()).len() > before + 3);
    let (said, out) = running.end();
    assert_eq!(said.matches("the new text runs from batch").count(), 2, "{said}");
    whole(&out);
}

/// A run of `p.stream` in a folder.
pub(super) fn begun(folder: TempDir) -> Running {
    let mut child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    let said = heard(child.stderr.take().unwrap());
    Running { folder, child, said, out: Arc::new(Mutex::new(String::new())) }
}

/// What files in a folder say, in the order of their names.
pub(super) fn all_of(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "csv")).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn a_run_that_is_killed_while_two_texts_run_goes_on_with_both() {
    let durable = |window: &str| {
        let text = text("", window).replace("every: 50ms", "every: 50ms, checkpoint: \"state\"");
        text.replace("console { format: csv, rows: 1000 }", "files(\"out\") { format: csv, header: false }")
    };
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), durable("tumbling(300ms)")).unwrap();
    let running = begun(folder);
    running.until("windows", || windows(&all_of(&running.folder.path().join("out"))).len() > 2);
    running.save(&durable("tumbling(2s)").replace("every: 50ms", "every: 50ms, on_change: drain"));
    running.until_said("windows that start before", 1);
    running.signal("-KILL");
    let mut running = running;
    running.child.wait().unwrap();
    let folder = std::mem::replace(&mut running.folder, TempDir::new().unwrap());
    drop(running);
    // A third text does not come in while the windows of the first are open.
    let third = durable("tumbling(1s)").replace("every: 50ms", "every: 50ms, on_change: drain");
    let second = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    fs::write(folder.path().join("p.stream"), third).unwrap();
    let once = millstream_in(folder.path(), &["run", "p.stream", "--once"], "");
    assert!(once.err.contains("windows of a text before are still open (`ranges` until"), "{}", once.err);
    fs::write(folder.path().join("p.stream"), second).unwrap();
    let running = begun(folder);
    running.until_said("windows that start before", 1);
    running.until_said("only the new one runs from batch", 1);
    let path = running.folder.path().join("out");
    let before = windows(&all_of(&path)).len();
    running.until("more windows", || windows(&all_of(&path)).len() > before + 1);
    // The next run may begin with an edit that is drained, where somebody can watch it.
    let mut running = running;
    running.signal("-INT");
    running.child.wait().unwrap();
    let folder = std::mem::replace(&mut running.folder, TempDir::new().unwrap());
    let third = durable("tumbling(300ms)").replace("every: 50ms", "every: 50ms, on_change: drain");
    fs::write(folder.path().join("p.stream"), third).unwrap();
    let once = millstream_in(folder.path(), &["run", "p.stream", "--once"], "");
    assert!(once.err.contains("`drain` needs a run in which p.stream is watched"), "{}", once.err);
    let running = begun(folder);
    running.until_said("only the new one runs from batch", 1);
    let path = running.folder.path().join("out");
    let before = windows(&all_of(&path)).len();
    running.until("more windows", || windows(&all_of(&path)).len() > before + 1);
    let out = all_of(&path);
    drop(running);
    whole(&out);
}
