//! `x in [...]`: a hash set where the list is constant, comparisons where it is not. Three-valued: null where x is, or
//! where x is not found in a list that holds null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, or_kleene};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal, in_list};
use millstream_dsl::ast::BinaryOp;

use super::attempt::bug;
use super::compare::{compared, plain_floats};
use super::compile::Compiler;
use super::construct::evaluated;
use super::step::{Compute, Rows, Step, Value};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::{Node, TypedExpr};

/// Whether the list on the right holds the value on the left.
pub(super) fn step(compiler: &Compiler, value: &TypedExpr, list: &TypedExpr) -> Result<Step, NotRunnable> {
    let value = compiler.step(value)?;
    let Node::List(items) = &list.node else {
        return Ok(Step::new(InList, vec![value, compiler.step(list)?], DataType::Boolean, false));
    };
    let items = items.iter().map(|item| compiler.step(item)).collect::<Result<Vec<_>, _>>()?;
    let constants: Option<Vec<_>> = items.iter().map(|item| item.constant.clone()).collect();
    match constants {
        Some(constants) if !constants.is_empty() && !value.ty.is_nested() && value.ty != DataType::Null => {
            let set = InSet::new(&value.ty, constants).map_err(|e| NotRunnable(e.strip_backtrace()))?;
            Ok(Step::new(set, vec![value], DataType::Boolean, false))
        }
        _ => {
            let operands = std::iter::once(value).chain(items).collect();
            Ok(Step::new(InItems, operands, DataType::Boolean, false))
        }
    }
}

/// Among constants.
struct InSet {
    filter: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl InSet {
    fn new(ty: &DataType, constants: Vec<ScalarValue>) -> Result<Self, datafusion_common::DataFusionError> {
        let schema = Arc::new(ArrowSchema::new(vec![Field::new("value", ty.clone(), true)]));
        let literal = |value: ScalarValue| {
            let plain = ScalarValue::try_from_array(&plain_floats(&value.cast_to(ty)?.to_array()?), 0)?;
            Ok(Arc::new(Literal::new(plain)) as Arc<dyn PhysicalExpr>)
        };
        let constants =
            constants.into_iter().map(literal).collect::<Result<_, datafusion_common::DataFusionError>>()?;
        let filter = in_list(Arc::new(Column::new("value", 0)), constants, &false, &schema)?;
        Ok(InSet { filter, schema })
    }
}

impl Compute for InSet {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let column = plain_floats(&value.array(rows.count)?);
        let block = RecordBatch::try_new(Arc::clone(&self.schema), vec![column]).map_err(bug)?;
        let data = self.filter.evaluate(&block).map_err(bug)?;
        Ok(Value { data, failures: value.failures })
    }
}

/// Among expressions.
struct InItems;

impl Compute for InItems {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let (data, failures) = evaluated(operands, rows)?;
        let Some((value, items)) = data.split_first() else { return Err(bug("`in` has two sides")) };
        let mut found = BooleanArray::from(vec![false; rows.count]);
        for item in items {
            let same = compared(BinaryOp::Equal, value, item, rows.count).map_err(bug)?;
            found = or_kleene(&found, &same).map_err(bug)?;
        }
        Ok(Value { data: (Arc::new(found) as ArrayRef).into(), failures })
    }
}

/// Among the elements of a column of lists.
struct InList;

impl Compute for InList {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let (data, failures) = evaluated(operands, rows)?;
        let [value, list] = data.as_slice() else { return Err(bug("`in` has two sides")) };
        let found = found_in(value, list, rows.count).map_err(bug)?;
        Ok(Value { data: (Arc::new(found) as ArrayRef).into(), failures })
    }
}

fn found_in(
    value: &ColumnarValue,
    list: &ColumnarValue,
    count: usize,
) -> Result<BooleanArray, datafusion_common::DataFusionError> {
    let (value, list) = (value.to_array(count)?, list.to_array(count)?);
    let list = list.as_list::<i32>();
    if value.data_type() == &DataType::Null || list.values().data_type() == &DataType::Null {
        return Ok(BooleanArray::new_null(count));
    }
    let (value, elements) = (plain_floats(&value), plain_floats(list.values()));
    let order = make_comparator(&elements, &value, SortOptions::default())?;
    let offsets = list.value_offsets();
    let holds = |row: usize| {
        let entries = usize::try_from(offsets[row]).ok()?..usize::try_from(offsets[row + 1]).ok()?;
        if list.is_null(row) {
            return None;
        }
        let found = value.is_valid(row) && entries.clone().any(|e| elements.is_valid(e) && order(e, row).is_eq());
        let unsure = !entries.is_empty() && (value.is_null(row) || entries.clone().any(|e| elements.is_null(e)));
        (found || !unsure).then_some(found)
    };
    Ok((0..count).map(holds).collect())
}
