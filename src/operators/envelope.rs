//! Rows that a stage with two inputs sets aside: the sides' columns differ, so the row itself is JSON.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;

use crate::model::{Column, Schema, Slot, Type};
use crate::operators::values::{batch_of, bug};
use crate::plan::Edge;
use crate::plan::operator::TaskError;

/// `side`, `time`, `reason`, `row`.
pub(super) fn envelope(left: &Edge, right: &Edge) -> Edge {
    Edge { guarantee: left.guarantee.min(right.guarantee), ..Edge::append(schema()) }
}

fn schema() -> Schema {
    Schema::new(vec![
        Column::new("side", Slot::required(Type::String)),
        Column::new("time", Slot::nullable(Type::Timestamp(None))),
        Column::new("reason", Slot::required(Type::String)),
        Column::new("row", Slot::required(Type::Json)),
    ])
}

/// Rows of one side in envelopes, each with its reason.
pub(super) fn enclosed(
    side: &str,
    rows: &RecordBatch,
    time: Option<usize>,
    reasons: &[String],
) -> Result<RecordBatch, TaskError> {
    let count = rows.num_rows();
    let schema = schema().to_arrow();
    let moment = schema.field(1).data_type();
    let time: ArrayRef = match time.and_then(|i| rows.column(i).as_primitive_opt::<TimestampMicrosecondType>()) {
        Some(times) => Arc::new(times.clone().with_data_type(moment.clone())),
        None => new_null_array(moment, count),
    };
    let texts = json(rows)?;
    if texts.len() != count || reasons.len() != count {
        return Err(bug("an envelope lacks its row or its reason"));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(side, count))),
        time,
        Arc::new(StringArray::from_iter_values(reasons)),
        Arc::new(StringArray::from_iter_values(texts)),
    ];
    batch_of(&schema, columns, count)
}

/// Each row as a JSON object, nulls written out.
fn json(rows: &RecordBatch) -> Result<Vec<String>, TaskError> {
    let mut out = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut out);
    writer.write(rows).and_then(|()| writer.finish()).map_err(bug)?;
    drop(writer);
    let text = String::from_utf8(out).map_err(bug)?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn a_row_goes_into_its_envelope_as_json() {
        let columns = vec![
            Column::new("id", Slot::required(Type::String)),
            Column::new("n", Slot::nullable(Type::Int64)),
            Column::new("ts", Slot::required(Type::Timestamp(None))),
        ];
        let schema = Schema::new(columns).to_arrow();
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a\nb", "c"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let times = arrow::array::TimestampMicrosecondArray::from(vec![0, 1_000_000]).with_timezone("UTC");
        let rows = batch_of(&schema, vec![ids, numbers, Arc::new(times)], 2).unwrap();
        let out = enclosed("left", &rows, Some(2), &["late".into(), "bad".into()]).unwrap();
        let row = out.column(3).as_string::<i32>();
        assert_eq!(row.value(0), r#"{"id":"a\nb","n":null,"ts":"1970-01-01T00:00:00Z"}"#);
        assert_eq!(out.column(1).as_primitive::<TimestampMicrosecondType>().value(1), 1_000_000);
        assert_eq!(out.column(2).as_string::<i32>().value(1), "bad");
        assert_eq!(out.schema(), super::schema().to_arrow());
    }
}
