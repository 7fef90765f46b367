//! `protobuf`: messages described by a compiled descriptor.

use crate::formats::{accepts_all, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec, Records};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("protobuf", "Protocol Buffers messages; fields are found by name", "protobuf")
            .details("Make the descriptor with `protoc --descriptor_set_out=FILE --include_imports`.")
            .example("source orders = files(\"data/*.pb\") { format: protobuf, descriptor: \"shop.desc\", message: \"shop.Order\", schema: { id: string, amount: float64 } }"),
        args: Vec::new(),
        options: vec![
            OptionSpec::required("descriptor", OptionKind::Path, "the compiled descriptor"),
            OptionSpec::required("message", OptionKind::Text, "the message's full name"),
        ],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        records: |_| Records::OTHER,
        conflicts: |_| Vec::new(),
        infer: None,
        open: |_, _| Err(NotRunnable::not_yet("format", "protobuf")),
    }
}
