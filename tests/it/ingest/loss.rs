//! How much of what was pushed a crash loses: the time between the first line that is lost and the kill.
//!
//! Long: `LOSSES=100 cargo test --release --test it ingest::loss -- --nocapture`.
#![expect(clippy::print_stdout, reason = "what was measured is told to whoever runs it by hand")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, end, free_address, lines, start};

/// Far more than it is, for machines that do much else.
const MOST: Duration = Duration::from_secs(2);

#[test]
fn a_crash_loses_what_came_in_its_last_moment_and_no_more() {
    let kills: u64 = std::env::var("LOSSES").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut rng = fastrand::Rng::with_seed(7);
    let folder = TempDir::new().unwrap();
    let address = free_address();
    let text = format!(
        "pipeline p {{ every: 50ms, checkpoint: \"state\" }}\nsource lines = listen(\"{address}\")\n\
         from lines |> into files(\"out\") {{ format: text }}\n"
    );
    fs::write(folder.path().join("p.stream"), text).unwrap();
    let mut lost = Vec::new();
    for life in 0..kills {
        let mut child = start(folder.path());
        let started = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(&address) {
                Ok(stream) => break stream,
                Err(_) => assert!(started.elapsed() < PATIENCE),
            }
            thread::sleep(Duration::from_millis(2));
        };
        let sends = thread::spawn(move || {
            let mut sent: Vec<Instant> = Vec::new();
            while stream.write_all(format!("{life}:{}\n", sent.len()).as_bytes()).is_ok() {
                sent.push(Instant::now());
                thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        thread::sleep(Duration::from_millis(rng.u64(400..900)));
        let killed = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        lost.push((killed, sends.join().unwrap()));
    }
    let child = start(folder.path());
    thread::sleep(Duration::from_secs(1));
    end(child);
    let there = lines(&folder.path().join("out"));
    let mut longest = Vec::new();
    for (life, (killed, sent)) in lost.iter().enumerate() {
        let front = format!("{life}:");
        let had = there.iter().filter(|line| line.starts_with(&front)).count();
        // The end of the last line may be missing.
        let first_lost = had.saturating_sub(1);
        assert!(had > 50, "too little came of life {life}: {had} lines");
        let time = sent.get(first_lost).map_or(Duration::ZERO, |sent| killed.saturating_duration_since(*sent));
        longest.push(time);
        assert!(time < MOST, "life {life} lost {time:?}");
    }
    longest.sort();
    println!(
        "{kills} kills lost {:?} at the median, {:?} at most",
        longest[longest.len() / 2],
        longest[longest.len() - 1]
    );
}
