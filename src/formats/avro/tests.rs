//! Containers and messages, whole, cut and damaged.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow_avro::writer::format::AvroBinaryFormat;
use proptest::prelude::*;

use super::*;
use crate::formats::{nullable, required};
use crate::model::Slot;

fn codec(codec: Option<CompressionCodec>) -> Avro {
    let schema = Schema::new(vec![required("id", Type::Int64), nullable("name", Type::String)]);
    Avro { schema: schema.to_arrow(), codec, messages: None }
}

fn rows(from: i64, to: i64) -> RecordBatch {
    let names = StringArray::from_iter((from..to).map(|n| (n % 3 > 0).then(|| format!("n{n}"))));
    let columns = vec![Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef, Arc::new(names)];
    RecordBatch::try_new(codec(None).schema, columns).unwrap()
}

fn written(packed: Option<CompressionCodec>) -> Vec<u8> {
    let mut out = Vec::new();
    codec(packed).encode(&[rows(0, 10), rows(10, 11), rows(11, 40)], &mut out).unwrap();
    out
}

fn ids(blocks: &[RecordBatch]) -> Vec<i64> {
    blocks.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Reads bytes as they would come through a pipe.
fn piped(codec: &Avro, bytes: &[u8], step: usize, records: usize) -> (Vec<i64>, Vec<String>) {
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

const CODECS: [Option<CompressionCodec>; 4] =
    [None, Some(CompressionCodec::Deflate), Some(CompressionCodec::Snappy), Some(CompressionCodec::ZStandard)];

#[test]
fn containers_are_read_however_they_are_packed_and_cut() {
    for packed in CODECS {
        let bytes = written(packed);
        for step in [1, 90, 100_000] {
            for records in [1, 11, 1_000] {
                assert_eq!(piped(&codec(None), &bytes, step, records), ((0..40).collect(), vec![]), "{packed:?}");
            }
        }
    }
}

#[test]
fn the_same_rows_give_the_same_file() {
    assert_eq!(written(None), written(None));
}

#[test]
fn a_damaged_block_costs_the_others_nothing() {
    for packed in CODECS {
        let mut bytes = written(packed);
        let start = container::header(&bytes, true).unwrap();
        bytes[start + 3..start + 12].fill(0xff);
        let (found, bad) = piped(&codec(None), &bytes, 100_000, 100);
        assert_eq!((found, bad.len()), ((10..40).collect::<Vec<_>>(), 1), "{packed:?} {bad:?}");
    }
}

#[test]
fn what_breaks_off_gives_the_blocks_before_and_rubbish_is_said_to_be_some() {
    let bytes = written(None);
    let (found, bad) = piped(&codec(None), &bytes[..bytes.len() - 20], 50, 100);
    assert_eq!((found, bad.len()), ((0..11).collect::<Vec<_>>(), 1), "{bad:?}");
    let (found, bad) = piped(&codec(None), b"rubbish", 100, 100);
    assert_eq!((found, bad), (vec![], vec!["not an Avro container; records without one want `avro_schema`".into()]));
    assert_eq!(piped(&codec(None), b"", 100, 100), (vec![], vec![]));
}

#[test]
fn fields_are_found_by_name_and_cast_and_null_is_bad_where_it_is_not_allowed() {
    let wanted = Schema::new(vec![
        required("name", Type::String),
        required("id", Type::Decimal { precision: 12, scale: 2 }),
        nullable("other", Type::Date),
    ]);
    let reader = Avro { schema: wanted.to_arrow(), ..codec(None) };
    let bytes = written(None);
    let (header, rest) = bytes.split_at(reader.header(&bytes, true).unwrap());
    let piece = Piece { header, bytes: rest, last: true, records: usize::MAX, threads: 1 };
    let decoded = reader.decode(&piece).unwrap();
    let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((rows, decoded.bad.len(), decoded.lines), (26, 14, 40));
    assert_eq!((decoded.bad[1].line, decoded.bad[1].reason.as_str()), (3, "null in `name`"));
    assert_eq!(decoded.blocks[0].column(1).data_type(), &DataType::Decimal128(12, 2));
}

#[test]
fn values_of_every_type_come_back() {
    let slot = |ty| Box::new(Slot::nullable(ty));
    let types = [
        Type::Bool,
        Type::Int8,
        Type::UInt16,
        Type::Int32,
        Type::Float32,
        Type::Float64,
        Type::Decimal { precision: 20, scale: 3 },
        Type::String,
        Type::Bytes,
        Type::Date,
        Type::Time,
        Type::Timestamp(None),
        Type::Duration,
        Type::Json,
        Type::List(slot(Type::Int64)),
        Type::Map(Box::new(Type::String), slot(Type::Int64)),
        Type::Struct(vec![nullable("a", Type::Int64), required("b", Type::String)]),
    ];
    let columns = types.into_iter().enumerate().map(|(i, ty)| nullable(&format!("c{i}"), ty)).collect();
    let schema = Schema::new(columns).to_arrow();
    let text = r#"{"c0":true,"c1":-5,"c2":7,"c3":9,"c4":1.5,"c5":2.5,"c6":"12.345","c7":"x","c8":"00ff","c9":"2026-01-02","c10":"10:11:12","c11":"2026-01-02T03:04:05.000006Z","c12":77,"c13":"{}","c14":[1,null],"c15":{"k":1},"c16":{"a":1,"b":"y"}}
{}"#;
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
    decoder.decode(text.as_bytes()).unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    for packed in CODECS {
        let codec = Avro { schema: schema.clone(), codec: packed, messages: None };
        let mut bytes = Vec::new();
        codec.encode(std::slice::from_ref(&batch), &mut bytes).unwrap();
        let (header, rest) = bytes.split_at(codec.header(&bytes, true).unwrap());
        let piece = Piece { header, bytes: rest, last: true, records: usize::MAX, threads: 1 };
        let decoded = codec.decode(&piece).unwrap();
        assert_eq!(decoded.bad, []);
        assert_eq!(decoded.blocks, std::slice::from_ref(&batch));
    }
}

const SCHEMA: &str = r#"{"type":"record","name":"order","namespace":"shop","fields":[
    {"name":"id","type":"long"}, {"name":"name","type":["null","string"]},
    {"name":"more","type":{"type":"array","items":{"type":"map","values":"double"}}},
    {"name":"parent","type":["null","order"]}]}"#;

/// A record with a list, one nested in it where `nested`.
fn message(id: u8, nested: bool) -> Vec<u8> {
    let mut bytes = vec![id * 2, 2, 2, b'a' + id, 2, 2, 2, b'k'];
    bytes.extend(1.5_f64.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(if nested { [&[2][..], &message(id + 1, false)].concat() } else { vec![0] });
    bytes
}

fn reader() -> Avro {
    Avro { messages: Some(Messages::of(SCHEMA.into()).unwrap()), ..codec(None) }
}

#[test]
fn records_without_a_container_are_told_apart_by_their_schema() {
    // The library reads no schema that holds itself, so that is left out of what is read.
    let flat = SCHEMA
        .replace(
            r#", 
    {"name":"parent","type":["null","order"]}"#,
            "",
        )
        .replace(",\n    {\"name\":\"parent\",\"type\":[\"null\",\"order\"]}", "");
    let reader = Avro { messages: Some(Messages::of(flat.into()).unwrap()), ..codec(None) };
    let bare = |id| message(id, false)[..message(id, false).len() - 1].to_vec();
    let single = [&[0xc3, 0x01][..], &[7; 8], &bare(3)].concat();
    let bytes = [bare(1), bare(2), single].concat();
    for step in [1, 5, 1_000] {
        for records in [1, 2, 100] {
            assert_eq!(piped(&reader, &bytes, step, records), (vec![1, 2, 3], vec![]), "{step} {records}");
        }
    }
    let cut = piped(&reader, &bytes[..bytes.len() - 2], 1_000, 100);
    assert_eq!(cut, (vec![1, 2], vec!["the record is not whole".into()]));
    let mut wrong = bytes.clone();
    wrong[1] = 9;
    assert_eq!(
        piped(&reader, &wrong, 1_000, 100),
        (vec![], vec!["it does not fit the schema of `avro_schema`".into()])
    );
}

#[test]
fn rows_that_were_written_bare_are_read() {
    let batch = rows(0, 9);
    let mut builder = WriterBuilder::new(batch.schema().as_ref().clone()).build_encoder::<AvroBinaryFormat>().unwrap();
    builder.encode(&batch).unwrap();
    let bytes = builder.flush().bytes().to_vec();
    let schema = arrow_avro::schema::AvroSchema::try_from(batch.schema().as_ref()).unwrap().json_string;
    let reader = Avro { messages: Some(Messages::of(schema.into()).unwrap()), ..codec(None) };
    assert_eq!(piped(&reader, &bytes, 3, 4), ((0..9).collect(), vec![]));
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(which in 0_usize..4, at in 0_usize..2_000, byte: u8) {
        let mut bytes = written(CODECS[which]);
        let at = at % bytes.len();
        bytes[at] = byte;
        let (found, _) = piped(&codec(None), &bytes, 100, 12);
        prop_assert!(found.len() <= 40);
    }

    #[test]
    fn any_bytes_are_taken_for_messages_without_a_panic(bytes: Vec<u8>, nested: bool) {
        let bytes = [message(1, nested), bytes].concat();
        piped(&reader(), &bytes, 7, 3);
    }

    #[test]
    fn rows_come_back_as_they_were_written(
        rows in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<String>())), 1..40),
        which in 0_usize..4,
    ) {
        let ids = Int64Array::from_iter_values(rows.iter().map(|(n, _)| *n));
        let names: StringArray = rows.iter().map(|(_, text)| text.clone()).collect();
        let batch = RecordBatch::try_new(codec(None).schema, vec![Arc::new(ids), Arc::new(names)]).unwrap();
        let mut bytes = Vec::new();
        codec(CODECS[which]).encode(std::slice::from_ref(&batch), &mut bytes).unwrap();
        let (header, rest) = bytes.split_at(codec(None).header(&bytes, true).unwrap());
        let piece = Piece { header, bytes: rest, last: true, records: usize::MAX, threads: 1 };
        prop_assert_eq!(codec(None).decode(&piece).unwrap().blocks, [batch]);
    }
}
