//! `collect_list` and `collect_set` as Spark has them: nulls are left out, and no values are an empty list.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{HashSet, Result, ScalarValue, internal_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion_functions_aggregate::array_agg::array_agg_udaf;

/// Equal values each, or once.
pub(super) fn udf(name: &'static str, distinct: bool) -> Arc<AggregateUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Collect { name, distinct, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collect {
    name: &'static str,
    distinct: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        array_agg_udaf().return_type(types)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let DataType::List(element) = args.return_type() else { return internal_err!("`{}` makes lists", self.name) };
        if self.distinct {
            return Ok(Box::new(Different::new(element.data_type())));
        }
        let empty = ScalarValue::List(ScalarValue::new_list_nullable(&[], element.data_type()));
        let args = AccumulatorArgs { ignore_nulls: true, ..args };
        Ok(Box::new(OrEmpty { inner: array_agg_udaf().accumulator(args)?, empty }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        array_agg_udaf().state_fields(StateFieldsArgs { is_distinct: self.distinct, ..args })
    }
}

/// `array_agg`, whose nothing is an empty list.
#[derive(Debug)]
struct OrEmpty {
    inner: Box<dyn Accumulator>,
    empty: ScalarValue,
}

impl Accumulator for OrEmpty {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let list = self.inner.evaluate()?;
        Ok(if list.is_null() { self.empty.clone() } else { list })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

/// Different values in the order in which they first come. DataFusion gives them in the order of a hash table.
#[derive(Debug)]
struct Different {
    element: DataType,
    values: Vec<ScalarValue>,
    seen: HashSet<ScalarValue>,
}

impl Different {
    fn new(element: &DataType) -> Self {
        Different { element: element.clone(), values: Vec::new(), seen: HashSet::default() }
    }
}

impl Accumulator for Different {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for row in 0..columns[0].len() {
            let value = ScalarValue::try_from_array(&columns[0], row)?;
            if !value.is_null() && self.seen.insert(value.clone()) {
                self.values.push(value.compacted());
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for list in lists.iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(&self.values, &self.element)))
    }

    fn size(&self) -> usize {
        // The values are held twice.
        size_of_val(self) + 2 * self.values.iter().map(ScalarValue::size).sum::<usize>()
    }
}
