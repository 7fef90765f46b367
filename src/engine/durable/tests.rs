//! How much of a checkpoint is kept to go back to, and what can be gone back to.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt8Array};

use super::*;
use crate::journal::simulated::SimulatedDisk;
use crate::plan::operator::{SavedTable, TableChange};

const FOLDER: &str = "/checkpoint";

fn disk() -> Arc<dyn Disk> {
    SimulatedDisk::new(1).arc()
}

/// A row with the number of its batch.
fn rows(n: i64) -> RecordBatch {
    let columns: [(&str, ArrayRef); 3] = [
        ("_group", Arc::new(UInt8Array::from(vec![Some(0)]))),
        ("id", Arc::new(Int64Array::from(vec![n % 5]))),
        ("n", Arc::new(Int64Array::from(vec![n]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Batches, a second and a snapshot each.
fn run(disk: &Arc<dyn Disk>, retention: Retention, batches: std::ops::Range<u64>) {
    let pace = Pace { bytes: u64::MAX, batches: 1, beside: false };
    let tuning = Tuning { segment_bytes: 1 };
    let checkpoint = Checkpoint::tuned(disk.clone(), Path::new(FOLDER), "p", tuning, pace).unwrap();
    let (durable, _) = checkpoint.begin(retention).unwrap();
    let mut durable = durable.unwrap();
    for number in batches {
        let micros = number as i64 * 1_000_000;
        let change = TableChange { name: "t".into(), identity: 2, gone: Vec::new(), rows: vec![rows(number as i64)] };
        let changed = Changed {
            head: Head { number: number + 1, last: Some(micros), ..Head::default() },
            batch: BatchTime { number, micros },
            tables: vec![(Owner::State("op".into()), "word".into(), Changes::Some(vec![change]))],
            ..Changed::default()
        };
        durable.keep(&changed, (number == 0).then_some(b"text")).unwrap();
        durable.tend().unwrap();
    }
    durable.close().unwrap();
}

/// How many snapshots there are, and the first batch that can be gone back to.
fn kept(disk: &Arc<dyn Disk>) -> (usize, u64) {
    let contents = Checkpoint::contents(disk, Path::new(FOLDER), None).unwrap();
    (contents.snapshots.len(), contents.reach.unwrap())
}

/// What an operator remembers behind a batch, as numbers of batches.
fn remembered(disk: &Arc<dyn Disk>, batch: u64) -> Vec<i64> {
    let contents = Checkpoint::contents(disk, Path::new(FOLDER), Some(batch)).unwrap();
    let tables: &[SavedTable] = &contents.remembered[0].tables;
    let column = |rows: &RecordBatch| {
        use arrow::array::AsArray;
        rows.column(2).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
    };
    let mut all: Vec<i64> = tables.iter().flat_map(|table| table.rows.iter().flat_map(column)).collect();
    all.sort_unstable();
    all
}

#[test]
fn without_retention_no_more_is_kept_than_is_needed() {
    let disk = disk();
    run(&disk, Retention::Least, 0..30);
    let (snapshots, reach) = kept(&disk);
    assert_eq!(snapshots, 2);
    assert!(reach >= 28, "{reach}");
}

#[test]
fn what_is_to_be_kept_for_a_time_can_be_gone_back_to_and_what_is_older_goes() {
    let disk = disk();
    run(&disk, Retention::Time(10_000_000), 0..60);
    let (snapshots, reach) = kept(&disk);
    assert!((45..=50).contains(&reach), "{reach}");
    assert!(snapshots <= 13, "{snapshots}");
    for batch in reach..60 {
        let wanted: Vec<i64> = (batch as i64 - 4..=batch as i64).collect();
        assert_eq!(remembered(&disk, batch), wanted, "behind batch {batch}");
    }
    let refused = Checkpoint::contents(&disk, Path::new(FOLDER), Some(reach - 1)).unwrap_err();
    assert!(refused.contains("reaches back to batch"), "{refused}");
}

#[test]
fn so_many_bytes_are_kept_to_go_back_to() {
    let disk = disk();
    let size = |disk: &Arc<dyn Disk>| {
        let contents = Checkpoint::contents(disk, Path::new(FOLDER), None).unwrap();
        contents.journal.1 + contents.snapshots.iter().map(|(_, bytes)| bytes).sum::<u64>()
    };
    run(&disk, Retention::Bytes(60_000), 0..100);
    let bytes = size(&disk);
    assert!((10_000..80_000).contains(&bytes), "{bytes}");
    let (_, reach) = kept(&disk);
    assert!((60..97).contains(&reach), "{reach}");
    run(&disk, Retention::Least, 100..110);
    assert_eq!(kept(&disk).0, 2);
}

#[test]
fn going_back_and_going_on_can_be_undone_and_is_seen_in_what_changed_last() {
    let disk = disk();
    run(&disk, Retention::Time(i64::MAX), 0..8);
    let back = Checkpoint::rewind(&disk, Path::new(FOLDER), 3).unwrap();
    assert_eq!((back.behind, back.next), (3, 8));
    let now = |disk| Checkpoint::contents(disk, Path::new(FOLDER), None).unwrap();
    let contents = now(&disk);
    assert_eq!((contents.rewound, contents.next, contents.last), (Some(3), 8, Some(7_000_000)));
    assert_eq!(contents.remembered[0].changed.unwrap().number, 3);
    assert_eq!(contents.text.as_deref(), Some(&b"text"[..]));
    run(&disk, Retention::Time(i64::MAX), 8..10);
    assert_eq!(remembered(&disk, 9), [0, 1, 2, 8, 9]);
    assert_eq!(now(&disk).rewound, None);
    assert_eq!(remembered(&disk, 7), [3, 4, 5, 6, 7]);
    Checkpoint::rewind(&disk, Path::new(FOLDER), 7).unwrap();
    run(&disk, Retention::Time(i64::MAX), 10..11);
    assert_eq!(remembered(&disk, 10), [3, 4, 6, 7, 10]);
}
