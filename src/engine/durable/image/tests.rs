//! Streams that somebody has changed, with frames that are whole: they are refused, or give rows, and never a panic or more
//! memory than there are bytes.
//!
//! Long: `IMAGE_SEED=1 IMAGES=10000000 cargo test --release --lib durable::image -- --nocapture`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMicrosecondArray, UInt8Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use fastrand::Rng;

use super::packed::{decoded, encoded};
use super::*;

fn rows() -> RecordBatch {
    let nested = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("p"), None, Some("rst")])) as ArrayRef,
    )]);
    let columns: [(&str, ArrayRef); 8] = [
        ("_group", Arc::new(UInt8Array::from(vec![Some(7), None, Some(1)]))),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("s", Arc::new(StringArray::from(vec![Some("a"), None, Some("ccc")]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("d", Arc::new(Decimal128Array::from(vec![1, 2, 3]).with_precision_and_scale(10, 2).unwrap())),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                Some(vec![Some(1), None]),
                None,
                Some(vec![Some(4)]),
            ])),
        ),
        ("r", Arc::new(nested)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// What a commit consists of, frame by frame.
fn genuine() -> Vec<(u8, Vec<u8>)> {
    let change =
        TableChange { name: "t".into(), identity: 2, gone: vec![rows().project(&[0]).unwrap()], rows: vec![rows()] };
    let table = SavedTable { name: "t".into(), identity: 2, rows: vec![rows(), rows().slice(0, 0)] };
    let mut writer = Writer::begin(Vec::new(), &"head").unwrap();
    writer.text(b"text").unwrap();
    writer.owner(&Owner::State("one".into()), "word", &Changes::Some(vec![change])).unwrap();
    writer.owner(&Owner::Source("two".into()), "", &Changes::All(vec![table])).unwrap();
    writer.artifact(&Prepared { sink: "s".into(), rows: 3, bytes: vec![1; 30] }).unwrap();
    let bytes = writer.end().unwrap();
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        frames.push((bytes[at], bytes[at + 5..at + 5 + length].to_vec()));
        at += 5 + length;
    }
    frames
}

fn joined(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let frame = |(tag, bytes): &(u8, Vec<u8>)| [&[*tag][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    frames.iter().flat_map(frame).collect()
}

/// Reads it in every way there is; how many parts there were.
fn read(bytes: &[u8]) -> usize {
    let mut parts = 0;
    if let Ok((_, mut reader)) = Reader::begin::<serde_json::Value>(bytes) {
        while let Ok(Some(_)) = reader.next() {
            parts += 1;
        }
    }
    let begun = || Reader::begin::<serde_json::Value>(bytes);
    if let Ok((_, mut reader)) = begun() {
        let _ = reader.text().and_then(|_| reader.each(|_| Ok::<(), Unread>(())));
    }
    if let Ok((_, mut reader)) = begun() {
        let _ = reader.whole(|_| true);
    }
    if let Ok((_, reader)) = begun() {
        let _ = reader.owners();
    }
    parts
}

fn changed(rng: &mut Rng, frames: &mut Vec<(u8, Vec<u8>)>) {
    let at = rng.usize(..frames.len());
    let (tag, bytes) = &mut frames[at];
    match rng.u8(..16) {
        0 => *tag = rng.u8(..10),
        1 => bytes.truncate(rng.usize(..=bytes.len())),
        2 => bytes.insert(rng.usize(..=bytes.len()), rng.u8(..)),
        3 => drop(frames.remove(at)),
        4 => {
            let copy = frames[rng.usize(..frames.len())].clone();
            frames.insert(at, copy);
        }
        5..9 if bytes.len() >= 8 => {
            // A length or an offset is another one, perhaps far too large.
            let place = rng.usize(..=bytes.len() - 8) / 4 * 4;
            let value: [u64; 6] = [0, 1, u64::MAX, 1 << 62, 1 << 31, rng.u64(..4096)];
            let value = value[rng.usize(..6)].to_le_bytes();
            let count = if rng.bool() { 4 } else { 8 };
            bytes[place..place + count].copy_from_slice(&value[..count]);
        }
        _ if !bytes.is_empty() => {
            let place = rng.usize(..bytes.len());
            bytes[place] = rng.u8(..);
        }
        _ => {}
    }
    if frames.is_empty() {
        frames.push((HEAD, b"1".to_vec()));
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn hostile_frames_are_refused_or_give_rows() {
    assert_eq!(read(&joined(&genuine())), 4, "text, two owners and an artifact");
    let (first, count) = (number("IMAGE_SEED", 1), number("IMAGES", 20_000));
    let genuine = genuine();
    let quiet = std::panic::take_hook();
    // What Arrow says of rows that cannot be is caught, and of no use here.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = (first..first + count).find(|seed| {
        let mut rng = Rng::with_seed(*seed);
        let mut frames = genuine.clone();
        (0..rng.u8(1..6)).for_each(|_| changed(&mut rng, &mut frames));
        std::panic::catch_unwind(|| read(&joined(&frames))).is_err()
    });
    std::panic::set_hook(quiet);
    assert_eq!(failed, None, "IMAGE_SEED of a panic");
}

#[test]
fn every_changed_word_of_packed_rows_is_refused_or_gives_rows() {
    let genuine = encoded(&rows()).unwrap();
    assert_eq!(decoded(&genuine).unwrap(), [rows()]);
    for place in 0..genuine.len() - 4 {
        for value in [u32::MAX, 1 << 31, 0x7fff_ffff, 0x00ff_ffff] {
            let mut bytes = genuine.clone();
            bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
            let size = |rows: Vec<RecordBatch>| rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            assert!(decoded(&bytes).map_or(0, size) <= genuine.len() * 64, "at {place}");
        }
    }
}

#[test]
fn rows_with_fewer_columns_than_tell_them_apart_are_refused() {
    let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
    for rows in [empty, rows().project(&[0]).unwrap()] {
        let mut writer = Writer::begin(Vec::new(), &"head").unwrap();
        let table = SavedTable { name: "t".into(), identity: 2, rows: vec![rows] };
        writer.owner(&Owner::State("one".into()), "word", &Changes::All(vec![table])).unwrap();
        let bytes = writer.end().unwrap();
        let (_, mut reader) = Reader::begin::<String>(bytes.as_slice()).unwrap();
        assert!(reader.next().is_err());
        let (_, mut reader) = Reader::begin::<String>(bytes.as_slice()).unwrap();
        assert!(reader.each(|_| Ok::<(), Unread>(())).is_err());
    }
}
