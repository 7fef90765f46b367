//! What happens to a checkpoint beside crashes: what cannot be gone on with is refused, and says what to do.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Ran, command, millstream_in};

pub(super) const PIPELINE: &str = "pipeline p { every: 50ms, checkpoint: \"state\" }\n\
    source lines = files(\"in/*.txt\") { settle: 0ms, poll: 50ms }\n\
    stream counts = from lines |> aggregate count() as n by line running ttl 30d emit all\n\
    from counts |> into files(\"out\") { format: json }\n";

pub(super) fn folder(pipeline: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a.txt"), "a\nb\na\n").unwrap();
    folder
}

pub(super) fn once(folder: &Path) -> Ran {
    millstream_in(folder, &["run", "p.stream", "--once"], "")
}

/// The last totals.
pub(super) fn totals(folder: &Path) -> String {
    let mut files: Vec<_> = fs::read_dir(folder.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'))
        .collect();
    files.sort();
    fs::read_to_string(files.last().unwrap()).unwrap()
}

/// A run that goes on, once it has written something.
fn running(folder: &Path) -> Child {
    let mut command = command(folder, &["run", "p.stream"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !folder.join("out").is_dir() {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn totals_go_on_where_the_last_run_ended() {
    let folder = folder(PIPELINE);
    assert_eq!(once(folder.path()).code, 0);
    assert_eq!(totals(folder.path()), "{\"line\":\"a\",\"n\":2}\n{\"line\":\"b\",\"n\":1}\n");
    fs::write(folder.path().join("in/b.txt"), "a\nc\n").unwrap();
    let ran = once(folder.path());
    assert_eq!(totals(folder.path()), "{\"line\":\"a\",\"n\":3}\n{\"line\":\"b\",\"n\":1}\n{\"line\":\"c\",\"n\":1}\n");
    assert!(ran.err.contains("3 keys or rows that were remembered stay in the checkpoint"), "{}", ran.err);
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let folder = folder(PIPELINE);
    let mut first = running(folder.path());
    let second = once(folder.path());
    assert_ne!(second.code, 0);
    assert!(second.err.contains("uses the checkpoint"), "{}", second.err);
    assert!(first.try_wait().unwrap().is_none());
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(once(folder.path()).code, 0, "what a killed process had is free");
}

#[test]
fn the_checkpoint_of_another_pipeline_is_refused() {
    let folder = folder(PIPELINE);
    assert_eq!(once(folder.path()).code, 0);
    fs::write(folder.path().join("p.stream"), PIPELINE.replace("pipeline p", "pipeline q")).unwrap();
    let ran = once(folder.path());
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("belongs to pipeline `p`; name another `checkpoint`"), "{}", ran.err);
}

#[test]
fn a_checkpoint_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder(PIPELINE);
    assert_eq!(once(folder.path()).code, 0);
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/journal"), mode("state/about")), (0o700, 0o700, 0o600));
}

#[test]
fn what_stands_in_the_place_of_a_checkpoint_is_left_alone() {
    for link in [false, true] {
        let folder = folder(PIPELINE);
        let place = folder.path().join("state");
        if link {
            fs::create_dir(folder.path().join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(folder.path().join("elsewhere"), &place).unwrap();
        } else {
            fs::write(&place, "something else").unwrap();
        }
        let ran = once(folder.path());
        assert_ne!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("state`"), "{}", ran.err);
        assert!(!folder.path().join("out").exists() && !folder.path().join("elsewhere/journal").exists());
    }
}

#[test]
fn a_flipped_bit_is_found_and_nothing_is_run() {
    let folder = folder(PIPELINE);
    for file in ["b", "c", "d"] {
        assert_eq!(once(folder.path()).code, 0);
        fs::write(folder.path().join(format!("in/{file}.txt")), "a\n").unwrap();
    }
    let journal = folder.path().join("state/journal");
    let mut files: Vec<_> = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut bytes = fs::read(&files[0]).unwrap();
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    let ran = once(folder.path());
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("is damaged at byte") && ran.err.contains("put back a copy"), "{}", ran.err);
}

#[test]
fn a_checkpoint_that_is_removed_while_it_is_used_stops_the_run() {
    let folder = folder(PIPELINE);
    let child = running(folder.path());
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    fs::write(folder.path().join("in/b.txt"), "a\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("state"), "{said}");
}

#[test]
fn more_state_than_may_be_is_a_report_and_what_was_committed_stays() {
    // What is not known by a key cannot lie on disk.
    let limited = PIPELINE
        .replace("checkpoint:", "state_limit: 100kb, checkpoint:")
        .replace("poll: 50ms", "max_files: 1")
        .replace("count() as n by line", "collect_set(line) as n");
    let folder = folder(&limited);
    let many: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    fs::write(folder.path().join("in/b.txt"), many).unwrap();
    let ran = once(folder.path());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("more than `state_limit: 100kb` (`counts/aggregate/1`"), "{}", ran.err);
    assert_eq!(totals(folder.path()), "{\"n\":[\"a\",\"b\"]}\n");
    fs::write(folder.path().join("p.stream"), limited.replace("100kb", "100mb")).unwrap();
    let ran = once(folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(totals(folder.path()).starts_with("{\"n\":[\"a\",\"b\",\"line 0\","));
}

#[test]
fn what_was_decided_while_nothing_ran_holds_for_the_next_run_alone() {
    let folder = folder(PIPELINE);
    assert_eq!(once(folder.path()).code, 0);
    fs::write(folder.path().join("p.stream"), PIPELINE.replace("by line", "by upper(line) as line")).unwrap();
    let ran = once(folder.path());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("needs a decision") && ran.err.contains("millstream decide p.stream"), "{}", ran.err);
    let decided = millstream_in(folder.path(), &["decide", "p.stream", "counts/aggregate/1=reset"], "");
    assert_eq!(decided.code, 0, "{}", decided.err);
    fs::write(folder.path().join("in/b.txt"), "a\n").unwrap();
    let ran = once(folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(totals(folder.path()), "{\"line\":\"A\",\"n\":1}\n");
    let ran = once(folder.path());
    assert_eq!(ran.code, 0, "it is not asked again: {}", ran.err);
    assert!(!folder.path().join(".millstream").exists());
}
