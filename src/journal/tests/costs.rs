//! What a commit costs: `cargo test --release --lib journal::tests::costs -- --ignored --nocapture`. `JOURNAL_FOLDER`
//! names the disk that is measured.
#![expect(clippy::print_stdout, reason = "what was found is told to whoever runs it by hand")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, fdatasync};
use tempfile::TempDir;

use crate::journal::tests::about;
use crate::journal::{Journal, RealDisk, Tuning};

const ROUNDS: usize = 300;
/// So much is written ahead at a time, in the way that pays for it as it goes.
const PIECE: usize = 1 << 20;
/// What is written ahead: as much as all rounds take.
const AHEAD: u64 = 32 << 20;

fn folder(home: Option<&str>) -> TempDir {
    let home = home.map(PathBuf::from).or_else(|| std::env::var_os("JOURNAL_FOLDER").map(PathBuf::from));
    TempDir::new_in(home.unwrap_or_else(std::env::temp_dir)).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn file(folder: &Path, name: &str) -> File {
    OpenOptions::new().create_new(true).write(true).read(true).open(folder.join(name)).unwrap()
}

fn journal_in(folder: &Path) -> Journal {
    Journal::open(Arc::new(RealDisk), folder, &about(), Tuning::default()).unwrap()
}

#[test]
#[ignore = "it measures"]
fn a_batch_costs_little_more_than_one_fdatasync() {
    for size in [1 << 10, 64 << 10] {
        let home = folder(None);
        let zeros = file(home.path(), "zeros");
        zeros.write_all_at(&vec![0; AHEAD as usize], 0).unwrap();
        let reserved = file(home.path(), "reserved");
        fallocate(&reserved, FallocateFlags::empty(), 0, AHEAD).unwrap();
        let files = [("growing", file(home.path(), "growing")), ("zeros ahead", zeros), ("fallocate", reserved)];
        files.iter().for_each(|(_, file)| fdatasync(file).unwrap());
        let ahead = file(home.path(), "ahead");
        let mut journal = journal_in(&home.path().join("checkpoint"));
        let (payload, mut times) = (vec![7; size], vec![Vec::new(); files.len() + 2]);
        // One after the other, so that a busy disk is the same for all.
        for round in 0..ROUNDS {
            for (at, (_, file)) in files.iter().enumerate() {
                let begun = Instant::now();
                file.write_all_at(&payload, (round * size) as u64).unwrap();
                fdatasync(file).unwrap();
                times[at].push(begun.elapsed());
            }
            let begun = Instant::now();
            journal.append(1, &[&payload]).unwrap();
            journal.sync().unwrap();
            times[files.len()].push(begun.elapsed());
            // With what it costs to write the zeros, a piece at a time.
            let begun = Instant::now();
            let end = ((round + 1) * size).div_ceil(PIECE) * PIECE;
            if round * size % PIECE == 0 {
                ahead.write_all_at(&vec![0; PIECE], (end - PIECE) as u64).unwrap();
            }
            ahead.write_all_at(&payload, (round * size) as u64).unwrap();
            fdatasync(&ahead).unwrap();
            times[files.len() + 1].push(begun.elapsed());
        }
        let names = files.iter().map(|(name, _)| *name).chain(["journal", "zeros by the piece"]);
        let told = |(name, times): (&str, Vec<Duration>)| {
            let mean = times.iter().sum::<Duration>() / times.len() as u32;
            format!("{name} {:?} (mean {mean:?})", median(times))
        };
        let medians: Vec<String> = names.zip(times).map(told).collect();
        println!("{size} bytes and a sync: {}", medians.join(", "));
    }
}

#[test]
#[ignore = "it measures"]
fn the_journals_own_work_is_small() {
    let home = folder(Some("/dev/shm"));
    let mut journal = journal_in(home.path());
    let payload = vec![7; 1 << 10];
    let mut times = Vec::new();
    for _ in 0..20 * ROUNDS {
        let begun = Instant::now();
        for kind in 0..5 {
            journal.append(kind, &[&payload]).unwrap();
        }
        journal.sync().unwrap();
        times.push(begun.elapsed());
    }
    println!("5 records of 1 KB and a sync where syncs cost nothing: {:?}", median(times));
}

#[test]
#[ignore = "it measures"]
fn a_hundred_megabytes_are_opened_quickly() {
    let home = folder(None);
    let mut journal = journal_in(home.path());
    let payload: Vec<u8> = (0..64 << 10).map(|n: u32| (n % 251) as u8).collect();
    for n in 0..1600 {
        journal.append(1, &[&payload]).unwrap();
        if n % 20 == 0 {
            journal.sync().unwrap();
        }
    }
    journal.sync().unwrap();
    drop(journal);
    let begun = Instant::now();
    let journal = journal_in(home.path());
    println!("{} bytes opened in {:?}", journal.bytes(), begun.elapsed());
    let begun = Instant::now();
    let read: u64 = journal.entries().iter().map(|entry| journal.read(entry).unwrap().len() as u64).sum();
    println!("{read} bytes read in {:?}", begun.elapsed());
    let snapshots = journal.snapshots();
    let mut fill = |to: &mut dyn std::io::Write| (0..1600).try_for_each(|_| to.write_all(&payload));
    let begun = Instant::now();
    let length = snapshots.write(1, &mut fill).unwrap();
    println!("a snapshot of {length} bytes written and verified in {:?}", begun.elapsed());
    let begun = Instant::now();
    std::io::copy(&mut snapshots.read(1).unwrap(), &mut std::io::sink()).unwrap();
    println!("read in {:?}", begun.elapsed());
}

#[test]
#[ignore = "it measures"]
fn a_snapshot_beside_stalls_no_batch() {
    let home = folder(None);
    let mut journal = journal_in(home.path());
    let zeros = file(home.path(), "zeros");
    zeros.write_all_at(&vec![0; AHEAD as usize], 0).unwrap();
    fdatasync(&zeros).unwrap();
    let snapshots = journal.snapshots();
    let writing = std::thread::spawn(move || {
        let payload: Vec<u8> = (0..64 << 10).map(|n: u32| (n % 251) as u8).collect();
        std::thread::sleep(Duration::from_secs(2));
        let begun = Instant::now();
        snapshots.write(1, &mut |to| (0..16 << 10).try_for_each(|_| to.write_all(&payload))).unwrap();
        begun.elapsed()
    });
    let (mut alone, mut beside) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let (begun, payload) = (Instant::now(), vec![7; 4 << 10]);
    let mut round = 0;
    while !writing.is_finished() {
        let times = if begun.elapsed() < Duration::from_secs(2) { &mut alone } else { &mut beside };
        // In turn the first, which finds the disk as the snapshot left it.
        for which in [round % 2, (round + 1) % 2] {
            let now = Instant::now();
            if which == 0 {
                journal.append(1, &[&payload]).unwrap();
                journal.sync().unwrap();
            } else {
                zeros.write_all_at(&payload, round * 4096 % AHEAD).unwrap();
                fdatasync(&zeros).unwrap();
            }
            times[which as usize].push(now.elapsed());
        }
        round += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = writing.join().unwrap();
    for (name, times) in [("alone", alone), ("beside a snapshot of 1 GB", beside)] {
        for (file, mut times) in ["journal", "zeros ahead"].into_iter().zip(times) {
            times.sort();
            let at = |share: usize| times[(times.len() - 1) * share / 100];
            println!("{name}, {file}: {:?}, 90 % {:?}, 99 % {:?}, most {:?}", at(50), at(90), at(99), at(100));
        }
    }
    println!("the snapshot took {took:?}");
}
