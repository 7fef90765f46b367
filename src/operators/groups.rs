//! Accumulators by key: rows go in, or partial results of other accumulators; results or partial results come out,
//! keys in the order of their first appearance. DataFusion's accumulators do the arithmetic; `distinct`, `filter`
//! and `order by` are brought about here, for every aggregate alike, by choosing and ordering the rows that each
//! accumulator sees. Partial results are laid out as DataFusion likes and live within one batch only.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};

use crate::operators::keys::KeyTable;
use crate::operators::ordering::Ordering;
use crate::operators::values::{bug, not_accumulated};
use crate::plan::expr::SortKey;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::{AggregateCall, Node, TypedExpr};

/// What is grouped and computed: a value, from which [`Groups`] are made.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    /// Over the stage's input.
    pub keys: Vec<TypedExpr>,
    /// Over the stage's input.
    pub calls: Vec<AggregateCall>,
}

impl Grouping {
    /// Everything that is computed row by row before grouping, in the order [`Groups::update`] wants: the keys, then
    /// for each call its arguments, its filter, what it is ordered by.
    pub(super) fn inputs(&self) -> Vec<TypedExpr> {
        let mut inputs = self.keys.clone();
        for call in &self.calls {
            inputs.extend(arguments(call));
            inputs.extend(call.filter.clone());
            inputs.extend(call.order_by.iter().map(|key| key.value.clone()));
        }
        inputs
    }

    /// The layout of [`Grouping::inputs`] as rows.
    pub(super) fn input_schema(&self) -> SchemaRef {
        let field = |(i, e): (usize, &TypedExpr)| Field::new(format!("c{i}"), e.slot.ty.to_arrow(), e.slot.nullable);
        Arc::new(ArrowSchema::new(self.inputs().iter().enumerate().map(field).collect::<Vec<_>>()))
    }

    /// Keys and results, in order.
    pub(super) fn result_schema(&self) -> crate::model::Schema {
        let slots = self.keys.iter().map(|k| &k.slot).chain(self.calls.iter().map(|c| &c.slot));
        let column = |(i, slot): (usize, &crate::model::Slot)| crate::model::Column::new(format!("c{i}"), slot.clone());
        crate::model::Schema::new(slots.enumerate().map(column).collect())
    }

    /// Whether partial results can be merged: nothing needs to see all rows of a key at once.
    pub(super) fn mergeable(&self) -> bool {
        self.calls.iter().all(|call| call.function.mergeable && !call.distinct && call.order_by.is_empty())
    }

    /// Whether some aggregate must see all rows of a batch at once.
    pub(super) fn ordered(&self) -> bool {
        self.calls.iter().any(|call| !call.order_by.is_empty())
    }

    /// Gets the accumulators ready.
    pub(super) fn compile(&self) -> Result<CompiledGrouping, NotRunnable> {
        let schema = self.input_schema();
        let mut next = self.keys.len();
        let calls = self.calls.iter().map(|call| CompiledCall::new(call, &schema, &mut next));
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let key_fields: Vec<FieldRef> = schema.fields()[..self.keys.len()].to_vec();
        Ok(CompiledGrouping { key_fields, calls })
    }
}

/// The arguments an accumulator gets; `count()` counts a constant.
fn arguments(call: &AggregateCall) -> Vec<TypedExpr> {
    if call.args.is_empty() {
        return vec![TypedExpr::literal(ScalarValue::Int64(Some(1)), millstream_dsl::Span::default())];
    }
    call.args.clone()
}

/// A [`Grouping`] whose accumulators can be made.
pub(super) struct CompiledGrouping {
    key_fields: Vec<FieldRef>,
    calls: Vec<CompiledCall>,
}

struct CompiledCall {
    expr: AggregateFunctionExpr,
    /// Its arguments among the inputs.
    args: Range<usize>,
    filter: Option<usize>,
    order: Range<usize>,
    order_by: Vec<SortKey>,
    distinct: bool,
    arg_types: Vec<DataType>,
    result: DataType,
}

impl CompiledCall {
    fn new(call: &AggregateCall, schema: &SchemaRef, next: &mut usize) -> Result<Self, NotRunnable> {
        let written = arguments(call);
        let args = *next..*next + written.len();
        let filter = call.filter.is_some().then_some(args.end);
        let order_start = args.end + usize::from(filter.is_some());
        let order = order_start..order_start + call.order_by.len();
        *next = order.end;
        let physical = written.iter().zip(args.clone()).map(|(value, i)| physical_argument(value, i)).collect();
        let expr = AggregateExprBuilder::new(call.function.udf.clone(), physical)
            .schema(schema.clone())
            .alias(&call.function.doc.name)
            .build()
            .map_err(|e| NotRunnable(format!("aggregate `{}` cannot be run: {e}", call.function.doc.name)))?;
        let arg_types = written.iter().map(|value| value.slot.ty.to_arrow()).collect();
        let (distinct, order_by, result) = (call.distinct, call.order_by.clone(), call.slot.ty.to_arrow());
        Ok(CompiledCall { expr, args, filter, order, order_by, distinct, arg_types, result })
    }

    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>, TaskError> {
        if self.expr.groups_accumulator_supported() {
            return self.expr.create_groups_accumulator().map_err(bug);
        }
        let expr = self.expr.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator())))
    }
}

/// Constants stay constants: some accumulators (percentiles, separators) want to see them.
fn physical_argument(value: &TypedExpr, index: usize) -> Arc<dyn PhysicalExpr> {
    match &value.node {
        Node::Literal(constant) => Arc::new(Literal::new(constant.clone())),
        _ => Arc::new(Column::new(&format!("c{index}"), index)),
    }
}

impl CompiledGrouping {
    /// The layout of [`Groups::partial`].
    pub(super) fn partial_schema(&self) -> Result<SchemaRef, NotRunnable> {
        let mut fields = self.key_fields.clone();
        for call in &self.calls {
            let states = call.expr.state_fields().map_err(|e| NotRunnable(e.to_string()))?;
            fields.extend(states);
        }
        // Names need not be unique for us, but make them so for whoever prints the rows.
        let named =
            fields.iter().enumerate().map(|(i, f)| f.as_ref().clone().with_name(format!("c{i}")).with_nullable(true));
        Ok(Arc::new(ArrowSchema::new(named.collect::<Vec<_>>())))
    }

    /// The results of no rows.
    pub(super) fn of_nothing(&self) -> Result<Vec<ArrayRef>, TaskError> {
        let result = |call: &CompiledCall| {
            let result = call.expr.create_accumulator()?.evaluate()?;
            result.cast_to(&call.result)?.to_array()
        };
        self.calls.iter().map(|call| result(call).map_err(bug)).collect()
    }

    /// Accumulators that have seen nothing.
    pub(super) fn start(&self) -> Result<Groups<'_>, TaskError> {
        let types: Vec<_> = self.key_fields.iter().map(|f| f.data_type().clone()).collect();
        let accumulators = self.calls.iter().map(CompiledCall::accumulator).collect::<Result<_, _>>()?;
        let seen =
            self.calls.iter().map(|c| c.distinct.then(|| seen_table(c)).transpose()).collect::<Result<_, _>>()?;
        let keys = if types.is_empty() { None } else { Some(KeyTable::new(&types)?) };
        Ok(Groups { of: self, keys, accumulators, seen })
    }
}

/// Group numbers and arguments that a `distinct` aggregate has seen.
fn seen_table(call: &CompiledCall) -> Result<KeyTable, TaskError> {
    let types: Vec<_> = std::iter::once(DataType::UInt32).chain(call.arg_types.iter().cloned()).collect();
    KeyTable::new(&types)
}

/// Accumulators at work on one batch.
pub(super) struct Groups<'a> {
    of: &'a CompiledGrouping,
    /// None where all rows are one group.
    keys: Option<KeyTable>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// For each call that counts equal arguments once: what it has seen.
    seen: Vec<Option<KeyTable>>,
}

impl Groups<'_> {
    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.keys.as_ref().map_or(1, KeyTable::len)
    }

    /// Takes rows of [`Grouping::input_schema`]. Where some call is ordered, all rows of the batch at once.
    pub(super) fn update(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let groups = self.assign(rows)?;
        let total = self.len();
        for (i, call) in self.of.calls.iter().enumerate() {
            let chosen = call.chosen(rows, &groups, self.seen[i].as_mut())?;
            let args = &rows.columns()[call.args.clone()];
            let accumulator = &mut self.accumulators[i];
            match chosen {
                None => {
                    let filter = call.filter.map(|f| rows.column(f).as_boolean());
                    accumulator.update_batch(args, &groups, filter, total).map_err(not_accumulated)?;
                }
                Some(chosen) => {
                    let args =
                        args.iter().map(|a| take(a, &chosen, None)).collect::<Result<Vec<_>, _>>().map_err(bug)?;
                    let groups: Vec<_> = chosen.values().iter().map(|row| groups[*row as usize]).collect();
                    // Without a filter accumulators take it that every group has a row here.
                    let all = BooleanArray::new(BooleanBuffer::new_set(groups.len()), None);
                    accumulator.update_batch(&args, &groups, Some(&all), total).map_err(not_accumulated)?;
                }
            }
        }
        Ok(())
    }

    /// Takes partial results of other groups.
    pub(super) fn merge(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let groups = self.assign(rows)?;
        let total = self.len();
        let mut next = self.of.key_fields.len();
        for (call, accumulator) in self.of.calls.iter().zip(&mut self.accumulators) {
            let states = next..next + call.expr.state_fields().map_err(bug)?.len();
            next = states.end;
            accumulator.merge_batch(&rows.columns()[states], &groups, total).map_err(not_accumulated)?;
        }
        Ok(())
    }

    /// Keys and results.
    pub(super) fn results(mut self) -> Result<(Vec<ArrayRef>, usize), TaskError> {
        let mut columns = self.key_columns()?;
        for (call, accumulator) in self.of.calls.iter().zip(&mut self.accumulators) {
            let result = accumulator.evaluate(EmitTo::All).map_err(not_accumulated)?;
            let fits = result.data_type() == &call.result;
            columns.push(if fits { result } else { cast(&result, &call.result).map_err(bug)? });
        }
        Ok((columns, self.len()))
    }

    /// Keys and partial results.
    pub(super) fn partial(mut self) -> Result<(Vec<ArrayRef>, usize), TaskError> {
        let mut columns = self.key_columns()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All).map_err(bug)?);
        }
        Ok((columns, self.len()))
    }

    fn assign(&mut self, rows: &RecordBatch) -> Result<Vec<usize>, TaskError> {
        match &mut self.keys {
            Some(keys) => keys.assign(&rows.columns()[..self.of.key_fields.len()]),
            None => Ok(vec![0; rows.num_rows()]),
        }
    }

    fn key_columns(&self) -> Result<Vec<ArrayRef>, TaskError> {
        self.keys.as_ref().map_or_else(|| Ok(Vec::new()), KeyTable::columns)
    }
}

impl CompiledCall {
    /// The rows it looks at and their order, where that is not simply all of them as they came.
    fn chosen(
        &self,
        rows: &RecordBatch,
        groups: &[usize],
        seen: Option<&mut KeyTable>,
    ) -> Result<Option<UInt32Array>, TaskError> {
        if seen.is_none() && self.order_by.is_empty() {
            return Ok(None);
        }
        let mut chosen = match self.filter {
            Some(filter) => accepted(rows.column(filter).as_boolean()),
            None => (0..rows.num_rows() as u32).collect(),
        };
        if !self.order_by.is_empty() {
            let order = Ordering::new(&self.order_by)?.rows(&rows.columns()[self.order.clone()])?;
            chosen.sort_by(|a, b| order.row(*a as usize).cmp(&order.row(*b as usize)));
        }
        let chosen = UInt32Array::from(chosen);
        match seen {
            Some(seen) => self.unseen(rows, groups, &chosen, seen).map(Some),
            None => Ok(Some(chosen)),
        }
    }

    /// Of the chosen rows those whose arguments their group has not seen.
    fn unseen(
        &self,
        rows: &RecordBatch,
        groups: &[usize],
        chosen: &UInt32Array,
        seen: &mut KeyTable,
    ) -> Result<UInt32Array, TaskError> {
        let group = |row: &u32| u32::try_from(groups[*row as usize]).map_err(bug);
        let groups: Vec<u32> = chosen.values().iter().map(group).collect::<Result<_, _>>()?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups))];
        for arg in &rows.columns()[self.args.clone()] {
            columns.push(take(arg, chosen, None).map_err(bug)?);
        }
        let first = seen.first_of_each(&columns)?;
        Ok(first.into_iter().map(|i| chosen.value(i as usize)).collect())
    }
}

/// The positions at which a condition is true.
fn accepted(condition: &BooleanArray) -> Vec<u32> {
    let holds = |i: &u32| condition.is_valid(*i as usize) && condition.value(*i as usize);
    (0..condition.len() as u32).filter(holds).collect()
}
