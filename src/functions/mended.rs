//! Functions whose kernels are wrong for some rows: what they give is put right. Found by `tests/bench/agree`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion_common::Result;
use datafusion_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Puts a result right, where the first argument asks for it.
type Mend = fn(&ArrayRef, ArrayRef) -> Result<ArrayRef>;

/// The function, put right where that is needed.
pub(super) fn mended(udf: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match udf.name() {
        "to_unixtime" | "round" => Arc::new(ScalarUDF::new_from_impl(Mended { inner: Arc::clone(udf) })),
        _ => Arc::clone(udf),
    }
}

/// Whole seconds up to a moment, also before 1970, where the kernel cuts off towards it.
fn whole_seconds(moments: &ArrayRef, seconds: ArrayRef) -> Result<ArrayRef> {
    let DataType::Timestamp(_, zone) = moments.data_type() else { return Ok(seconds) };
    let micros = cast(moments, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    Ok(Arc::new(micros.unary::<_, Int64Type>(|micros| micros.div_euclid(1_000_000))))
}

/// A number that is too large to be moved by some digits has none of them.
fn within_range(numbers: &ArrayRef, rounded: ArrayRef) -> Result<ArrayRef> {
    let (Some(numbers), Some(found)) =
        (numbers.as_primitive_opt::<Float64Type>(), rounded.as_primitive_opt::<Float64Type>())
    else {
        return Ok(rounded);
    };
    let better = |(number, found): (Option<f64>, Option<f64>)| match (number, found) {
        (Some(number), Some(found)) if number.is_finite() && !found.is_finite() => Some(number),
        (_, found) => found,
    };
    Ok(Arc::new(numbers.iter().zip(found).map(better).collect::<Float64Array>()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mended {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Mended {
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
        let mend: Mend = if self.name() == "round" { within_range } else { whole_seconds };
        let (of, rows) = (args.args[0].clone(), args.number_rows);
        match (self.inner.invoke_with_args(args)?, of) {
            (result, ColumnarValue::Scalar(_)) => Ok(result),
            (result, ColumnarValue::Array(of)) => Ok(ColumnarValue::Array(mend(&of, result.to_array(rows)?)?)),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    #[test]
    fn half_a_second_before_1970_is_in_the_second_before_it() {
        let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(-500_000), Some(1_500_000), None]));
        let seconds = whole_seconds(&moments, Arc::clone(&moments)).unwrap();
        let seconds: Vec<_> = seconds.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(seconds, [Some(-1), Some(1), None]);
    }

    #[test]
    fn a_huge_number_is_not_rounded_to_infinity() {
        let column = |numbers: [f64; 3]| Arc::new(Float64Array::from(numbers.to_vec())) as ArrayRef;
        let rounded = within_range(&column([1e308, 1.25, f64::INFINITY]), column([f64::INFINITY, 1.3, f64::INFINITY]));
        assert_eq!(rounded.unwrap().as_primitive::<Float64Type>().values(), &[1e308, 1.3, f64::INFINITY]);
    }
}
