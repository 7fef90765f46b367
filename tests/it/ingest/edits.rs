//! Texts that are saved while their sources have logs: rows are there once whatever is edited, and logs go with their sources.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, end, free_address, lines, send, there_once};
use crate::program::command;

struct Running {
    folder: TempDir,
    child: Option<Child>,
}

impl Running {
    fn start(text: &str) -> Self {
        let mut running = Running { folder: TempDir::new().unwrap(), child: None };
        running.save(text);
        running.go_on();
        running
    }

    fn go_on(&mut self) {
        let said = fs::File::options().create(true).append(true).open(self.path("said")).unwrap();
        let mut command = command(self.folder.path(), &["run", "p.stream"]);
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap());
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, text: &str) {
        fs::write(self.path("p.stream"), text).unwrap();
    }

    fn said(&self) -> String {
        let all = fs::read_to_string(self.path("said")).unwrap_or_default();
        all.lines().filter(|line| !line.contains("INFO batch")).fold(String::new(), |said, line| said + line + "\n")
    }

    fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !so() {
            let said = || self.said();
            assert!(
                started.elapsed() < PATIENCE,
                "{what} did not come to be; {:?}; said:\n{}",
                self.out("out"),
                said()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Saves a text, and waits until it runs.
    fn edit(&self, text: &str) {
        let applied = || self.said().matches("the new text runs from batch").count();
        let before = applied();
        self.save(text);
        self.until("the edit", || applied() > before);
    }

    fn out(&self, name: &str) -> Vec<String> {
        lines(&self.path(name))
    }

    fn end(mut self) {
        end(self.child.take().unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `end` there is nothing left to end.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }
}

/// Logs that are there.
fn logs(folder: &Path) -> Vec<String> {
    let folders = fs::read_dir(folder.join("state/ingest")).into_iter().flatten().flatten();
    let logs = folders.filter(|log| log.path().join("about").exists());
    let mut names: Vec<String> = logs.map(|log| log.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn connect(running: &Running, address: &str) -> TcpStream {
    let mut stream = None;
    running.until("a connection", || {
        stream = TcpStream::connect(address).ok();
        stream.is_some()
    });
    stream.unwrap()
}

#[test]
fn edits_and_kills_lose_and_repeat_no_line_behind_the_last_crash() {
    let address = free_address();
    let text = |n: usize| {
        let (every, rows) = (20 + 10 * (n % 3), 100 + 50 * (n % 4));
        let filter = ["", " |> where line != \"\"", " |> where line != \"x\" and line != \"y\""][n % 3];
        format!(
            "pipeline p {{ every: {every}ms, checkpoint: \"state\" }}\n\
             source rows = listen(\"{address}\") {{ max_rows: {rows} }}\n\
             from rows{filter} |> into files(\"out\") {{ format: text }}\n"
        )
    };
    let mut running = Running::start(&text(0));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|client| {
            let (address, over) = (address.clone(), Arc::clone(&over));
            thread::spawn(move || send(client, &address, &over))
        })
        .collect();
    let mut edits = 0;
    for life in 0..3 {
        for _ in 0..6 {
            edits += 1;
            // Some are applied, some are overtaken by the next, some are not read before it is killed.
            running.save(&text(edits));
            thread::sleep(Duration::from_millis(if life == 1 { 130 } else { 260 }));
        }
        running.kill();
        running.go_on();
    }
    thread::sleep(Duration::from_millis(700));
    running.edit(&text(edits + 1));
    thread::sleep(Duration::from_millis(500));
    over.store(true, Ordering::Relaxed);
    let sent: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    thread::sleep(Duration::from_secs(1));
    assert!(running.said().matches("the new text runs from batch").count() > 4, "{}", running.said());
    let out = running.path("out");
    end(running.child.take().unwrap());
    there_once(&lines(&out), &sent, 3);
}

#[test]
fn a_source_that_is_removed_takes_its_log_with_it_and_begins_another_when_it_comes_again() {
    let (one, other) = (free_address(), free_address());
    let text = |sources: &[(&str, &str)]| {
        let mut text = "pipeline p { every: 20ms, checkpoint: \"state\" }\n".to_owned();
        for (name, address) in sources {
            let _ = writeln!(text, "source {name} = listen(\"{address}\")");
            let _ = writeln!(text, "from {name} |> into files(\"out-{name}\") {{ format: text }}");
        }
        text
    };
    let both = text(&[("a", &one), ("b", &other)]);
    let mut running = Running::start(&both);
    let mut a = connect(&running, &one);
    let mut b = connect(&running, &other);
    a.write_all(b"a1\n").unwrap();
    b.write_all(b"b1\n").unwrap();
    running.until("rows", || running.out("out-a").len() + running.out("out-b").len() == 2);
    assert_eq!(logs(running.folder.path()), ["1", "2"]);
    running.edit(&text(&[("a", &one)]));
    running.until("the log of b is gone", || logs(running.folder.path()) == ["1"]);
    a.write_all(b"a2\n").unwrap();
    running.until("a goes on", || running.out("out-a").len() == 2);
    running.edit(&both);
    running.until("another log of b", || logs(running.folder.path()) == ["1", "3"]);
    let mut b = connect(&running, &other);
    b.write_all(b"b2\n").unwrap();
    running.until("b goes on", || running.out("out-b").len() == 2);
    // The same where it is edited between two runs.
    running.kill();
    running.save(&text(&[("b", &other)]));
    running.go_on();
    running.until("the log of a is gone", || logs(running.folder.path()) == ["3"]);
    let mut b = connect(&running, &other);
    b.write_all(b"b3\n").unwrap();
    running.until("b goes on", || running.out("out-b").len() == 3);
    assert_eq!((running.out("out-a"), running.out("out-b")), (strings(&["a1", "a2"]), strings(&["b1", "b2", "b3"])));
    let verified = crate::program::millstream_in(running.folder.path(), &["checkpoint", "verify", "state"], "");
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    running.end();
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A text in which the source is opened anew whenever `longest` is another one, with another sink.
fn opened_anew(address: &str, longest: &str, rest: &str) -> String {
    format!(
        "pipeline p {{ every: 20ms, checkpoint: \"state\", on_change: reset }}\n\
         source rows = listen(\"{address}\") {{ max_record: {longest} }}\n\
         from rows |> into files(\"out\") {{ format: text }}\n{rest}"
    )
}

#[test]
fn a_source_that_is_opened_anew_has_a_log_of_its_own_also_where_a_new_sink_has_to_prove_itself() {
    let address = free_address();
    let running = Running::start(&opened_anew(&address, "1mb", ""));
    let send = |rows: &str, count: usize| {
        let mut stream = connect(&running, &address);
        stream.write_all(rows.as_bytes()).unwrap();
        running.until("rows", || running.out("out").len() == count);
    };
    send("a1\na2\n", 2);
    running.edit(&opened_anew(&address, "2mb", ""));
    running.until("another log", || logs(running.folder.path()) == ["2"]);
    send("b1\n", 3);
    // It is only seen with the first rows that the new sink has whether it stays.
    let second = "from rows |> into files(\"also\") { format: text }\n";
    running.save(&opened_anew(&address, "3mb", second));
    running.until("another log", || logs(running.folder.path()).last().is_some_and(|last| last == "3"));
    send("c1\n", 4);
    running.until("the old log is gone", || logs(running.folder.path()) == ["3"]);
    assert_eq!((running.out("out"), running.out("also")), (strings(&["a1", "a2", "b1", "c1"]), strings(&["c1"])));
    running.end();
}

#[test]
fn a_text_that_is_taken_back_gives_the_source_its_log_back() {
    let address = free_address();
    let text = opened_anew(&address, "1mb", "").replace("20ms", "200ms");
    let mut running = Running::start(&text);
    let mut stream = connect(&running, &address);
    // Rows in every batch: in one without rows a sink has nothing to fail at.
    let sends = thread::spawn(move || {
        let mut number = 0;
        while stream.write_all(format!("{number}\n").as_bytes()).is_ok() {
            number += 1;
            thread::sleep(Duration::from_millis(2));
        }
        number
    });
    running.until("rows", || running.out("out").len() > 20);
    running.save(&(text.clone() + "from rows |> into exec(\"false\")\n"));
    running.until("it is taken back", || running.said().contains("the old one goes on"));
    let before = running.out("out").len();
    running.until("rows", || running.out("out").len() > before + 100);
    running.kill();
    let sent = sends.join().unwrap();
    running.save(&text);
    running.go_on();
    connect(&running, &address).write_all(b"last\n").unwrap();
    running.until("the last row", || running.out("out").last().is_some_and(|last| last == "last"));
    let mut out = running.out("out");
    out.pop();
    assert!(out.len() > before && out.len() <= sent + 1, "{} rows of {sent}", out.len());
    assert!(out.iter().enumerate().all(|(n, line)| line == &n.to_string() || n + 1 == out.len()), "{out:?}");
    assert_eq!(logs(running.folder.path()), ["1"]);
    running.end();
}
