//! `max_by` and `min_by`: the value of the row whose key is largest or smallest; of equal keys the first row's.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// The value with the largest or smallest key.
pub(super) fn udf(name: &'static str, wanted: Ordering) -> Arc<AggregateUDF> {
    let signature = Signature::any(2, Volatility::Immutable);
    let largest = wanted == Ordering::Greater;
    Arc::new(AggregateUDF::new_from_impl(Extreme { name, largest, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    name: &'static str,
    largest: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let null = |at: usize| ScalarValue::try_new_null(args.expr_fields[at].data_type());
        let wanted = if self.largest { Ordering::Greater } else { Ordering::Less };
        Ok(Box::new(Best { wanted, value: null(0)?, key: null(1)? }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |(name, at): (&str, usize)| Field::new(name, args.input_fields[at].data_type().clone(), true);
        Ok([("value", 0), ("key", 1)].into_iter().map(field).map(Arc::new).collect())
    }
}

/// The best row so far; its key is null before there is one.
#[derive(Debug)]
struct Best {
    wanted: Ordering,
    value: ScalarValue,
    key: ScalarValue,
}

impl Best {
    fn better(&self, key: &ScalarValue) -> Result<bool> {
        Ok(!key.is_null() && (self.key.is_null() || key.try_cmp(&self.key)? == self.wanted))
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, keys] = columns else { return datafusion_common::internal_err!("a value and a key") };
        for row in 0..keys.len() {
            let key = ScalarValue::try_from_array(keys, row)?;
            if self.better(&key)? {
                self.value = ScalarValue::try_from_array(values, row)?;
                self.key = key;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.key.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.key.size()
    }
}
