//! Files and streams, whole, cut and damaged.

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{AsArray, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::formats::{nullable, required};
use crate::model::Type;
use crate::plan::seams::Limits;

fn codec(stream: bool) -> ArrowIpc {
    let schema = Schema::new(vec![required("id", Type::Int64), nullable("name", Type::String)]);
    ArrowIpc { schema: schema.to_arrow(), stream, packed: None }
}

fn rows(from: i64, to: i64) -> RecordBatch {
    let names = StringArray::from_iter((from..to).map(|n| (n % 3 > 0).then(|| format!("n{n}"))));
    let columns = vec![Arc::new(Int64Array::from_iter_values(from..to)) as _, Arc::new(names) as _];
    RecordBatch::try_new(codec(false).schema, columns).unwrap()
}

fn written(stream: bool) -> Vec<u8> {
    let mut out = Vec::new();
    codec(stream).encode(&[rows(0, 10), rows(10, 11), rows(11, 40)], &mut out).unwrap();
    out
}

fn ids(blocks: &[RecordBatch]) -> Vec<i64> {
    blocks.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Reads bytes as they would come through a pipe.
fn piped(bytes: &[u8], step: usize, records: usize) -> (Vec<i64>, Vec<String>) {
    let codec = codec(false);
    let at = (0..).find_map(|n| codec.header(&bytes[..bytes.len().min(n * step)], n * step >= bytes.len())).unwrap();
    let (header, mut rest) = bytes.split_at(at);
    let (mut found, mut bad, mut given) = (Vec::new(), Vec::new(), 0);
    loop {
        given = rest.len().min(given + step);
        let last = given == rest.len();
        let decoded = codec.decode(&Piece { header, bytes: &rest[..given], last, records, threads: 1 }).unwrap();
        found.extend(ids(&decoded.blocks));
        bad.extend(decoded.bad.into_iter().map(|row| row.reason));
        rest = &rest[decoded.used..];
        given -= decoded.used;
        if decoded.over || last && (decoded.used == 0 || rest.is_empty()) {
            return (found, bad);
        }
    }
}

#[test]
fn streams_and_files_are_read_from_front_to_back_however_they_are_cut() {
    for stream in [true, false] {
        let bytes = written(stream);
        for step in [1, 100, 100_000] {
            for records in [1, 11, 1_000] {
                assert_eq!(piped(&bytes, step, records), ((0..40).collect(), vec![]), "{stream} {step} {records}");
            }
        }
    }
}

#[test]
fn a_file_is_read_from_any_row_on() {
    let mut disk = tempfile::tempfile().unwrap();
    disk.write_all(&written(false)).unwrap();
    let mut file = codec(false).indexed(&disk).unwrap().unwrap();
    assert_eq!(file.records(), 40);
    for start in [0_u64, 7, 10, 39] {
        let (mut at, mut found) = (start, Vec::new());
        while at < 40 {
            let limits = Limits { rows: 4, bytes: u64::MAX, now: 0, drain: true, threads: 1 };
            let read = file.read(at, &limits).unwrap();
            assert!((1..=4).contains(&read.lines));
            at += read.lines;
            found.extend(ids(&read.blocks));
        }
        assert_eq!(found, (i64::try_from(start).unwrap()..40).collect::<Vec<_>>());
    }
}

#[test]
fn a_stream_is_no_file_and_rubbish_is_neither() {
    let mut disk = tempfile::tempfile().unwrap();
    disk.write_all(&written(true)).unwrap();
    assert!(codec(false).indexed(&disk).is_none());
    let (found, bad) = piped(b"rubbish, a line of it", 100, 100);
    assert_eq!((found, bad.len()), (vec![], 1));
    assert!(bad[0].starts_with("neither an Arrow stream nor a file"), "{bad:?}");
}

#[test]
fn a_stream_that_breaks_off_gives_the_batches_before() {
    let bytes = written(true);
    let (found, bad) = piped(&bytes[..bytes.len() - 60], 100_000, 100);
    assert_eq!((found, bad), ((0..11).collect(), vec!["the stream ends within a batch".into()]));
}

#[test]
fn dictionaries_before_the_first_batch_are_known_to_all() {
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let ids = Int64Array::from(vec![1, 2, 3]);
    let batch = RecordBatch::try_from_iter([("name", Arc::new(words) as _), ("id", Arc::new(ids) as _)]).unwrap();
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    assert_eq!(piped(&out, 50, 1), (vec![1, 2, 3, 1, 2, 3], vec![]));
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(stream: bool, at in 0_usize..2_000, byte: u8) {
        let mut bytes = written(stream);
        let at = at % bytes.len();
        bytes[at] = byte;
        let (found, _) = piped(&bytes, 700, 12);
        prop_assert!(found.len() <= 40);
        let mut disk = tempfile::tempfile().unwrap();
        disk.write_all(&bytes).unwrap();
        if let Some(Ok(mut file)) = codec(false).indexed(&disk) {
            let limits = Limits { rows: 1_000, bytes: u64::MAX, now: 0, drain: true, threads: 1 };
            let _ = file.read(0, &limits);
        }
    }
}
