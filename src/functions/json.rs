//! JSON texts: parts of them by path, and values written as JSON.

pub(crate) mod scan;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use arrow::json::writer::{EncoderOptions, make_encoder};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, Signature as Accepts, Volatility};

use super::kernel::{Kernel, exactly};
use super::resolve::before_types;
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Doc, Failure, FunctionBody, FunctionEntry, Signature, Stability, unsettled};
use scan::{find, length, path, text_of};

/// `json_get`, `json_length`, `json_valid`, `to_json`.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let texts = || exactly(vec![DataType::Utf8, DataType::Utf8]);
    let text = || exactly(vec![DataType::Utf8]);
    let any = Accepts::any(1, Volatility::Immutable);
    let get = Doc::new("json_get", "the part of a JSON text that a path leads to, as text", "json_get(json, path)")
        .alias("get_json_object")
        .details(
            "Null where there is no such part. A column of type `json` is read more easily as `payload.user.name`.",
        )
        .example(r#"json_get("{\"a\": [1, 2]}", "$.a[0]")"#);
    let len = Doc::new(
        "json_length",
        "the number of elements of a JSON array, or of fields of a JSON object",
        "json_length(json)",
    )
    .alias("json_array_length")
    .example(r#"json_length("[1, 2]")"#);
    let valid = Doc::new("json_valid", "whether a text is JSON", "json_valid(str)").example(r#"json_valid("{}")"#);
    let write = Doc::new("to_json", "a value as JSON text", "to_json(value)").example("to_json([1, 2])");
    vec![
        entry(get, Failure::NullOnFailure, resolve_get, Kernel::udf("json_get", texts(), |_| DataType::Utf8, get_part)),
        entry(
            len,
            Failure::NullOnFailure,
            resolve_length,
            Kernel::udf("json_length", text(), |_| DataType::Int64, count),
        ),
        entry(valid, Failure::Total, resolve_valid, Kernel::udf("json_valid", text(), |_| DataType::Boolean, is_valid)),
        entry(write, Failure::Total, resolve_write, Kernel::udf("to_json", any, |_| DataType::Utf8, write_value)),
    ]
}

fn entry(
    doc: Doc,
    failure: Failure,
    resolve: fn(&FunctionEntry, &[Argument<'_>]) -> std::result::Result<Signature, String>,
    udf: Arc<datafusion_expr::ScalarUDF>,
) -> Arc<FunctionEntry> {
    let body = FunctionBody::Scalar(udf);
    Arc::new(FunctionEntry {
        doc,
        group: "json",
        failure,
        settled: unsettled,
        stability: Stability::Pure,
        body,
        resolve,
    })
}

fn resolve_get(entry: &FunctionEntry, args: &[Argument<'_>]) -> std::result::Result<Signature, String> {
    of_texts(entry, args, Slot::nullable(Type::String))
}

fn resolve_length(entry: &FunctionEntry, args: &[Argument<'_>]) -> std::result::Result<Signature, String> {
    of_texts(entry, args, Slot::nullable(Type::Int64))
}

fn resolve_valid(entry: &FunctionEntry, args: &[Argument<'_>]) -> std::result::Result<Signature, String> {
    let nullable = args.iter().any(|a| a.slot.nullable);
    of_texts(entry, args, Slot { ty: Type::Bool, nullable })
}

fn of_texts(entry: &FunctionEntry, args: &[Argument<'_>], result: Slot) -> std::result::Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    for (at, arg) in args.iter().enumerate() {
        if !matches!(arg.slot.ty, Type::String | Type::Json | Type::Null) {
            return Err(super::wording::wants(&DataType::Utf8, at, &arg.slot.ty));
        }
    }
    let types = args.iter().map(|a| if a.slot.ty == Type::Json { Type::Json } else { Type::String }).collect();
    Ok(Signature { args: types, result })
}

fn resolve_write(entry: &FunctionEntry, args: &[Argument<'_>]) -> std::result::Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let Slot { ty, nullable } = args[0].slot.clone();
    Ok(Signature { args: vec![ty], result: Slot { ty: Type::Json, nullable } })
}

fn get_part(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let json = args.args[0].to_array(args.number_rows)?;
    let json = json.as_string::<i32>();
    let result: StringArray = match &args.args[1] {
        ColumnarValue::Scalar(value) => {
            let steps = value.try_as_str().flatten().and_then(path);
            let part = |text| text_of(find(text, steps.as_ref()?)?);
            json.iter().map(|text| part(text?)).collect()
        }
        ColumnarValue::Array(paths) => {
            let part = |text, steps| text_of(find(text, &path(steps)?)?);
            json.iter().zip(paths.as_string::<i32>()).map(|(text, steps)| part(text?, steps?)).collect()
        }
    };
    Ok(ColumnarValue::Array(Arc::new(result)))
}

fn count(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let json = args.args[0].to_array(args.number_rows)?;
    let counted = |text: Option<&str>| i64::try_from(length(text?)?).ok();
    let result: Int64Array = json.as_string::<i32>().iter().map(counted).collect();
    Ok(ColumnarValue::Array(Arc::new(result)))
}

fn is_valid(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let json = args.args[0].to_array(args.number_rows)?;
    let result: arrow::array::BooleanArray = json.as_string::<i32>().iter().map(|text| text.map(is_json)).collect();
    Ok(ColumnarValue::Array(Arc::new(result)))
}

/// Whether a text is JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn write_value(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let values = args.args[0].to_array(args.number_rows)?;
    Ok(ColumnarValue::Array(written(&values)?))
}

/// Each value as JSON text; null stays null.
pub(crate) fn written(values: &ArrayRef) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("value", values.data_type().clone(), true));
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(&field, values, &options)?;
    let mut texts = StringBuilder::with_capacity(values.len(), 16 * values.len());
    let mut bytes = Vec::new();
    for row in 0..values.len() {
        if values.is_null(row) || encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        texts.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(texts.finish()))
}
