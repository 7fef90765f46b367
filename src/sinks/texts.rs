//! Rows as what keyed targets take: keys, values and fields as texts or bytes, and whole rows as the format writes them.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};

use crate::model::{Slot, Type};
use crate::plan::operator::TaskError;
use crate::plan::seams::FormatCodec;
use crate::plan::{Node, TypedExpr};

/// The same value as text, as bytes where it is bytes; what has parts as JSON.
pub(super) fn as_text(expr: TypedExpr) -> TypedExpr {
    let to = match &expr.slot.ty {
        Type::String | Type::Bytes | Type::Json => return expr,
        ty if ty.is_nested() => Type::Json,
        _ => Type::String,
    };
    let (slot, span) = (Slot { ty: to, nullable: expr.slot.nullable }, expr.span);
    TypedExpr::new(Node::Cast(Box::new(expr)), slot, span)
}

/// A column of texts or bytes.
pub(super) enum Texts<'a> {
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Nothing,
}

impl<'a> Texts<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Self {
        match (array.as_string_opt(), array.as_binary_opt()) {
            (Some(texts), _) => Texts::Text(texts),
            (None, Some(bytes)) => Texts::Bytes(bytes),
            (None, None) => Texts::Nothing,
        }
    }

    /// A row's value; none where it is null.
    pub(super) fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Texts::Text(texts) => texts.is_valid(row).then(|| texts.value(row).as_bytes()),
            Texts::Bytes(bytes) => bytes.is_valid(row).then(|| bytes.value(row)),
            Texts::Nothing => None,
        }
    }
}

/// Every row by itself, as the format writes it.
pub(super) fn whole_rows(codec: &dyn FormatCodec, rows: &RecordBatch) -> Result<Vec<Vec<u8>>, TaskError> {
    let mut bytes = Vec::new();
    codec.encode(std::slice::from_ref(rows), &mut bytes)?;
    let header = codec.header(&bytes, true).unwrap_or(0).min(bytes.len());
    if codec.is_lines() {
        let body = bytes[header..].strip_suffix(b"\n").unwrap_or(&bytes[header..]);
        let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        if lines.len() == rows.num_rows() {
            return Ok(lines.into_iter().map(<[u8]>::to_vec).collect());
        }
    }
    let one = |row: usize| {
        let mut bytes = Vec::new();
        codec.encode(&[rows.slice(row, 1)], &mut bytes)?;
        if codec.is_lines() {
            let header = codec.header(&bytes, true).unwrap_or(0).min(bytes.len());
            bytes.drain(..header);
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
        }
        Ok(bytes)
    };
    (0..rows.num_rows()).map(one).collect()
}
