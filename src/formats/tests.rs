//! Rows there and back, in every format that is written and read.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use proptest::prelude::*;

use super::*;
use crate::model::Schema;
use crate::plan::catalog::FormatCall;
use crate::plan::seams::{FormatCodec, Piece};
use crate::plan::{FormatEntry, OptionValue};

type Row = (i64, Option<String>, Option<f64>, Vec<u8>);

fn schema() -> Schema {
    Schema::new(vec![
        required("id", Type::Int64),
        nullable("text", Type::String),
        nullable("number", Type::Float64),
        required("raw", Type::Bytes),
    ])
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.3))),
    ];
    RecordBatch::try_new(schema().to_arrow(), columns).unwrap()
}

fn codec(entry: FormatEntry, options: &[(&str, &str)]) -> Box<dyn FormatCodec> {
    let mut settings = Settings::default();
    for (name, value) in options {
        let value = match *value {
            "true" => OptionValue::Bool(true),
            other => OptionValue::Text(other.into()),
        };
        settings.set(*name, value, <_>::default());
    }
    let call = FormatCall { entry: Arc::new(entry), settings };
    (call.entry.open)(&call, &schema()).unwrap()
}

/// Writes rows, and reads them in pieces that end anywhere.
fn there_and_back(codec: &dyn FormatCodec, rows: &RecordBatch, step: usize) -> RecordBatch {
    let mut bytes = Vec::new();
    let half = rows.num_rows() / 2;
    let blocks = [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
    codec.encode(&blocks, &mut bytes).unwrap();
    let at = codec.header(&bytes, true).unwrap();
    let (header, mut rest) = bytes.split_at(at);
    let (mut found, mut given) = (Vec::new(), 0);
    while !rest.is_empty() {
        given = rest.len().min(given + step);
        let last = given == rest.len();
        let piece = Piece { header, bytes: &rest[..given], last, records: usize::MAX, threads: 1 };
        let decoded = codec.decode(&piece).unwrap();
        assert_eq!(decoded.bad, []);
        found.extend(decoded.blocks);
        rest = &rest[decoded.used..];
        given -= decoded.used;
        if decoded.over || last && decoded.used == 0 {
            break;
        }
    }
    concat_batches(&schema().to_arrow(), &found).unwrap()
}

fn rows(text: &'static str) -> impl Strategy<Value = Vec<Row>> {
    let number = proptest::option::of(any::<f64>().prop_filter("a number", |n| n.is_finite()));
    let row = (any::<i64>(), proptest::option::of(text), number, any::<[u8; 3]>().prop_map(|raw| raw.to_vec()));
    proptest::collection::vec(row, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_come_back_as_they_were_written(rows in rows("\\PC{0,6}|[a-z\"'\\\\,;\n\r\t ]{0,6}"), step in 1_usize..2_000) {
        let rows = batch(&rows);
        let formats = [
            codec(json::entry(), &[]),
            codec(json::entry(), &[("layout", "array")]),
            codec(parquet::entry(), &[("codec", "gzip")]),
            codec(avro::entry(), &[("codec", "deflate")]),
            codec(arrow_ipc::entry(), &[]),
            codec(arrow_ipc::entry(), &[("layout", "stream"), ("codec", "zstd")]),
            codec(logfmt::entry(), &[]),
        ];
        for format in formats {
            prop_assert_eq!(&there_and_back(format.as_ref(), &rows, step), &rows);
        }
    }

    /// In CSV the empty text is null, unless null is written otherwise.
    #[test]
    fn rows_come_back_from_every_dialect_of_csv(rows in rows("[a-z\"'\\\\,;|\n\t ]{0,6}"), step in 1_usize..300) {
        let rows = batch(&rows);
        let dialects: [&[(&str, &str)]; 4] = [
            &[("null_text", "NULL"), ("multiline", "true")],
            &[("null_text", "NULL"), ("multiline", "true"), ("delimiter", ";"), ("quote", "'")],
            &[("null_text", "NULL"), ("multiline", "true"), ("escape", "\\")],
            &[("null_text", "NULL"), ("multiline", "true"), ("delimiter", "|")],
        ];
        for dialect in dialects {
            let format = codec(csv::entry(), dialect);
            prop_assert_eq!(&there_and_back(format.as_ref(), &rows, step), &rows, "{:?}", dialect);
        }
    }
}

#[test]
fn what_an_entry_says_of_its_records_is_what_its_codec_does() {
    let array: &[(&str, &str)] = &[("layout", "array")];
    let formats: [(fn() -> FormatEntry, _); 7] = [
        (json::entry, &[][..]),
        (json::entry, array),
        (csv::entry, &[]),
        (logfmt::entry, &[]),
        (parquet::entry, &[]),
        (avro::entry, &[]),
        (arrow_ipc::entry, &[]),
    ];
    for (entry, options) in formats {
        let mut settings = Settings::default();
        options
            .iter()
            .for_each(|(name, value)| settings.set(*name, OptionValue::Text((*value).into()), <_>::default()));
        let lines = (entry().records)(&settings).lines;
        assert_eq!(codec(entry(), options).is_lines(), lines, "{} {options:?}", entry().doc.name);
    }
}
