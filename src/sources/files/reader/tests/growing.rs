//! Files that grow, are cut short and get other names.

use std::fs::OpenOptions;

use super::*;

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

struct Follower {
    source: Box<dyn Source>,
    known: Positions,
    folder: tempfile::TempDir,
    options: Vec<(&'static str, OptionValue)>,
    now: i64,
}

impl Follower {
    fn new(pattern: &'static str, more: &[(&'static str, OptionValue)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = vec![path(pattern), ("tail", OptionValue::Bool(true))];
        options.extend(more.iter().cloned());
        let source = text(folder.path(), &options);
        Follower { source, known: Positions::new(), folder, options, now: now() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restart(&mut self) {
        self.source = text(self.folder.path(), &self.options);
    }

    fn rows(&mut self) -> Vec<String> {
        self.some(usize::MAX)
    }

    fn some(&mut self, rows: usize) -> Vec<String> {
        self.now += 2_000_000;
        let limits = Limits { now: self.now, drain: false, ..limits(rows) };
        let (lines, bad) = batch(&mut *self.source, &mut self.known, limits);
        assert_eq!(bad, []);
        lines
    }
}

#[test]
fn whole_lines_are_taken_as_they_come_and_the_last_one_when_it_is_whole() {
    let mut log = Follower::new("*.log", &[]);
    append(&log.at("a.log"), "1\n2\nhal");
    assert_eq!(log.rows(), ["1", "2"]);
    assert_eq!(log.rows(), Vec::<String>::new());
    append(&log.at("a.log"), "f\n4");
    log.restart();
    assert_eq!(log.rows(), ["half"]);
    append(&log.at("a.log"), "\n5\n6\n");
    assert_eq!(log.some(2), ["4", "5"]);
    assert_eq!(log.some(2), ["6"]);
    append(&log.at("a.log"), "last");
    assert_eq!(log.rows(), Vec::<String>::new());
    let (lines, _) = batch(&mut *log.source, &mut log.known, limits(9));
    assert_eq!(lines, ["last"], "nothing is waited for under --once");
}

#[test]
fn a_log_that_gets_another_name_is_read_to_its_end_and_the_new_one_from_its_start() {
    for pattern in ["app.log", "app.log*"] {
        let mut log = Follower::new(pattern, &[]);
        append(&log.at("app.log"), "1\n2\n");
        assert_eq!(log.rows(), ["1", "2"]);
        append(&log.at("app.log"), "3\n");
        fs::rename(log.at("app.log"), log.at("app.log.1")).unwrap();
        append(&log.at("app.log"), "4\n");
        append(&log.at("app.log.1"), "5\n");
        log.restart();
        let mut rows = log.rows();
        rows.sort();
        assert_eq!(rows, ["3", "4", "5"], "{pattern}");
        fs::rename(log.at("app.log.1"), log.at("app.log.2")).unwrap();
        fs::rename(log.at("app.log"), log.at("app.log.1")).unwrap();
        append(&log.at("app.log.1"), "6\n");
        assert_eq!(log.rows(), ["6"], "{pattern}");
        append(&log.at("app.log"), "7\n");
        fs::remove_file(log.at("app.log.2")).unwrap();
        fs::write(log.at("app.log.1.gz"), gzip(b"4\n6\n")).unwrap();
        assert_eq!(log.rows(), ["7"], "{pattern}");
        append(&log.at("app.log"), "8\n");
        log.restart();
        assert_eq!(log.rows(), ["8"], "{pattern}");
    }
}

#[test]
fn a_log_that_is_cut_short_is_read_from_its_start() {
    let mut log = Follower::new("*.log", &[]);
    append(&log.at("a.log"), "1\n2\n3\n");
    assert_eq!(log.rows(), ["1", "2", "3"]);
    fs::write(log.at("a.log"), "4\n").unwrap();
    assert_eq!(log.rows(), ["4"]);
    // Longer than it was: only its front tells.
    fs::write(log.at("a.log"), "5\n6\n7\n").unwrap();
    assert_eq!(log.rows(), ["5", "6", "7"]);
    fs::write(log.at("a.log"), "8\n9\n0\n").unwrap();
    assert_eq!(log.rows(), ["8", "9", "0"], "as long as before");
    fs::write(log.at("a.log"), "").unwrap();
    assert_eq!(log.rows(), Vec::<String>::new());
    append(&log.at("a.log"), "8\n");
    assert_eq!(log.rows(), ["8"]);
}

#[test]
fn a_folder_that_is_away_for_a_while_is_gone_on_with() {
    let mut log = Follower::new("logs/*.log", &[]);
    fs::create_dir(log.at("logs")).unwrap();
    append(&log.at("logs/a.log"), "1\n2\n");
    assert_eq!(log.rows(), ["1", "2"]);
    fs::rename(log.at("logs"), log.at("away")).unwrap();
    assert_eq!(log.rows(), Vec::<String>::new());
    fs::create_dir(log.at("logs")).unwrap();
    assert_eq!(log.rows(), Vec::<String>::new());
    fs::remove_dir(log.at("logs")).unwrap();
    append(&log.at("away/a.log"), "3\n");
    fs::rename(log.at("away"), log.at("logs")).unwrap();
    assert_eq!(log.rows(), ["3"]);
}

#[test]
fn start_latest_takes_the_lines_that_come_after_the_start() {
    let mut log = Follower::new("*.log", &[("start", symbol("latest"))]);
    append(&log.at("a.log"), "1\n2\nhal");
    assert_eq!(log.rows(), Vec::<String>::new());
    append(&log.at("a.log"), "f\n3\n");
    log.restart();
    assert_eq!(log.rows(), ["half", "3"]);
    append(&log.at("b.log"), "4\n");
    let new = OpenOptions::new().append(true).open(log.at("b.log")).unwrap();
    let time = UNIX_EPOCH + Duration::from_micros(log.now.unsigned_abs());
    new.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    assert_eq!(log.rows(), ["4"]);
}

#[test]
fn a_writer_and_a_reader_at_the_same_time_agree() {
    let mut log = Follower::new("*.log*", &[]);
    let (at, turned) = (log.at("a.log"), log.at("a.log.1"));
    let writer = std::thread::spawn(move || {
        for n in 0..3_000 {
            append(&at, &format!("{n}"));
            append(&at, "\n");
            if n % 1_000 == 700 {
                fs::rename(&at, &turned).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let mut found = Vec::new();
    let mut idle = 0;
    while idle < 3 {
        let rows = log.some(100);
        idle = if rows.is_empty() && writer.is_finished() { idle + 1 } else { 0 };
        found.extend(rows.into_iter().map(|row| row.parse::<u32>().unwrap()));
    }
    writer.join().unwrap();
    found.sort_unstable();
    // Renaming over the file before loses it only once it was read, which the pauses allow for.
    assert_eq!(found, (0..3_000).collect::<Vec<_>>());
}
