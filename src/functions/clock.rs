//! `now()` and its like: the recorded batch time, which the evaluation hands to every function of
//! [`Stability::Batch`] as a hidden last argument. No clock is read here.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

use super::kernel::{Kernel, exactly};
use super::resolve::before_types;
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Doc, Failure, FunctionBody, FunctionEntry, Signature, Stability, unsettled};

/// `now`, `current_date`, `current_time`.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let now = Doc::new("now", "the time of the batch, the same for all its rows", "now()");
    let date = Doc::new("current_date", "the day of the batch, in UTC", "current_date()");
    let time = Doc::new("current_time", "the time of day of the batch, in UTC", "current_time()");
    vec![
        entry(
            now.alias("current_timestamp"),
            |_| Type::Timestamp(None).to_arrow(),
            |_, args| moment(args, Type::Timestamp(None)),
        ),
        entry(date.alias("today").alias("curdate"), |_| Type::Date.to_arrow(), |_, args| moment(args, Type::Date)),
        entry(time, |_| Type::Time.to_arrow(), |_, args| moment(args, Type::Time)),
    ]
}

fn entry(
    doc: Doc,
    result: fn(&[FieldRef]) -> DataType,
    resolve: fn(&FunctionEntry, &[Argument<'_>]) -> std::result::Result<Signature, String>,
) -> Arc<FunctionEntry> {
    let example = doc.usage.clone();
    let accepts = exactly(vec![Type::Timestamp(None).to_arrow()]);
    let udf = Kernel::udf(&doc.name, accepts, result, of_batch_time);
    Arc::new(FunctionEntry {
        doc: doc.example(&example),
        group: "date",
        failure: Failure::Total,
        settled: unsettled,
        stability: Stability::Batch,
        body: FunctionBody::Scalar(udf),
        resolve,
    })
}

fn of_batch_time(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    args.args[0].cast_to(args.return_type(), None)
}

fn moment(args: &[Argument<'_>], ty: Type) -> std::result::Result<Signature, String> {
    let none = before_types("now()", args)?;
    Ok(none.unwrap_or(Signature { args: Vec::new(), result: Slot::required(ty) }))
}
