//! Folders of very many files, and what waiting costs. Run by hand: `cargo test --release --lib many -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

fn files(folder: &Path, count: usize) {
    for n in 0..count {
        fs::write(folder.join(format!("{n:07}.txt")), format!("{n}\n")).unwrap();
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn note(what: &str) {
    std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "a measurement that takes long"]
fn a_hundred_thousand_files() {
    const COUNT: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    files(folder.path(), COUNT);
    let mut source = text(folder.path(), &[path("*.txt")]);
    let mut known = Positions::new();
    let far = now() + 3_600_000_000;
    let at = |n: i64| Limits { now: far + n * 2_000_000, drain: false, ..limits(usize::MAX) };
    let started = Instant::now();
    let first = source.discover(&known, &at(0)).unwrap().len();
    note(&format!("first look at {COUNT} files: {:?} ({first} handed out)", started.elapsed()));
    let (started, mut rows, mut batches) = (Instant::now(), 0, 0);
    while rows < COUNT {
        batches += 1;
        rows += batch(&mut *source, &mut known, at(batches)).0.len();
    }
    note(&format!("all read in {batches} batches: {:?}", started.elapsed()));
    let started = Instant::now();
    for n in 0..100 {
        assert!(source.discover(&known, &at(batches + n)).unwrap().is_empty());
    }
    note(&format!("a look when nothing changed: {:?}", started.elapsed() / 100));
    fs::write(folder.path().join("new.txt"), "x\n").unwrap();
    let started = Instant::now();
    assert_eq!(batch(&mut *source, &mut known, at(batches + 200)).0, ["x"]);
    note(&format!("a look when a file came: {:?}", started.elapsed()));
    let bytes: usize = known.iter().map(|(split, place)| split.id.len() + place.0.len()).sum();
    note(&format!("places: {} bytes a file", bytes / known.len()));
    let started = Instant::now();
    let mut restarted = text(folder.path(), &[path("*.txt")]);
    assert!(restarted.discover(&known, &at(batches + 300)).unwrap().is_empty());
    note(&format!("the first look after a restart: {:?}", started.elapsed()));
}

#[test]
#[ignore = "a measurement that takes long"]
fn waiting_for_a_thousand_files() {
    for tail in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), 1_000);
        let mut source = text(folder.path(), &[path("*.txt"), ("tail", OptionValue::Bool(tail))]);
        let bell = Bell::default();
        source.ring(&bell);
        let mut known = Positions::new();
        batch(&mut *source, &mut known, Limits { drain: false, now: now(), ..limits(usize::MAX) });
        std::thread::sleep(Duration::from_secs(4));
        let before = cpu();
        for _ in 0..20 {
            bell.wait(Duration::from_secs(1));
            batch(&mut *source, &mut known, Limits { drain: false, now: now(), ..limits(usize::MAX) });
        }
        note(&format!("tail {tail}: {:?} of 20 s", cpu() - before));
    }
}
