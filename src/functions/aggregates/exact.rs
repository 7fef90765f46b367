//! `sum`, `avg`, `min` and `max` where DataFusion's accumulators are not exact: its sums of whole numbers and decimals
//! wrap around, its means of decimals are cut off, and its extremes of floats start from the largest finite number
//! and depend on where a NaN stands. Other types, and `distinct`, are left to it.

mod tally;

use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int64Type,
    UInt64Type,
};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature,
};

use tally::{Finish, Tally};

/// The function with exact accumulators, where it needs them.
pub(super) fn exact(udf: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    match udf.name() {
        "sum" | "avg" | "min" | "max" => Arc::new(AggregateUDF::new_from_impl(Exact { inner: udf })),
        _ => udf,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    inner: Arc<AggregateUDF>,
}

/// What can be run either by group or alone.
trait Both: Accumulator + GroupsAccumulator {}

impl<T: Accumulator + GroupsAccumulator> Both for T {}

impl Exact {
    /// Our accumulator for values of this type, where there is one.
    fn tally(&self, value: &DataType, result: &DataType) -> Option<Box<dyn Both>> {
        let own = value.clone();
        Some(match (self.name(), value) {
            ("sum", DataType::Int64) => Box::new(Tally::<Int64Type>::new(tally::add, Finish::Value, own)),
            ("sum", DataType::UInt64) => Box::new(Tally::<UInt64Type>::new(tally::add, Finish::Value, own)),
            ("sum", DataType::Decimal128(..)) => {
                Box::new(Tally::<Decimal128Type>::new(tally::add, Finish::Value, result.clone()))
            }
            ("avg", DataType::Decimal128(_, scale)) => {
                let DataType::Decimal128(precision, to) = result else { return None };
                let finish = Finish::Mean { precision: *precision, scale: *to };
                Box::new(Tally::<Decimal128Type>::new(tally::add, finish, sum_of_mean(*scale)))
            }
            ("max", DataType::Float64) => Box::new(Tally::<Float64Type>::new(tally::largest, Finish::Value, own)),
            ("min", DataType::Float64) => Box::new(Tally::<Float64Type>::new(tally::smallest, Finish::Value, own)),
            ("max", DataType::Float32) => Box::new(Tally::<Float32Type>::new(tally::largest, Finish::Value, own)),
            ("min", DataType::Float32) => Box::new(Tally::<Float32Type>::new(tally::smallest, Finish::Value, own)),
            _ => return None,
        })
    }

    fn of(&self, args: &AccumulatorArgs<'_>) -> Option<Box<dyn Both>> {
        if args.is_distinct {
            return None;
        }
        self.tally(args.expr_fields.first()?.data_type(), args.return_field.data_type())
    }
}

/// A mean is kept as a sum with as many digits as there are.
fn sum_of_mean(scale: i8) -> DataType {
    DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)
}

impl AggregateUDFImpl for Exact {
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

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(ty)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match args.input_fields[0].data_type() {
            DataType::Decimal128(_, scale) if self.name() == "avg" && !args.is_distinct => Ok(vec![
                Arc::new(Field::new("count", DataType::UInt64, true)),
                Arc::new(Field::new("sum", sum_of_mean(*scale), true)),
            ]),
            _ => self.inner.state_fields(args),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match self.of(&args) {
            Some(tally) => Ok(tally),
            None => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.of(&args).is_some() || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match self.of(&args) {
            Some(tally) => Ok(tally),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match self.of(&args) {
            Some(tally) if tally.supports_retract_batch() => Ok(tally),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
