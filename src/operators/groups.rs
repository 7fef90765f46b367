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
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};

use crate::operators::cells::{CellError, Cells, Recipe};
use crate::operators::keys::KeyTable;
use crate::operators::ordering::Ordering;
use crate::operators::values::bug;
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

/// An aggregate that can be computed.
pub(super) struct CompiledCall {
    /// As people wrote it.
    shown: String,
    expr: AggregateFunctionExpr,
    /// How its cells are made.
    pub recipe: Recipe,
    /// Its arguments among the inputs.
    pub args: Range<usize>,
    /// The condition for rows that count, among the inputs.
    pub filter: Option<usize>,
    /// What it is ordered by, among the inputs.
    pub order: Range<usize>,
    order_by: Vec<SortKey>,
    distinct: bool,
    mergeable: bool,
    ordered: bool,
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
        let arg_types: Vec<_> = written.iter().map(|value| value.slot.ty.to_arrow()).collect();
        let (distinct, order_by, result) = (call.distinct, call.order_by.clone(), call.slot.ty.to_arrow());
        let recipe = Recipe::new(&call.function.doc.name, expr.clone(), &arg_types, &result);
        let (mergeable, ordered) = (call.function.mergeable, call.function.ordered);
        let shown = crate::operators::show::call(call);
        Ok(CompiledCall {
            shown,
            expr,
            recipe,
            args,
            filter,
            order,
            order_by,
            distinct,
            mergeable,
            ordered,
            arg_types,
            result,
        })
    }

    /// Whether its rows are remembered instead of partial results: they cannot be merged, or are as many as the rows.
    /// `pieces`: what one result is made of is not in the order in which rows came.
    pub(super) fn keeps_rows(&self, pieces: bool) -> bool {
        let whole = self.distinct || !self.order_by.is_empty() || !self.mergeable;
        whole || (self.ordered && pieces) || self.recipe.collects()
    }

    /// The types of what is kept of its rows: arguments, then what it is ordered by.
    pub(super) fn kept_types(&self) -> Vec<DataType> {
        self.arg_types.iter().cloned().chain(self.order_by.iter().map(|key| key.value.slot.ty.to_arrow())).collect()
    }

    /// Equal arguments count once.
    pub(super) fn is_distinct(&self) -> bool {
        self.distinct
    }

    /// Its results for groups of remembered rows: arguments and what they are ordered by, in the order they came.
    pub(super) fn of_rows(
        &self,
        args: &[ArrayRef],
        order: &[ArrayRef],
        groups: &[usize],
        total: usize,
    ) -> Result<ArrayRef, CellError> {
        let mut seen = self.distinct.then(|| seen_table(self)).transpose()?;
        let mut cells = self.recipe.transient()?;
        // Without a filter accumulators take it that every group has a row.
        let all = BooleanArray::new(BooleanBuffer::new_set(groups.len()), None);
        self.update(cells.as_mut(), Arguments { args, order, filter: Some(&all) }, groups, total, seen.as_mut())?;
        self.fitted(cells.results(None)?)
    }

    /// A result of the type that was promised.
    pub(super) fn fitted(&self, result: ArrayRef) -> Result<ArrayRef, CellError> {
        let fits = result.data_type() == &self.result;
        Ok(if fits { result } else { cast(&result, &self.result).map_err(bug)? })
    }

    /// What is said when a result does not fit its type.
    pub(super) fn overflow(&self, key: &str) -> TaskError {
        let of = if key.is_empty() { String::new() } else { format!(" for {key}") };
        let wider = match self.result {
            DataType::Decimal128(..) => "a decimal with fewer digits behind the point, or float64",
            _ => "decimal(38, 0) or float64",
        };
        TaskError::Stop(format!("`{}`{of} is too large for its type; cast its argument to {wider}", self.shown))
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
            let types = call.recipe.state_types().map_err(|e| NotRunnable(e.to_string()))?;
            fields.extend(types.into_iter().map(|ty| Arc::new(Field::new("", ty, true))));
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

    /// The aggregates.
    pub(super) fn calls(&self) -> &[CompiledCall] {
        &self.calls
    }

    /// The types of the key.
    pub(super) fn key_types(&self) -> Vec<DataType> {
        self.key_fields.iter().map(|f| f.data_type().clone()).collect()
    }

    /// Accumulators that have seen nothing.
    pub(super) fn start(&self) -> Result<Groups<'_>, TaskError> {
        let types = self.key_types();
        let cells = self.calls.iter().map(|call| call.recipe.transient()).collect::<Result<_, _>>()?;
        let seen =
            self.calls.iter().map(|c| c.distinct.then(|| seen_table(c)).transpose()).collect::<Result<_, _>>()?;
        let keys = if types.is_empty() { None } else { Some(KeyTable::new(&types)?) };
        Ok(Groups { of: self, keys, cells, seen })
    }
}

/// Group numbers and arguments that a `distinct` aggregate has seen.
pub(super) fn seen_table(call: &CompiledCall) -> Result<KeyTable, TaskError> {
    let types: Vec<_> = std::iter::once(DataType::UInt32).chain(call.arg_types.iter().cloned()).collect();
    KeyTable::new(&types)
}

/// Accumulators at work on one batch.
pub(super) struct Groups<'a> {
    of: &'a CompiledGrouping,
    /// None where all rows are one group.
    keys: Option<KeyTable>,
    cells: Vec<Box<dyn Cells>>,
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
        for ((call, cells), seen) in self.of.calls.iter().zip(&mut self.cells).zip(&mut self.seen) {
            let rows = Arguments::of(call, rows);
            call.update(cells.as_mut(), rows, &groups, total, seen.as_mut())?;
        }
        Ok(())
    }

    /// Takes partial results of other groups.
    pub(super) fn merge(&mut self, rows: &RecordBatch) -> Result<(), TaskError> {
        let groups = self.assign(rows)?;
        let total = self.len();
        let mut next = self.of.key_fields.len();
        for (call, cells) in self.of.calls.iter().zip(&mut self.cells) {
            let states = next..next + call.recipe.state_types()?.len();
            next = states.end;
            cells.merge(&rows.columns()[states], &groups, total)?;
        }
        Ok(())
    }

    /// Keys and results.
    pub(super) fn results(self) -> Result<(Vec<ArrayRef>, usize), TaskError> {
        let keys = self.key_columns()?;
        let mut columns = keys.clone();
        for (call, cells) in self.of.calls.iter().zip(&self.cells) {
            let result = cells.results(None).and_then(|result| call.fitted(result));
            columns.push(result.map_err(|error| explained(error, call, &keys))?);
        }
        Ok((columns, self.len()))
    }

    /// Keys and partial results.
    pub(super) fn partial(self) -> Result<(Vec<ArrayRef>, usize), TaskError> {
        let mut columns = self.key_columns()?;
        for cells in &self.cells {
            columns.extend(cells.states(None)?);
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

/// Why a result is missing, with the key it would have had.
pub(super) fn explained(error: CellError, call: &CompiledCall, keys: &[ArrayRef]) -> TaskError {
    match error {
        CellError::Task(error) => error,
        CellError::Overflow(at) => {
            let show = |column: &ArrayRef| arrow::util::display::array_value_to_string(column, at).unwrap_or_default();
            let key: Vec<_> = keys.iter().map(|column| format!("`{}`", show(column))).collect();
            call.overflow(&key.join(", "))
        }
    }
}

/// What an aggregate looks at, of some rows.
struct Arguments<'a> {
    args: &'a [ArrayRef],
    order: &'a [ArrayRef],
    filter: Option<&'a BooleanArray>,
}

impl<'a> Arguments<'a> {
    fn of(call: &CompiledCall, rows: &'a RecordBatch) -> Self {
        let columns = rows.columns();
        let filter = call.filter.map(|f| columns[f].as_boolean());
        Arguments { args: &columns[call.args.clone()], order: &columns[call.order.clone()], filter }
    }
}

impl CompiledCall {
    fn update(
        &self,
        cells: &mut dyn Cells,
        rows: Arguments<'_>,
        groups: &[usize],
        total: usize,
        seen: Option<&mut KeyTable>,
    ) -> Result<(), TaskError> {
        let Some(chosen) = self.chosen(&rows, groups, seen)? else {
            return cells.update(rows.args, groups, rows.filter, total);
        };
        let args = rows.args.iter().map(|a| take(a, &chosen, None)).collect::<Result<Vec<_>, _>>().map_err(bug)?;
        let groups: Vec<_> = chosen.values().iter().map(|row| groups[*row as usize]).collect();
        // Without a filter accumulators take it that every group has a row here.
        let all = BooleanArray::new(BooleanBuffer::new_set(groups.len()), None);
        cells.update(&args, &groups, Some(&all), total)
    }

    /// The rows it looks at and their order, where that is not simply all of them as they came.
    fn chosen(
        &self,
        rows: &Arguments<'_>,
        groups: &[usize],
        seen: Option<&mut KeyTable>,
    ) -> Result<Option<UInt32Array>, TaskError> {
        if seen.is_none() && self.order_by.is_empty() {
            return Ok(None);
        }
        let mut chosen = match rows.filter {
            Some(filter) => accepted(filter),
            None => (0..groups.len() as u32).collect(),
        };
        if !self.order_by.is_empty() {
            let order = Ordering::new(&self.order_by)?.rows(rows.order)?;
            chosen.sort_by(|a, b| order.row(*a as usize).cmp(&order.row(*b as usize)));
        }
        let chosen = UInt32Array::from(chosen);
        match seen {
            Some(seen) => unseen(rows.args, groups, &chosen, seen).map(Some),
            None => Ok(Some(chosen)),
        }
    }
}

/// Of the chosen rows those whose arguments their group has not seen.
pub(super) fn unseen(
    args: &[ArrayRef],
    groups: &[usize],
    chosen: &UInt32Array,
    seen: &mut KeyTable,
) -> Result<UInt32Array, TaskError> {
    let group = |row: &u32| u32::try_from(groups[*row as usize]).map_err(bug);
    let groups: Vec<u32> = chosen.values().iter().map(group).collect::<Result<_, _>>()?;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(groups))];
    for arg in args {
        columns.push(take(arg, chosen, None).map_err(bug)?);
    }
    let first = seen.first_of_each(&columns)?;
    Ok(first.into_iter().map(|i| chosen.value(i as usize)).collect())
}

/// The positions at which a condition is true.
pub(super) fn accepted(condition: &BooleanArray) -> Vec<u32> {
    let holds = |i: &u32| condition.is_valid(*i as usize) && condition.value(*i as usize);
    (0..condition.len() as u32).filter(holds).collect()
}
