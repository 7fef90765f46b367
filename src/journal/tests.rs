//! How the journal behaves on a real disk.

mod bytes;
mod costs;
mod crashes;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::journal::simulated::SimulatedDisk;
use crate::journal::{About, Journal, MAX_PAYLOAD, Reader, RealDisk, Trouble, Tuning, as_trouble};

fn about() -> About {
    About { pipeline: "orders".into() }
}

fn open(folder: &Path) -> Result<Journal, Trouble> {
    Journal::open(Arc::new(RealDisk), folder, &about(), Tuning { segment_bytes: 300 })
}

fn look(folder: &Path) -> Result<Reader, Trouble> {
    Journal::look(Arc::new(RealDisk), folder)
}

fn payloads(journal: &Journal) -> Vec<String> {
    let text = |entry| String::from_utf8(journal.read(entry).unwrap()).unwrap();
    journal.entries().iter().map(text).collect()
}

fn seen(folder: &Path) -> Vec<String> {
    let reader = look(folder).unwrap();
    reader.entries().iter().map(|entry| String::from_utf8(reader.read(entry).unwrap()).unwrap()).collect()
}

fn fill(journal: &mut Journal, from: u32, to: u32) {
    for n in from..to {
        journal.append(7, &[b"row ", n.to_string().as_bytes()]).unwrap();
        journal.sync().unwrap();
    }
}

fn rows(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|n| format!("row {n}")).collect()
}

fn segments(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("journal")).unwrap();
    let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_synced_is_read_back_after_a_clean_and_an_unclean_end() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("a/b");
    let mut journal = open(&folder).unwrap();
    fill(&mut journal, 0, 20);
    assert!(segments(&folder).len() > 2);
    assert_eq!(payloads(&journal), rows(0, 20));
    journal.close().unwrap();

    let mut journal = open(&folder).unwrap();
    assert!(journal.is_clean());
    assert_eq!(payloads(&journal), rows(0, 20));
    fill(&mut journal, 20, 25);
    drop(journal);

    for _ in 0..3 {
        let journal = open(&folder).unwrap();
        assert!(!journal.is_clean());
        assert_eq!(payloads(&journal), rows(0, 25));
    }
    let mut journal = open(&folder).unwrap();
    fill(&mut journal, 25, 30);
    assert_eq!(payloads(&journal), rows(0, 30));
    assert_eq!(seen(&folder), rows(0, 30));
    assert_eq!(journal.bytes(), look(&folder).unwrap().bytes());
}

#[test]
fn what_was_written_outlives_the_process_and_what_was_only_appended_does_not() {
    let folder = TempDir::new().unwrap();
    let mut journal = open(folder.path()).unwrap();
    fill(&mut journal, 0, 3);
    journal.append(1, &[b"row 3"]).unwrap();
    journal.write().unwrap();
    journal.append(1, &[b"row 4"]).unwrap();
    assert_eq!(payloads(&journal), rows(0, 5));
    assert_eq!(seen(folder.path()), rows(0, 4));
    drop(journal);
    assert_eq!(payloads(&open(folder.path()).unwrap()), rows(0, 4));
}

#[test]
fn what_was_given_up_was_never_there() {
    let folder = TempDir::new().unwrap();
    let mut journal = open(folder.path()).unwrap();
    fill(&mut journal, 0, 3);
    let first = journal.append(1, &[b"no"]).unwrap();
    journal.write().unwrap();
    journal.append(1, &[b"no"]).unwrap();
    journal.give_up(first);
    assert_eq!(journal.next(), first);
    fill(&mut journal, 3, 5);
    assert_eq!(payloads(&journal), rows(0, 5));
    journal.append(1, &[b"row 5"]).unwrap();
    let second = journal.append(1, &[b"no"]).unwrap();
    journal.give_up(second);
    // What is durable stays.
    journal.give_up(1);
    journal.append(1, &[b"row 5"]).unwrap();
    journal.sync().unwrap();
    journal.give_up(1);
    drop(journal);
    assert_eq!(payloads(&open(folder.path()).unwrap()), rows(0, 6));
}

#[test]
fn segments_that_nothing_needs_are_removed_after_the_next_sync() {
    let folder = TempDir::new().unwrap();
    let mut journal = open(folder.path()).unwrap();
    fill(&mut journal, 0, 20);
    let entry = journal.entries()[10];
    let before = segments(folder.path()).len();
    journal.trim(entry.sequence).unwrap();
    assert_eq!(segments(folder.path()).len(), before);
    fill(&mut journal, 20, 22);
    assert!(segments(folder.path()).len() < before);
    assert!(journal.first() > 1 && journal.first() <= entry.sequence);
    let kept = payloads(&journal);
    assert!(kept.len() < 20 && kept.contains(&"row 10".to_string()), "{kept:?}");
    assert_eq!(seen(folder.path()), kept);
    drop(journal);
    assert_eq!(payloads(&open(folder.path()).unwrap()), kept);
}

#[test]
fn a_missing_segment_is_missed() {
    for missing in 0..3 {
        let folder = TempDir::new().unwrap();
        let mut journal = open(folder.path()).unwrap();
        fill(&mut journal, 0, 30);
        let entry = journal.entries()[10];
        journal.trim(entry.sequence).unwrap();
        fill(&mut journal, 30, 31);
        // One is removed after each.
        (0..9).for_each(|_| journal.sync().unwrap());
        drop(journal);
        let name = segments(folder.path())[missing].clone();
        fs::remove_file(folder.path().join("journal").join(&name)).unwrap();
        let trouble = open(folder.path()).unwrap_err();
        assert!(matches!(&trouble, Trouble::Damaged { file, .. } if file.ends_with(&name)), "{trouble}");
    }
}

#[test]
fn a_second_process_and_another_pipeline_are_refused() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path()).unwrap();
    let trouble = open(folder.path()).unwrap_err();
    assert!(matches!(&trouble, Trouble::Busy { by, .. } if *by == std::process::id().to_string()), "{trouble}");
    // A lock that was taken for a stale one.
    fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(open(folder.path()), Err(Trouble::Busy { .. })));
    drop(journal);
    let other = About { pipeline: "clicks\n%".into() };
    let trouble = Journal::open(Arc::new(RealDisk), folder.path(), &other, Tuning::default()).unwrap_err();
    assert!(matches!(&trouble, Trouble::Foreign { pipeline, .. } if pipeline == "orders"), "{trouble}");

    let folder = TempDir::new().unwrap();
    Journal::open(Arc::new(RealDisk), folder.path(), &other, Tuning::default()).unwrap().close().unwrap();
    Journal::open(Arc::new(RealDisk), folder.path(), &other, Tuning::default()).unwrap();
    assert_eq!(*look(folder.path()).unwrap().about(), other);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_the_longest_is_not() {
    let folder = TempDir::new().unwrap();
    let mut journal = open(folder.path()).unwrap();
    let long = vec![b'x'; MAX_PAYLOAD as usize];
    let trouble = journal.append(1, &[&long, b"x"]).unwrap_err();
    assert!(trouble.to_string().contains("cut it"), "{trouble}");
    assert!(journal.append(240, &[]).is_err());
    journal.append(1, &[&long]).unwrap();
    journal.append(1, &[]).unwrap();
    journal.append(1, &[&long]).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let journal = open(folder.path()).unwrap();
    let lengths: Vec<u64> = journal.entries().iter().map(|entry| entry.length).collect();
    assert_eq!(lengths, [MAX_PAYLOAD, 0, MAX_PAYLOAD]);
    assert!(journal.read(&journal.entries()[2]).unwrap() == long);
}

#[test]
fn files_are_for_the_owner_alone() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("checkpoint");
    let journal = open(&folder).unwrap();
    journal.snapshots().write(1, &mut |to| to.write_all(b"x")).unwrap();
    let mode = |path: &str| fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
    let first = format!("journal/{}", segments(&folder)[0]);
    assert_eq!(["", "journal", "snapshots"].map(mode), [0o700; 3]);
    assert_eq!(["about", "lock", &first, "snapshots/00000000000000000001"].map(mode), [0o600; 4]);
}

#[test]
fn links_pipes_and_folders_in_the_place_of_files_are_refused() {
    let names = ["about", "lock", "journal/00000000000000000001.log", "journal", "snapshots"];
    for name in names {
        for other in ["link", "pipe", "folder"] {
            let home = TempDir::new().unwrap();
            let folder = home.path().join("checkpoint");
            open(&folder).unwrap().close().unwrap();
            let (place, aside) = (folder.join(name), home.path().join("aside"));
            fs::rename(&place, &aside).unwrap();
            match other {
                "link" => symlink(&aside, &place).unwrap(),
                "pipe" => {
                    let mode = rustix::fs::Mode::RWXU;
                    rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, mode, 0).unwrap();
                }
                _ if aside.is_dir() => continue,
                _ => fs::create_dir(&place).unwrap(),
            }
            let trouble = open(&folder).unwrap_err();
            assert!(matches!(&trouble, Trouble::Io { file, .. } if *file == place), "{name} {other}: {trouble:?}");
        }
    }
}

#[test]
fn a_folder_that_is_removed_while_it_is_used_stops_the_journal() {
    let folder = TempDir::new().unwrap();
    let mut journal = open(folder.path()).unwrap();
    fill(&mut journal, 0, 2);
    fs::remove_dir_all(folder.path()).unwrap();
    journal.append(1, &[b"lost"]).unwrap();
    let trouble = journal.sync().unwrap_err();
    assert!(trouble.to_string().contains("removed while it was in use"), "{trouble}");
    assert!(matches!(journal.append(1, &[]), Err(Trouble::Broken { .. })));
    assert!(matches!(journal.sync(), Err(Trouble::Broken { .. })));
    assert!(look(folder.path()).unwrap_err().is_absent());
}

#[test]
fn who_looks_while_it_is_written_sees_a_part_without_gaps() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    open(&path).unwrap().close().unwrap();
    let large = Tuning { segment_bytes: 1500 };
    let writing = std::thread::spawn(move || {
        for from in (0..600).step_by(200) {
            let mut journal = Journal::open(Arc::new(RealDisk), &path, &about(), large).unwrap();
            for n in from..from + 200 {
                fill(&mut journal, n, n + 1);
                let sequence = journal.append(1, &[b"given up"]).unwrap();
                journal.write().unwrap();
                journal.give_up(sequence);
                if n % 50 == 49 {
                    journal.trim(sequence - 40).unwrap();
                }
            }
        }
    });
    let (mut looks, mut last) = (0, 0);
    while !writing.is_finished() {
        let reader = look(folder.path()).unwrap();
        let read = |entry| reader.read(entry).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let rows: Option<Vec<String>> = reader.entries().iter().map(read).collect();
        // A segment may be trimmed, or a record given up, between looking and reading.
        let Some(mut rows) = rows else { continue };
        rows.retain(|row| row != "given up");
        let numbers: Vec<u32> = rows.iter().map(|row| row[4..].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
        let end = numbers.last().copied().unwrap_or_default();
        assert!(end >= last, "{end} {last}");
        (looks, last) = (looks + 1, end);
    }
    writing.join().unwrap();
    assert!(looks > 0);
    assert_eq!(seen(folder.path()).last().unwrap(), "row 599");
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let disk = SimulatedDisk::new(1);
    let mut journal = Journal::open(disk.arc(), Path::new("/checkpoint"), &about(), Tuning::default()).unwrap();
    // The first also writes zeros ahead.
    fill(&mut journal, 0, 1);
    for _ in 0..3 {
        let calls = disk.calls();
        for kind in 0..5 {
            journal.append(kind, &[b"small", &[0; 1000]]).unwrap();
        }
        journal.sync().unwrap();
        assert_eq!(disk.calls(), calls + 2);
        journal.sync().unwrap();
        journal.write().unwrap();
        assert_eq!(disk.calls(), calls + 2);
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let disk = SimulatedDisk::new(1);
    let folder = Path::new("/checkpoint");
    let mut journal = Journal::open(disk.arc(), folder, &about(), Tuning { segment_bytes: 300 }).unwrap();
    fill(&mut journal, 0, 3);
    disk.set_room(Some(100));
    for n in 3..9 {
        journal.append(1, &[format!("row {n}").as_bytes()]).unwrap();
    }
    // Zeros ahead of the records are no part of them.
    let files = || {
        disk.files()
            .into_iter()
            .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()))
            .collect::<Vec<_>>()
    };
    let before = files();
    for _ in 0..3 {
        assert!(matches!(journal.sync(), Err(Trouble::Full { .. })));
        assert!(files() == before, "what was half-written was cut off");
    }
    assert!(matches!(journal.snapshots().write(1, &mut |to| to.write_all(&[0; 500])), Err(Trouble::Full { .. })));
    assert!(files() == before);
    let seen: Vec<u64> = Journal::look(disk.arc(), folder).unwrap().entries().iter().map(|e| e.sequence).collect();
    assert_eq!(seen, [1, 2, 3]);
    // The batch is given up, and a smaller one has room.
    journal.give_up(journal.entries()[3].sequence);
    fill(&mut journal, 3, 4);
    for n in 4..9 {
        journal.append(1, &[format!("row {n}").as_bytes()]).unwrap();
    }
    assert!(matches!(journal.sync(), Err(Trouble::Full { .. })));
    disk.set_room(None);
    journal.sync().unwrap();
    fill(&mut journal, 9, 30);
    disk.kill();
    let journal = Journal::open(disk.arc(), folder, &about(), Tuning::default()).unwrap();
    assert_eq!(payloads(&journal), rows(0, 30));
}

#[test]
fn a_disk_that_is_full_at_the_start_can_be_tried_again() {
    for room in (0..2200).step_by(3) {
        let disk = SimulatedDisk::new(room);
        let folder = Path::new("/checkpoint");
        let open = || Journal::open(disk.arc(), folder, &about(), Tuning { segment_bytes: 100 });
        let mut journal = open().unwrap();
        fill(&mut journal, 0, 5);
        journal.append(1, &[&[b'x'; 1000]]).unwrap();
        journal.sync().unwrap();
        disk.kill();
        disk.set_room(Some(room));
        let journal = match open() {
            Ok(journal) => {
                assert!(room > 1000);
                journal
            }
            Err(trouble) => {
                assert!(matches!(trouble, Trouble::Full { .. }) && room < 2000, "{room}: {trouble}");
                disk.set_room(None);
                open().unwrap()
            }
        };
        assert_eq!(journal.entries().len(), 6);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_what_to_do() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join("checkpoint");
    open(&folder).unwrap().close().unwrap();
    // Whoever is not stopped by permissions (root) is not stopped here either.
    fs::set_permissions(folder.join("journal"), fs::Permissions::from_mode(0o500)).unwrap();
    if let Err(trouble) = open(&folder) {
        let text = trouble.to_string();
        assert!(text.contains("give the user who runs this the right to it") && text.contains("/journal/"), "{text}");
    }
    fs::set_permissions(folder.join("journal"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let trouble = open(&home.path().join("file/checkpoint")).unwrap_err();
    assert!(trouble.to_string().contains("take away what stands there"), "{trouble}");
    assert!(look(home.path()).unwrap_err().is_absent());
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path()).unwrap();
    let snapshots = journal.snapshots();
    let large: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    for (number, bytes) in [(3, &b""[..]), (1, b"small"), (12, &large)] {
        let length = snapshots.write(number, &mut |to| to.write_all(bytes)).unwrap();
        assert_eq!(length, snapshots.bytes(number).unwrap());
        let mut read = Vec::new();
        snapshots.read(number).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }
    assert_eq!(snapshots.list().unwrap(), [1, 3, 12]);
    snapshots.forget(3).unwrap();
    snapshots.forget(3).unwrap();
    let failed = snapshots.write(4, &mut |to| {
        to.write_all(b"half")?;
        Err(std::io::Error::other("no"))
    });
    assert!(failed.is_err());
    fs::write(folder.path().join("snapshots/00000000000000000005.part"), "half").unwrap();
    drop(journal);
    open(folder.path()).unwrap();
    let names = fs::read_dir(folder.path().join("snapshots")).unwrap().count();
    assert_eq!((snapshots.list().unwrap(), names), (vec![1, 12], 2));
}

#[test]
fn no_truncated_or_flipped_snapshot_is_read_in_silence() {
    let disk = SimulatedDisk::new(1);
    let journal = Journal::open(disk.arc(), Path::new("/checkpoint"), &about(), Tuning::default()).unwrap();
    let snapshots = journal.snapshots();
    let data: Vec<u8> = (0..300u32).map(|n| n as u8).collect();
    let mut parts = |to: &mut dyn std::io::Write| {
        to.write_all(&data[..100])?;
        to.flush()?;
        to.write_all(&data[100..])
    };
    snapshots.write(1, &mut parts).unwrap();
    let path = Path::new("/checkpoint/snapshots/00000000000000000001");
    let good = disk.files().into_iter().find(|(file, _)| file == path).unwrap().1;
    let refused = |bytes: &[u8]| {
        disk.put(path, bytes);
        let mut read = Vec::new();
        let trouble = match snapshots.read(1) {
            Ok(mut reader) => as_trouble(path, reader.read_to_end(&mut read).unwrap_err()),
            Err(trouble) => trouble,
        };
        assert!(matches!(&trouble, Trouble::Damaged { offset: Some(_), .. }), "{trouble}");
        assert!(data.starts_with(&read));
    };
    (0..good.len()).for_each(|length| refused(&good[..length]));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            refused(&bad);
        }
    }
    refused(&[&good[..], b"\0"].concat());
}
