//! `binary`: records of a fixed length.

use crate::connect::COUNT;
use crate::formats::required;
use crate::model::Type;
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionSpec};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("binary", "records of a fixed length, in one column `value: bytes`", "binary")
            .example("source readings = files(\"data/*.bin\") { format: binary, record_length: 64 }")
            .alias("binaryRecords"),
        args: Vec::new(),
        options: vec![OptionSpec::optional(
            "record_length",
            COUNT,
            "the bytes of a record; a whole file or message otherwise",
        )],
        columns: |_| Some(vec![required("value", Type::Bytes)]),
        accepts: |ty| match ty {
            Type::Bytes => Ok(()),
            other => Err(format!("only bytes can be written as binary records, not {other}")),
        },
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "binary")),
    }
}
