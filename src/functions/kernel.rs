//! Functions of our own: a kernel over columns as a DataFusion function, and the entry around it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature as Accepts, Volatility,
};

/// A function of ours. Its types are the entry's business; what is here only computes.
pub(super) struct Kernel {
    name: String,
    accepts: Accepts,
    result: fn(&[FieldRef]) -> DataType,
    compute: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
}

impl Kernel {
    /// As a DataFusion function: `accepts` names the types the kernel is written for, `result` what comes out of them.
    pub(super) fn udf(
        name: &str,
        accepts: Accepts,
        result: fn(&[FieldRef]) -> DataType,
        compute: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
    ) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Kernel { name: name.to_owned(), accepts, result, compute }))
    }
}

/// What a kernel of exactly these types accepts.
pub(super) fn exactly(types: Vec<DataType>) -> Accepts {
    Accepts::exact(types, Volatility::Immutable)
}

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Accepts {
        &self.accepts
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("`{}` answers by fields", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(super::resolve::field((self.result)(args.arg_fields), true))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.compute)(&args)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
