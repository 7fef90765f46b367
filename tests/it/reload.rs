//! What saved edits mean: cases of an old text, a new one, and the table that is printed; and pipelines that are edited
//! while they run.

mod against;
mod draining;
mod failing;
mod load;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::files::{below, differs, none, read};
use crate::program::{command, millstream_in};

const FOLDER: &str = "tests/cases/reload";
/// What stands between the parts of a case.
const NEW: &str = "--- new\n";
const TABLE: &str = "--- table\n";

#[test]
fn every_edit_means_what_is_written_behind_it() {
    let cases = below(FOLDER, &["case"]);
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let complaints = cases.iter().filter_map(|case| {
        let text = read(case);
        let (old, rest) = text.split_once(NEW).unwrap();
        let (new, _) = rest.split_once(TABLE).unwrap_or((rest, ""));
        let folder = TempDir::new().unwrap();
        let comment = |line: &&str| line.starts_with('#');
        let old: String = old.lines().skip_while(comment).map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("old.stream"), &old).unwrap();
        fs::write(folder.path().join("new.stream"), new).unwrap();
        let ran = millstream_in(folder.path(), &["plan", "new.stream", "--against", "old.stream"], "");
        if ran.code != 0 {
            let errors: Vec<_> = ran.err.split("\n\n").filter(|problem| problem.starts_with("error")).collect();
            return Some(format!("{}: {}", case.display(), errors.join("\n")));
        }
        let head: String = text.lines().take_while(comment).map(|line| format!("{line}\n")).collect();
        differs(case, &format!("{head}{old}{NEW}{new}{TABLE}{}", ran.out))
    });
    none(complaints.collect());
}

/// A pipeline that runs in a folder of its own while its text is edited.
struct Running {
    folder: TempDir,
    child: Child,
    said: Arc<Mutex<String>>,
    out: Arc<Mutex<String>>,
}

impl Running {
    fn start(text: &str, more: &[(&str, &str)]) -> Self {
        let files: Vec<_> = more.iter().copied().chain([("p.stream", text)]).collect();
        Self::start_with(&files, &[])
    }

    /// Of these files, `p.stream` among them, with these arguments.
    fn start_with(files: &[(&str, &str)], args: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut child = command(folder.path(), &[&["run", "p.stream"], args].concat()).spawn().unwrap();
        let said = heard(child.stderr.take().unwrap());
        let out = heard(child.stdout.take().unwrap());
        let running = Running { folder, child, said, out };
        running.until("rows come out", || running.out().lines().count() > 3);
        running
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("p.stream")
    }

    fn save(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// How often something was said.
    fn times(&self, what: &str) -> usize {
        self.said().matches(what).count()
    }

    fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what} did not come to be; said:\n{}", self.said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn until_said(&self, what: &str, times: usize) {
        self.until(&format!("{what:?} ({times} times)"), || self.times(what) >= times);
    }

    /// Waits until the new text gives rows.
    fn until_applied(&self, times: usize) {
        self.until_said("the new text runs from batch", times);
        let before = self.out().lines().count();
        self.until("more rows", || self.out().lines().count() > before + 3);
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends it; what was said and printed.
    fn end(mut self) -> (String, String) {
        self.signal("-INT");
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
        thread::sleep(Duration::from_millis(50));
        (self.said(), self.out())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `end` there is nothing left to end.
        let _ = self.child.kill();
    }
}

/// What comes through a pipe, as it comes.
fn heard(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let heard = Arc::new(Mutex::new(String::new()));
    let to = heard.clone();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    });
    heard
}

/// Totals over numbers that count from 0: the count is always one more than the largest.
fn totals(stages: &str, columns: &str, behind: &str) -> String {
    format!(
        "pipeline p {{ every: 50ms }}\nsource ticks = generate() {{ rows_per_second: 1000 }}\n\
         stream total = from ticks{stages} |> aggregate count() as n, max(value) as top{columns} running ttl 1d named total\n\
         from total |> where op == \"+\"{behind} |> select n, top |> into console {{ format: csv }}\n"
    )
}

/// The rows of every batch, as numbers.
fn numbers(out: &str) -> Vec<(u64, u64)> {
    let row = |line: &str| {
        let mut cells = line.split(',').map(str::parse);
        Some((cells.next()?.ok()?, cells.next()?.ok()?))
    };
    out.lines().filter_map(row).collect()
}

/// No row was lost and none counted twice.
fn whole(out: &str) {
    let numbers = numbers(out);
    assert!(numbers.len() > 3, "{out}");
    for (n, top) in &numbers {
        assert_eq!(*n, top + 1, "{out}");
    }
    assert!(numbers.is_sorted(), "{out}");
}

#[test]
fn totals_go_on_through_every_harmless_edit() {
    let running = Running::start(&totals("", "", ""), &[]);
    running.save(&totals("", ", sum(value) as s", ""));
    running.until_applied(1);
    running.save(&totals(" |> tap 1", "", " |> where n > 0"));
    running.until_applied(2);
    running.save(&totals("", "", "").replace("50ms", "20ms"));
    running.until_applied(3);
    let (said, out) = running.end();
    assert!(said.contains("`sum(value)` is added and starts empty"), "{said}");
    assert!(said.contains("`every` changed from 50ms to 20ms"), "{said}");
    whole(&out);
}

#[test]
fn a_text_with_mistakes_is_told_of_once_and_the_old_one_goes_on() {
    let running = Running::start(&totals("", "", ""), &[]);
    let broken = totals(" |> where valeu > 0", "", "");
    running.save(&broken);
    running.until_said("has mistakes: the old text goes on", 1);
    running.save(&broken);
    thread::sleep(Duration::from_millis(400));
    running.save(&totals("", "", "# a comment\n |> where n > 1"));
    running.until_applied(1);
    let (said, out) = running.end();
    assert_eq!(said.matches("error[unknown-column]").count(), 1, "{said}");
    assert!(said.contains("p.stream:3"), "{said}");
    whole(&out);
}

#[test]
fn the_same_text_and_another_layout_do_nothing() {
    let running = Running::start(&totals("", "", ""), &[]);
    running.save(&totals("", "", ""));
    thread::sleep(Duration::from_millis(400));
    running.save(&format!("# a comment\n{}", totals("", "", "")));
    running.until_said("means the same", 1);
    running.signal("-HUP");
    running.until_said("is the text that runs", 1);
    let (said, out) = running.end();
    assert!(!said.contains("the new text runs"), "{said}");
    whole(&out);
}

#[test]
fn editors_may_rename_truncate_delete_and_save_a_hundred_times() {
    let running = Running::start(&totals("", "", ""), &[]);
    let path = running.path();
    // A new file in the place of the old one.
    fs::write(path.with_extension("new"), totals("", "", " |> where n > 0")).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    running.until_applied(1);
    // Emptied first, filled later, in two halves.
    let text = totals("", "", " |> where n > 2");
    running.save("");
    thread::sleep(Duration::from_millis(200));
    running.save(&text[..text.len() / 2]);
    thread::sleep(Duration::from_millis(20));
    running.save(&text);
    running.until_applied(2);
    // Moved away, and a new one made.
    fs::rename(&path, path.with_extension("bak")).unwrap();
    thread::sleep(Duration::from_millis(200));
    running.save(&totals("", "", " |> where n > 3"));
    running.until_applied(3);
    // Again and again: what was saved last holds.
    for n in 0..100 {
        running.save(&totals("", "", &format!(" |> where n > {n}")));
        thread::sleep(Duration::from_millis(3));
    }
    running.until_applied(4);
    let (said, out) = running.end();
    assert!(!said.contains("mistakes") && !said.contains("cannot be read"), "{said}");
    assert!(said.matches("the new text runs").count() <= 6, "{said}");
    whole(&out);
}

#[test]
fn a_file_that_is_gone_is_told_of_and_read_when_it_is_back() {
    let running = Running::start(&totals("", "", ""), &[]);
    fs::remove_file(running.path()).unwrap();
    running.until_said("cannot be read any more; what runs goes on", 1);
    running.save(&totals("", "", " |> where n > 0"));
    running.until_applied(1);
    whole(&running.end().1);
}

#[test]
fn two_files_changed_in_one_save_are_one_edit() {
    let text = |name: &str| totals("", "", &format!(" |> {name}")).replacen('\n', "\nimport \"lib.stream\"\n", 1);
    let lib = |name: &str| format!("stage {name}() = |> where n > 0\n");
    let running = Running::start(&text("large()"), &[("lib.stream", &lib("large"))]);
    fs::write(running.folder.path().join("lib.stream"), lib("big")).unwrap();
    thread::sleep(Duration::from_millis(10));
    running.save(&text("big()"));
    running.until_said("p.stream", 1);
    fs::write(running.folder.path().join("lib.stream"), lib("big").replace("> 0", "> 1")).unwrap();
    running.until_applied(1);
    let (said, out) = running.end();
    assert!(!said.contains("error["), "{said}");
    whole(&out);
}

#[test]
fn a_decision_waits_until_it_is_answered() {
    let running = Running::start(&totals("", "", ""), &[]);
    let odd = " |> where value % 2 == 1";
    running.save(&totals(odd, "", ""));
    running.until_said("millstream decide p.stream total=keep|reset", 1);
    let decide =
        |answers: &[&str]| millstream_in(running.folder.path(), &[&["decide", "p.stream"], answers].concat(), "");
    let asked = decide(&[]);
    assert!(
        asked.code == 0 && asked.out.contains("total=keep|reset  what comes in means something else"),
        "{}",
        asked.out
    );
    assert!(decide(&["total=drain"]).err.contains("has no windows of event time that end by themselves"));
    assert!(decide(&["other=keep"]).err.contains("`other` is not asked for; asked is `total`"));
    let before = numbers(&running.out()).len();
    running.until("more batches", || numbers(&running.out()).len() > before + 3);
    assert_eq!(running.times("the new text runs"), 0);
    assert_eq!(millstream_in(running.folder.path(), &["decide", ".", "total=reset"], "").code, 0);
    running.until_applied(1);
    assert!(decide(&[]).err.contains("waits for no decision"));
    // The text may answer too.
    running.save(&totals("", "", "").replace("every: 50ms", "every: 50ms, on_change: reset"));
    running.until_applied(2);
    let (said, out) = running.end();
    let numbers = numbers(&out);
    assert!(numbers.windows(2).any(|pair| pair[1].0 < pair[0].0), "it begins anew: {said}\n{out}");
}

#[test]
fn what_cannot_be_opened_leaves_the_old_text_running() {
    let running = Running::start(&totals("", "", ""), &[]);
    running.save(&(totals("", "", "") + "from total |> into kafka(\"localhost:1\", \"t\")\n"));
    running.until("it was refused", || {
        let said = running.said();
        said.contains("the old one goes on") || said.contains("the old text goes on")
    });
    running.save(&totals("", ", min(value) as least", ""));
    running.until_applied(1);
    whole(&running.end().1);
}

#[test]
fn a_folder_runs_every_pipeline_in_it_whatever_happens_to_the_others() {
    let folder = TempDir::new().unwrap();
    let save = |name: &str, text: &str| fs::write(folder.path().join(format!("{name}.stream")), text).unwrap();
    let counting = |name: &str, behind: &str| {
        format!(
            "pipeline {name} {{ every: 50ms }}\nsource ticks = generate() {{ rows_per_second: 1000 }}\n\
             stream total = from ticks |> aggregate count() as n, max(value) as top running ttl 1d named total\n\
             from total |> where op == \"+\"{behind} |> select n, top |> into discard\n"
        )
    };
    save("one", &counting("one", ""));
    save("two", &counting("two", ""));
    save("broken", "pipeline broken { every: 1s }\nfrom nowhere |> into console\n");
    let mut child = command(folder.path(), &["run", "."]).spawn().unwrap();
    let said = heard(child.stderr.take().unwrap());
    let until = |what: &str| {
        let started = Instant::now();
        while !said.lock().unwrap().contains(what) {
            assert!(started.elapsed() < Duration::from_secs(20), "{what:?} was not said:\n{}", said.lock().unwrap());
            thread::sleep(Duration::from_millis(10));
        }
    };
    until("pipeline=\"one\"");
    until("pipeline=\"two\"");
    until("broken.stream:2");
    // Mended, edited, removed, added and added again.
    save("broken", &counting("broken", ""));
    until("pipeline=\"broken\"");
    save("one", &counting("one", " |> where n > 0"));
    until("one.stream: the new text runs from batch");
    fs::remove_file(folder.path().join("two.stream")).unwrap();
    until("two.stream: is gone");
    save("three", &counting("three", ""));
    until("pipeline=\"three\"");
    said.lock().unwrap().clear();
    save("two", &counting("two", ""));
    until("pipeline=\"two\"");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = child.wait().unwrap();
    thread::sleep(Duration::from_millis(50));
    let said = said.lock().unwrap().clone();
    assert!(said.contains("three: ") && said.contains("one: ") && said.contains(" rows in"), "{said}");
    // One of them did not check at first; that is what is left of it.
    assert_eq!(status.code(), Some(1), "{said}");
}

#[test]
fn an_edit_of_a_slow_pipeline_does_not_wait_for_its_next_batch() {
    let folder = TempDir::new().unwrap();
    let slow = totals("", "", "").replace("50ms", "1h");
    fs::write(folder.path().join("p.stream"), &slow).unwrap();
    let mut child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    let (said, out) = (heard(child.stderr.take().unwrap()), heard(child.stdout.take().unwrap()));
    let running = Running { folder, child, said, out };
    thread::sleep(Duration::from_millis(500));
    running.save(&totals("", "", "").replace("every: 50ms", "every: 50ms, on_overrun: fail"));
    running.until("batches every 50 ms", || numbers(&running.out()).len() > 3);
    let (said, out) = running.end();
    assert!(said.contains("`every` changed from 1h to 50ms") && !said.contains("ticks were skipped"), "{said}");
    whole(&out);
}

#[test]
fn files_that_come_and_go_are_read_once_through_edits() {
    let text = |behind: &str| {
        format!(
            "pipeline p {{ every: 50ms }}\nsource lines = files(\"in/*.txt\") {{ poll: 50ms }}\n\
             stream words = from lines{behind}\nfrom words |> into files(\"out\") {{ format: text }}\n"
        )
    };
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("p.stream"), text("")).unwrap();
    let put = |n: usize| {
        let (written, at) = (folder.path().join("in/.new"), folder.path().join(format!("in/{n:03}.txt")));
        fs::write(&written, format!("line {n}\n")).and_then(|()| fs::rename(written, at)).unwrap();
    };
    let mut child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    let said = heard(child.stderr.take().unwrap());
    for n in 0..60 {
        put(n);
        if n % 20 == 10 {
            fs::write(folder.path().join("p.stream"), text(&format!(" |> where line != \"{n}\""))).unwrap();
        }
        if n % 7 == 6 && n > 20 {
            // What was read may go; it is far enough behind.
            fs::remove_file(folder.path().join(format!("in/{:03}.txt", n - 20))).unwrap();
        }
        thread::sleep(Duration::from_millis(40));
    }
    thread::sleep(Duration::from_millis(1000));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let said = said.lock().unwrap().clone();
    assert!(said.matches("the new text runs").count() >= 2, "{said}");
    let mut read: Vec<String> = Vec::new();
    for file in fs::read_dir(folder.path().join("out")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() && !path.file_name().unwrap().to_string_lossy().starts_with(['.', '_']) {
            read.extend(fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    read.sort();
    let mut wanted: Vec<String> = (0..60).map(|n| format!("line {n}")).collect();
    wanted.sort();
    assert_eq!(read, wanted, "{said}");
}

#[test]
fn a_connection_lives_through_edits_and_loses_no_row() {
    let text = |columns: &str| {
        format!(
            "pipeline p {{ every: 50ms }}\nsource lines = listen(\"127.0.0.1:PORT\")\n\
             stream total = from lines |> aggregate count() as n, max(line) as top{columns} running ttl 1d named total\n\
             from total |> where op == \"+\" |> select n, top |> into console {{ format: csv }}\n"
        )
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |columns: &str| text(columns).replace("PORT", &port.to_string());
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), text("")).unwrap();
    let mut child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    let (said, out) = (heard(child.stderr.take().unwrap()), heard(child.stdout.take().unwrap()));
    let running = Running { folder, child, said, out };
    let mut peer = None;
    running.until("somebody listens", || {
        peer = std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        peer.is_some()
    });
    let mut peer = peer.unwrap();
    for n in 0..300 {
        std::io::Write::write_all(&mut peer, format!("{n:06}\n").as_bytes()).unwrap();
        if n % 100 == 50 {
            running.save(&text([", count() as again", "", ", min(line) as least"][n / 100]));
        }
        thread::sleep(Duration::from_millis(8));
    }
    running.until("all rows", || running.out().contains("300,000299"));
    let (said, _) = running.end();
    assert_eq!(said.matches("the new text runs").count(), 3, "{said}");
}

#[test]
fn state_of_a_stage_that_was_deleted_is_taken_back_when_the_stage_comes_again() {
    let more = "stream extra = from ticks |> aggregate count() as c, min(value) as first running ttl 1d named extra\n\
                from extra |> where op == \"+\" |> select first, c |> into console { format: csv }\n";
    let running = Running::start(&(totals("", "", "") + more), &[]);
    let decide = |answer: &str| {
        running.until_said(&format!("answer {}", answer.replace("keep", "keep|reset")), 1);
        assert_eq!(millstream_in(running.folder.path(), &["decide", "p.stream", answer], "").code, 0);
    };
    running.save(&totals("", "", ""));
    decide("extra=reset");
    running.until_applied(1);
    let before = running.out().lines().filter(|line| line.starts_with("0,")).count();
    running.save(&(totals("", "", "") + more));
    running.until_said("was put aside: `keep` takes it back", 1);
    decide("extra=keep");
    running.until_applied(2);
    // The first value it ever saw is still known.
    let firsts = || running.out().lines().filter(|line| line.starts_with("0,")).count();
    running.until("its totals go on", || firsts() > before + 2);
    running.end();
}

#[test]
fn what_a_file_sink_holds_back_is_published_once_when_the_sink_changes() {
    let text = |roll: &str, columns: &str| {
        format!(
            "pipeline p {{ every: 50ms }}\nsource ticks = generate() {{ rows_per_second: 1000 }}\n\
             from ticks |> select value{columns} |> into files(\"out\") {{ format: json, roll: {roll} }}\n\
             from ticks |> select value |> into console {{ format: csv }}\n"
        )
    };
    let running = Running::start(&text("1h", ""), &[]);
    for (n, (roll, columns)) in [("2h", ""), ("2h", ", value * 2 as twice"), ("3h", "")].into_iter().enumerate() {
        running.save(&text(roll, columns));
        running.until_applied(n + 1);
    }
    let out = running.folder.path().join("out");
    let folder = &running.folder;
    assert!(folder.path().exists());
    running.signal("-INT");
    running.until("the end", || running.said().contains(" rows in, "));
    let mut values: Vec<u64> = Vec::new();
    for path in published(&out) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            values.push(row["value"].as_u64().unwrap());
        }
    }
    values.sort_unstable();
    assert!(values.len() > 300, "{} rows; {}", values.len(), running.said());
    assert!(values.iter().enumerate().all(|(i, value)| i as u64 == *value), "{}", running.said());
}

/// The files that readers see, in folders of any depth.
fn published(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() { found.extend(published(&path)) } else { found.push(path) }
    }
    found
}
