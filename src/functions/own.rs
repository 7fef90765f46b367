//! Functions of a program that uses the library: a closure over columns, with declared types.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{is_not_null, nullif};
use arrow::compute::{kernels::boolean, or};
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{DataFusionError, Result, internal_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature as Accepts, Volatility,
};

use crate::functions::resolve;
use crate::model::Type;
use crate::plan::catalog::{Doc, Failure, FunctionBody, FunctionEntry, Stability, unsettled};

/// A function that has a value for every row without a null: `args[i]` is the i-th argument's column, as many rows
/// each as the result must have. A row with a null argument gives null, whatever the closure says of it.
pub fn function(
    name: &str,
    summary: &str,
    args: &[(&str, Type)],
    result: Type,
    body: impl Fn(&[ArrayRef]) -> ArrayRef + Send + Sync + 'static,
) -> FunctionEntry {
    entry(name, summary, args, result, Failure::Total, Arc::new(move |args| Ok(body(args))))
}

/// A function that can fail for a row, so that a pipeline must say `?? default` or `?` behind it. An error is asked
/// after row by row, to find the rows that it is about.
pub fn fallible_function(
    name: &str,
    summary: &str,
    args: &[(&str, Type)],
    result: Type,
    body: impl Fn(&[ArrayRef]) -> Result<ArrayRef, String> + Send + Sync + 'static,
) -> FunctionEntry {
    entry(name, summary, args, result, Failure::Fallible, Arc::new(body))
}

type Body = Arc<dyn Fn(&[ArrayRef]) -> Result<ArrayRef, String> + Send + Sync>;

fn entry(
    name: &str,
    summary: &str,
    args: &[(&str, Type)],
    result: Type,
    failure: Failure,
    body: Body,
) -> FunctionEntry {
    let names: Vec<_> = args.iter().map(|(name, _)| *name).collect();
    let types = args.iter().map(|(_, ty)| ty.to_arrow()).collect();
    let accepts = match args {
        [] => Accepts::nullary(Volatility::Immutable),
        _ => Accepts::exact(types, Volatility::Immutable),
    };
    let own = Own { name: name.to_owned(), accepts, result: result.to_arrow(), body };
    FunctionEntry {
        doc: Doc::new(name, summary, &format!("{name}({})", names.join(", "))),
        group: "own",
        failure,
        settled: unsettled,
        stability: Stability::Pure,
        body: FunctionBody::Scalar(Arc::new(ScalarUDF::new_from_impl(own))),
        resolve: resolve::strict,
    }
}

/// A closure as DataFusion sees it.
struct Own {
    name: String,
    accepts: Accepts,
    result: DataType,
    body: Body,
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Accepts {
        &self.accepts
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("`{}` answers by fields", self.name)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(resolve::field(self.result.clone(), true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&columns).map_err(DataFusionError::Execution)?;
        if result.len() != rows || *result.data_type() != self.result {
            let (len, ty) = (result.len(), result.data_type());
            let what = format!("`{}` gave {len} values of {ty} for {rows} rows of {}", self.name, self.result);
            return Err(DataFusionError::Execution(what));
        }
        Ok(ColumnarValue::Array(without_nulls_of(result, &columns)?))
    }
}

/// Null where an argument is.
fn without_nulls_of(result: ArrayRef, args: &[ArrayRef]) -> Result<ArrayRef> {
    let mut absent = None;
    for arg in args.iter().filter(|arg| arg.null_count() > 0) {
        let here = boolean::not(&is_not_null(arg)?)?;
        absent = Some(match absent {
            Some(before) => or(&before, &here)?,
            None => here,
        });
    }
    match absent {
        Some(absent) => Ok(nullif(&result, &absent)?),
        None => Ok(result),
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.body, &other.body)
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
