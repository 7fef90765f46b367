//! A checkpoint that somebody has changed is refused, or what is read of it is sound: looking and opening agree, every
//! record can be read, and opening it once more finds the same.
//!
//! The input is a list of edits of a checkpoint that the journal itself wrote, so that it needs no corpus to get far;
//! after them sums may be put right, so that what the bytes say is tried and not only that they are checked. The
//! journal is compiled from its source, without the rest of Millstream.
#![no_main]

#[path = "../../src"]
mod source {
    #[expect(dead_code, unused_imports, reason = "the target uses a part of it")]
    pub mod journal;
}
#[expect(dead_code, reason = "the target uses a part of it")]
#[path = "../../src/journal/simulated.rs"]
mod simulated;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crc32c::{crc32c, crc32c_append};
use libfuzzer_sys::fuzz_target;
use simulated::SimulatedDisk;
use source::journal;

use journal::{About, Journal, Trouble, Tuning};

const FOLDER: &str = "/checkpoint";

type Files = Vec<(PathBuf, Vec<u8>)>;

static GENUINE: LazyLock<Files> = LazyLock::new(|| {
    let disk = SimulatedDisk::new(1);
    let mut journal = open(&disk).expect("an empty disk can be written");
    for n in 0..12u8 {
        let sequence = journal.append(n, &[b"payload", &[n; 9]]).expect("it is short");
        if n % 3 == 0 {
            journal.trim(sequence.min(5)).expect("nothing fails");
            journal.sync().expect("nothing fails");
        }
    }
    journal.sync().expect("nothing fails");
    journal.snapshots().write(4, &mut |to| to.write_all(b"snapshot")).expect("nothing fails");
    disk.files()
});

fn open(disk: &SimulatedDisk) -> Result<Journal, Trouble> {
    let about = About { pipeline: "orders".into() };
    Journal::open(disk.arc(), Path::new(FOLDER), &about, Tuning { segment_bytes: 200 })
}

fuzz_target!(|edits: &[u8]| {
    let mut files = GENUINE.clone();
    let mut edits = edits;
    while let Some((what, rest)) = edits.split_first() {
        edits = edit(&mut files, *what, rest);
    }
    let disk = SimulatedDisk::new(2);
    disk.put(&Path::new(FOLDER).join("snapshots/other"), b"");
    disk.put(&Path::new(FOLDER).join("journal/other"), b"");
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes));

    let looked = Journal::look(disk.arc(), Path::new(FOLDER)).map(|reader| {
        let read = |entry| reader.read(entry).expect("what was checked can be read");
        reader.entries().iter().map(read).collect::<Vec<_>>()
    });
    let (Ok(journal), Ok(looked)) = (open(&disk), looked) else { return };
    let first = check(&journal);
    assert_eq!(first, looked);
    drop(journal);
    disk.crash(3);
    let mut journal = open(&disk).expect("what was mended can be opened");
    assert_eq!(check(&journal), first);
    if journal.append(1, &[b"more"]).is_ok() {
        journal.close().expect("nothing fails");
        assert_eq!(check(&open(&disk).expect("it was closed")).len(), first.len() + 1);
    }
});

fn check(journal: &Journal) -> Vec<Vec<u8>> {
    let snapshots = journal.snapshots();
    for number in snapshots.list().expect("nothing fails") {
        if let Ok(mut reader) = snapshots.read(number) {
            let mut piece = [0; 4096];
            while matches!(reader.read(&mut piece), Ok(1..)) {}
        }
    }
    let read = |entry| journal.read(entry).expect("what was checked can be read");
    journal.entries().iter().map(read).collect()
}

/// Makes one edit and gives the rest of the input.
fn edit<'a>(files: &mut Files, what: u8, rest: &'a [u8]) -> &'a [u8] {
    let Some((head, rest)) = rest.split_at_checked(4) else { return &[] };
    if files.is_empty() {
        return &[];
    }
    let at = usize::from(head[0]) % files.len();
    let place = usize::from(u16::from_le_bytes([head[1], head[2]])) % (files[at].1.len() + 1);
    let (count, mut rest) = (usize::from(head[3]), rest);
    let bytes = &mut files[at].1;
    match what % 9 {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, head[3]),
        2 if place < bytes.len() => bytes[place] = head[3],
        3 => {
            let (new, behind) = rest.split_at(count.min(rest.len()));
            let end = (place + new.len()).min(bytes.len());
            bytes.splice(place..end, new.iter().copied());
            rest = behind;
        }
        4 => {
            let from = place.min(bytes.len());
            let copy = bytes[from..(from + count).min(bytes.len())].to_vec();
            bytes.extend(copy);
        }
        5 => drop(files.remove(at)),
        6 => {
            let other = files[count % files.len()].1.clone();
            files[at].1 = other;
        }
        7 => files[at].0.set_file_name(format!("{count:020}.log")),
        _ => put_right(bytes),
    }
    rest
}

/// Puts the sums of a file right, as far as its lengths make sense.
fn put_right(bytes: &mut [u8]) {
    let put = |bytes: &mut [u8], at: usize, sum: u32| bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    if bytes.starts_with(b"MSSNAPSH") && bytes.len() >= 48 {
        let mut sum = crc32c(&bytes[..44]);
        put(bytes, 44, sum);
        let mut at = 48;
        while at + 8 <= bytes.len() {
            let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
            let end = at.saturating_add(8).saturating_add(if length == 0 { 8 } else { length });
            let Some(data) = bytes.get(at + 8..end) else { return };
            sum = crc32c_append(crc32c_append(sum, &bytes[at..at + 4]), data);
            put(bytes, at + 4, sum);
            at = end;
        }
    } else if bytes.len() >= 64 {
        let sum = crc32c(&bytes[..60]);
        put(bytes, 60, sum);
        let seed = crc32c(&bytes[32..48]);
        let mut previous = u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]);
        let mut at = 64;
        while at + 44 <= bytes.len() {
            let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
            let Some(data) = bytes.get(at + 44..(at + 44).saturating_add(length)) else { return };
            let sum = crc32c_append(seed, data);
            put(bytes, at + 36, sum);
            put(bytes, at + 32, previous);
            previous = crc32c_append(seed, &bytes[at..at + 40]);
            put(bytes, at + 40, previous);
            at += 44 + length;
        }
    } else if let Some(at) = bytes.windows(4).rposition(|four| four == b"sum ") {
        let sum = format!("sum {:08x}\n", crc32c(&bytes[..at]));
        let end = bytes.len().min(at + sum.len());
        let count = end - at;
        bytes[at..end].copy_from_slice(&sum.as_bytes()[..count]);
    }
}
