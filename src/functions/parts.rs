//! Two small ones: `locate`, which is `strpos` the other way round, and `map_entries`, whose kernel in DataFusion does
//! not know how our maps call their columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature as Accepts, Volatility};

use super::kernel::{Kernel, exactly};
use super::resolve::{before_types, strict};
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{Argument, Doc, Failure, FunctionBody, FunctionEntry, Signature, Stability, unsettled};

/// `locate`, `map_entries`.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let texts = exactly(vec![DataType::Utf8, DataType::Utf8]);
    let locate =
        Doc::new("locate", "where a text stands in another, from 1; 0 where it does not", "locate(substr, str)")
            .example(r#"locate("b", "abc")"#);
    let entries = Doc::new("map_entries", "a list of the keys and values of a map", "map_entries(map)");
    let any = Accepts::any(1, Volatility::Immutable);
    vec![
        entry(locate, "text", Kernel::udf("locate", texts, |_| DataType::Int32, position), strict),
        entry(entries, "map", Kernel::udf("map_entries", any, entries_type, pairs), resolve_entries),
    ]
}

fn entry(
    doc: Doc,
    group: &'static str,
    udf: Arc<ScalarUDF>,
    resolve: fn(&FunctionEntry, &[Argument<'_>]) -> std::result::Result<Signature, String>,
) -> Arc<FunctionEntry> {
    Arc::new(FunctionEntry {
        doc,
        group,
        failure: Failure::Total,
        settled: unsettled,
        stability: Stability::Pure,
        body: FunctionBody::Scalar(udf),
        resolve,
    })
}

fn position(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let strpos = datafusion_functions::unicode::strpos();
    let mut swapped = args.clone();
    swapped.args.reverse();
    strpos.invoke_with_args(swapped)
}

fn resolve_entries(entry: &FunctionEntry, args: &[Argument<'_>]) -> std::result::Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let Type::Map(key, value) = &args[0].slot.ty else {
        return Err(format!("wants a map as its first argument, got `{}`", args[0].slot.ty));
    };
    let fields = vec![Column::new("key", Slot::required((**key).clone())), Column::new("value", (**value).clone())];
    let ty = Type::List(Box::new(Slot::required(Type::Struct(fields))));
    Ok(Signature { args: vec![args[0].slot.ty.clone()], result: Slot { ty, nullable: args[0].slot.nullable } })
}

fn entries_type(args: &[FieldRef]) -> DataType {
    let DataType::Map(entries, _) = args[0].data_type() else { return DataType::Null };
    let DataType::Struct(pair) = entries.data_type() else { return DataType::Null };
    list_of(entry_fields(pair))
}

fn list_of(fields: Fields) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), false)))
}

fn entry_fields(pair: &Fields) -> Fields {
    pair.iter().zip(["key", "value"]).map(|(field, name)| field.as_ref().clone().with_name(name)).collect()
}

fn pairs(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let maps = args.args[0].to_array(args.number_rows)?;
    let maps = maps.as_map();
    let fields = entry_fields(maps.entries().fields());
    let pairs = StructArray::try_new(fields.clone(), maps.entries().columns().to_vec(), None)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
    let lists = ListArray::try_new(item, maps.offsets().clone(), Arc::new(pairs), maps.nulls().cloned())?;
    Ok(ColumnarValue::Array(Arc::new(lists) as ArrayRef))
}
