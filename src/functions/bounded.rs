//! Functions that make as much as a number in a row says: a row that asks for too much fails, where the kernel would
//! take the memory of the whole machine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The most characters or elements that one call may make.
const MOST: i128 = 1_000_000;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    /// The number in this argument.
    Count(usize),
    /// The steps between the first two arguments, or from zero to the only one.
    Steps,
}

/// The function with its bound, where it needs one.
pub(super) fn bounded(udf: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let asked = match udf.name() {
        "repeat" | "lpad" | "rpad" | "array_repeat" | "array_resize" => Asked::Count(1),
        "range" | "generate_series" => Asked::Steps,
        _ => return Arc::clone(udf),
    };
    Arc::new(ScalarUDF::new_from_impl(Bounded { inner: Arc::clone(udf), asked }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    asked: Asked,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let asked = match self.asked {
            Asked::Count(at) => most(&args.args[at])?,
            Asked::Steps => steps(&args)?,
        };
        match asked {
            _ if asked > MOST => exec_err!("asks for {asked}, more than {MOST}"),
            _ if asked < 0 && self.name().ends_with("pad") => exec_err!("asks for {asked} characters"),
            _ => self.inner.invoke_with_args(args),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// The largest number of a column.
fn most(value: &ColumnarValue) -> Result<i128> {
    let numbers = value.to_array(1)?;
    let numbers = cast(&numbers, &DataType::Int64)?;
    Ok(arrow::compute::max(numbers.as_primitive::<Int64Type>()).map_or(0, i128::from))
}

/// The largest number of steps of a row.
fn steps(args: &ScalarFunctionArgs) -> Result<i128> {
    let columns = args.args.iter().map(|a| numbers(&a.to_array(args.number_rows)?)).collect::<Result<Vec<_>>>()?;
    let row_steps = |row: usize| {
        let at = |column: usize| columns.get(column).map(|c| c[row]);
        let (from, to) = if columns.len() == 1 { (Some(0), at(0)) } else { (at(0), at(1)) };
        let step = at(2).unwrap_or(1).unsigned_abs().max(1);
        to.zip(from).map_or(0, |(to, from)| (to - from).unsigned_abs() / step)
    };
    let largest = (0..args.number_rows).map(row_steps).max().unwrap_or(0);
    Ok(i128::try_from(largest).unwrap_or(i128::MAX))
}

/// Whole numbers as they are, moments and lengths of time in nanoseconds; zero for null.
fn numbers(array: &ArrayRef) -> Result<Vec<i128>> {
    const DAY: i128 = 86_400_000_000_000;
    if array.data_type() == &DataType::Interval(IntervalUnit::MonthDayNano) {
        let lengths = array.as_primitive::<IntervalMonthDayNanoType>();
        let nanos = |l: arrow::datatypes::IntervalMonthDayNano| {
            (i128::from(l.months) * 28 + i128::from(l.days)) * DAY + i128::from(l.nanoseconds)
        };
        return Ok(lengths.iter().map(|l| l.map_or(0, nanos)).collect());
    }
    let scale = match array.data_type() {
        DataType::Date32 => DAY,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let whole = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(whole.as_primitive::<Int64Type>().iter().map(|n| n.map_or(0, |n| i128::from(n) * scale)).collect())
}
