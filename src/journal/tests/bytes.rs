//! Every truncation and every flipped bit of every file of a small checkpoint is refused, with the file and the place,
//! or recovered as a tail that was torn; and that only in the records of the last sync.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::journal::format::{Head, Record, seed};
use crate::journal::simulated::SimulatedDisk;
use crate::journal::{About, Journal, Reader, Trouble, Tuning, VERSION, as_trouble};

const FOLDER: &str = "/checkpoint";

type Files = Vec<(PathBuf, Vec<u8>)>;

fn open(disk: &SimulatedDisk) -> Result<Journal, Trouble> {
    let about = About { pipeline: "orders".into() };
    Journal::open(disk.arc(), Path::new(FOLDER), &about, Tuning { segment_bytes: 400 })
}

fn disk(files: &Files) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    disk.put(Path::new("/checkpoint/snapshots/x"), b"");
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
    disk
}

/// A checkpoint of several segments, trimmed once, whose last sync made three records durable.
fn checkpoint(closed: bool) -> (Files, Vec<String>) {
    let disk = SimulatedDisk::new(7);
    let mut journal = open(&disk).unwrap();
    let mut number = 0;
    let mut add = |journal: &mut Journal| {
        number += 1;
        journal.append(3, &[b"record number ", number.to_string().as_bytes()]).unwrap()
    };
    for _ in 0..10 {
        add(&mut journal);
        let sequence = add(&mut journal);
        journal.sync().unwrap();
        journal.trim(sequence.min(8)).unwrap();
    }
    journal.sync().unwrap();
    for _ in 0..3 {
        add(&mut journal);
    }
    journal.sync().unwrap();
    journal.snapshots().write(5, &mut |to| to.write_all(b"a snapshot")).unwrap();
    let kept = payloads(&journal);
    if closed {
        journal.close().unwrap();
    }
    let files: Files = disk.files().into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
    let segments = files.iter().filter(|(path, _)| path.to_string_lossy().contains(".log")).count();
    assert!(segments >= 3 && kept.len() > 8, "{segments} {kept:?}");
    (files, kept)
}

fn payloads(journal: &Journal) -> Vec<String> {
    journal.entries().iter().map(|entry| String::from_utf8(journal.read(entry).unwrap()).unwrap()).collect()
}

fn seen(reader: &Reader) -> Vec<String> {
    reader.entries().iter().map(|entry| String::from_utf8(reader.read(entry).unwrap()).unwrap()).collect()
}

/// Where the records of the last segment end; zeros may be behind them.
fn end(files: &Files) -> usize {
    let reader = Reader::open(disk(files).arc(), Path::new(FOLDER)).unwrap();
    reader.chain.segments.last().unwrap().length as usize
}

/// Opens a checkpoint of which one file has other bytes, and gives what is found of the records and the snapshot.
fn recovered(files: &Files, at: usize, bytes: &[u8]) -> Result<Vec<String>, Trouble> {
    let path = &files[at].0;
    let disk = disk(files);
    disk.put(path, bytes);
    // Not `Journal::look`, which tries again.
    let looked = Reader::open(disk.arc(), Path::new(FOLDER)).map(|reader| seen(&reader));
    let opened = open(&disk);
    let snapshot = |journal: &Journal| {
        let mut read = String::new();
        journal.snapshots().read(5)?.read_to_string(&mut read).map_err(|error| as_trouble(path, error))?;
        assert_eq!(read, "a snapshot");
        Ok(())
    };
    let found = opened.and_then(|journal| snapshot(&journal).map(|()| payloads(&journal)));
    match (&looked, &found) {
        (Ok(looked), Ok(found)) => assert_eq!(looked, found),
        (Err(looked), Err(found)) => assert_eq!(looked.to_string(), found.to_string()),
        // Only a snapshot is not read by who looks.
        (Ok(_), Err(trouble)) => assert!(trouble.to_string().contains("/snapshots/"), "{trouble}"),
        (Err(trouble), Ok(_)) => panic!("{trouble}"),
    }
    found
}

fn is_place(trouble: &Trouble, path: &Path, length: usize) -> bool {
    match trouble {
        Trouble::Damaged { file, offset, why } => {
            // A segment that has become too short is missed where its successor begins, and a lost tail at its end.
            let missing = offset.is_none() && why.contains("missing");
            missing || file == path && offset.is_some_and(|offset| offset <= length as u64)
        }
        _ => false,
    }
}

#[test]
fn every_truncation_is_refused_or_a_torn_tail() {
    for closed in [false, true] {
        let (files, all) = checkpoint(closed);
        let end = end(&files);
        let last = files.iter().rposition(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
        let mut torn = 0;
        for (at, (path, bytes)) in files.iter().enumerate() {
            for length in 0..bytes.len() {
                match recovered(&files, at, &bytes[..length]) {
                    Ok(found) => {
                        assert!(at == last && !closed, "{path:?} cut to {length}");
                        assert!(all.starts_with(&found) && (found.len() < all.len() || length >= end));
                        torn += 1;
                    }
                    Err(trouble) => assert!(is_place(&trouble, path, length), "{path:?} cut to {length}: {trouble}"),
                }
            }
            let missing = files.iter().filter(|(other, _)| other != path).cloned().collect();
            match open(&disk(&missing)).map(|journal| payloads(&journal)) {
                Ok(found) if at == last => assert!(all.starts_with(&found) && !closed),
                Ok(found) => assert!(found == all && path.to_string_lossy().contains("/snapshots/"), "{path:?}"),
                Err(trouble) => assert!(matches!(trouble, Trouble::Damaged { .. }), "{trouble}"),
            }
        }
        assert_eq!(torn > 100, !closed);
    }
}

#[test]
fn every_flipped_bit_is_refused_or_a_torn_tail_of_the_last_sync() {
    for closed in [false, true] {
        let (files, all) = checkpoint(closed);
        let end = end(&files);
        let last = files.iter().rposition(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
        let mut torn = 0;
        for (at, (path, good)) in files.iter().enumerate() {
            for bit in 0..good.len() * 8 {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                match recovered(&files, at, &bytes) {
                    Ok(found) => {
                        assert!(at == last && !closed, "{path:?} bit {bit}");
                        assert!(all.starts_with(&found));
                        let lost = all.len() - found.len();
                        assert!(
                            (1..=3).contains(&lost) || bit / 8 >= end && lost == 0,
                            "{path:?} bit {bit}: {found:?}"
                        );
                        torn += 1;
                    }
                    Err(trouble) => {
                        assert!(is_place(&trouble, path, good.len()), "{path:?} bit {bit}: {trouble}");
                        let Trouble::Damaged { offset: Some(offset), .. } = trouble else { continue };
                        assert!(offset <= bit as u64 / 8, "{path:?} bit {bit}: byte {offset}");
                    }
                }
            }
        }
        assert_eq!(torn > 100, !closed);
    }
}

#[test]
fn segments_and_records_that_were_exchanged_are_refused() {
    let (files, _) = checkpoint(false);
    let logs: Vec<usize> = (0..files.len()).filter(|at| files[*at].0.to_string_lossy().contains(".log")).collect();
    for a in &logs {
        for b in &logs {
            if a != b {
                assert!(matches!(recovered(&files, *a, &files[*b].1), Err(Trouble::Damaged { .. })));
            }
        }
    }
    // The same records under the sums of another checkpoint.
    let other = SimulatedDisk::new(8);
    let mut journal = open(&other).unwrap();
    journal.append(3, &[b"other"]).unwrap();
    journal.sync().unwrap();
    let others = other.files();
    let (path, bytes) = others.iter().find(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
    let mut mixed: Files = others.iter().filter(|(path, _)| path.ends_with("about")).cloned().collect();
    mixed[0].1.clone_from(&files.iter().find(|(path, _)| path.ends_with("about")).unwrap().1);
    mixed.push((path.clone(), bytes.clone()));
    let trouble = open(&disk(&mixed)).unwrap_err();
    assert!(trouble.to_string().contains("of another checkpoint"), "{trouble}");
}

/// Found by a simulated crash: names and cuts become durable in any order.
#[test]
fn what_is_left_of_trimmed_segments_is_not_looked_at() {
    let disk = SimulatedDisk::new(1);
    let mut journal = open(&disk).unwrap();
    let mut sequence = 0;
    for n in 0..30 {
        sequence = journal.append(3, &[format!("row {n}").as_bytes()]).unwrap();
        journal.sync().unwrap();
    }
    let before = disk.files();
    journal.trim(sequence).unwrap();
    // One is removed after each.
    (0..30).for_each(|_| journal.sync().unwrap());
    let (kept, gone) = (disk.files(), |path: &Path| !disk.files().iter().any(|(other, _)| other == path));
    let trimmed: Files = before.into_iter().filter(|(path, _)| gone(path)).collect();
    assert!(trimmed.len() > 3);
    let all = payloads(&journal);
    for left in 0..1 << trimmed.len() {
        for bad in [0, 40, 70, 1000] {
            let disk = self::disk(&kept);
            for (at, (path, bytes)) in trimmed.iter().enumerate().filter(|(at, _)| left & (1 << at) != 0) {
                let mut bytes = bytes.clone();
                match bytes.get_mut(bad + at) {
                    Some(byte) => *byte ^= 1,
                    None => bytes.push(0),
                }
                disk.put(path, &bytes);
            }
            assert_eq!(payloads(&open(&disk).unwrap()), all);
            assert!(trimmed.iter().all(|(path, _)| !disk.files().iter().any(|(other, _)| other == path)));
        }
    }
}

#[test]
fn files_of_a_later_version_are_named_as_such() {
    let (files, _) = checkpoint(false);
    let later = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once("version 1\n"));
        if let Some((before, behind)) = text {
            let text = format!("{before}version 2\n{}", behind.rsplit_once("sum").unwrap().0);
            return format!("{text}sum {:08x}\n", crc32c::crc32c(text.as_bytes())).into_bytes();
        }
        let mut bytes = bytes.to_vec();
        let end = if bytes.starts_with(b"MSJOURNL") { 60 } else { 44 };
        bytes[8] = VERSION as u8 + 1;
        let sum = crc32c::crc32c(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    for (at, (path, bytes)) in files.iter().enumerate() {
        let trouble = recovered(&files, at, &later(bytes)).unwrap_err();
        assert!(matches!(&trouble, Trouble::Newer { file, version: 2 } if file == path), "{trouble}");
    }
}

#[test]
fn lengths_that_lie_are_held_against_the_file() {
    let (files, all) = checkpoint(false);
    let last = files.iter().rposition(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
    let (path, good) = &files[last];
    let head = Head::read(good).unwrap();
    let journal = open(&disk(&files)).unwrap();
    // A whole head whose payload is not there, as the first record behind the last.
    for length in [1, 1 << 20, 16 << 20, u32::MAX] {
        let (epoch, sequence) = (head.epoch + 9, journal.next());
        let mut lie = Record { length, kind: 1, epoch, sequence, durable: 1, previous: 0, payload: 0, sum: 0 };
        let bytes = [&good[..], &lie.bytes(seed(&head.id))].concat();
        assert_eq!(recovered(&files, last, &bytes).unwrap(), all);
        lie.durable = sequence + 1;
        let bytes = [&good[..], &lie.bytes(seed(&head.id))].concat();
        assert_eq!(recovered(&files, last, &bytes).unwrap(), all, "{path:?}");
    }
}

#[test]
fn a_record_goes_on_from_the_one_before_it_and_from_no_other_in_its_place() {
    let write = |rows: [&str; 2]| {
        let disk = SimulatedDisk::new(1);
        let mut journal = open(&disk).unwrap();
        rows.iter().for_each(|row| drop(journal.append(3, &[row.as_bytes()])));
        journal.write().unwrap();
        disk.files()
    };
    let (mut files, others) = (write(["aaaa", "bbbb"]), write(["cccc", "dddd"]));
    let at = files.iter().position(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
    let second = 64 + 48..64 + 2 * 48;
    files[at].1[second.clone()].copy_from_slice(&others[at].1[second]);
    assert_eq!(payloads(&open(&disk(&files)).unwrap()), ["aaaa"]);
}

/// Zeros behind the last record, however many, were written ahead or are what a crash left of a longer file.
#[test]
fn zeros_and_noise_behind_the_last_record_are_a_torn_tail() {
    let (files, all) = checkpoint(false);
    let last = files.iter().rposition(|(path, _)| path.to_string_lossy().contains(".log")).unwrap();
    for tail in [vec![0; 1], vec![0; 5000], vec![0xff; 5000], files[last].1.clone()] {
        assert_eq!(recovered(&files, last, &[&files[last].1[..], &tail].concat()).unwrap(), all);
    }
}
