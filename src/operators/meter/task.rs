//! `meter` at work: one value per name and batch, and what they came to.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray,
    UInt8Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type, Int8Type, Int64Type, Schema, SchemaRef};

use crate::operators::groups::{CompiledGrouping, Grouping};
use crate::operators::meter::Meter;
use crate::operators::touched::whole;
use crate::operators::values::{Values, batch_of, bug};
use crate::plan::measure::{Measure, Measured};
use crate::plan::operator::{BatchTime, Changes, Evaluated, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};
use crate::plan::{Node, Port, TypedExpr};

/// The name and the layout of what is saved, a row for each meter that has a value: `_group` (0: there is one task),
/// `name`, and one of `digits` with `scale`, `float` and `micros`. Fixed: state of older versions has it.
const TABLE: &str = "meters";

/// Measures the rows of every batch.
pub(super) struct MeterTask {
    schema: SchemaRef,
    inputs: Values,
    grouping: CompiledGrouping,
    /// Whether the rows of a batch must be seen at once.
    ordered: bool,
    input_schema: SchemaRef,
    grouped: SchemaRef,
    results: Values,
    meters: Vec<(String, bool)>,
    so_far: Vec<Option<Measure>>,
    /// What was last told of them.
    told: Vec<Option<Measure>>,
}

impl MeterTask {
    pub(super) fn new(of: &Meter) -> Result<Self, NotRunnable> {
        let results = of.grouping.result_schema();
        let grouped = results.columns.iter().map(|c| Field::new(&c.name, c.slot.ty.to_arrow(), true));
        Ok(MeterTask {
            schema: of.input.to_arrow(),
            inputs: Values::new(&of.grouping.inputs(), &of.input)?,
            grouping: of.grouping.compile()?,
            ordered: of.grouping.ordered(),
            input_schema: of.grouping.input_schema(),
            grouped: Arc::new(Schema::new(grouped.collect::<Vec<_>>())),
            results: Values::new(of.meters.iter().map(|(_, value)| value), &results)?,
            meters: of.meters.iter().map(|(name, value)| (name.clone(), adds_up(value, &of.grouping))).collect(),
            so_far: vec![None; of.meters.len()],
            told: vec![None; of.meters.len()],
        })
    }

    /// The values of the batch.
    fn values(&self, rows: &[RecordBatch], batch: &BatchTime) -> Result<Vec<ArrayRef>, TaskError> {
        let columns = if rows.iter().all(|rows| rows.num_rows() == 0) {
            self.grouping.of_nothing()?
        } else {
            let mut groups = self.grouping.start()?;
            if self.ordered {
                groups.update(&concat_batches(&self.input_schema, rows).map_err(bug)?)?;
            } else {
                rows.iter().try_for_each(|rows| groups.update(rows))?;
            }
            groups.results()?.0
        };
        let computed = self.results.eval(&batch_of(&self.grouped, columns, 1)?, batch)?;
        match computed.bad.first_reason() {
            Some(reason) => Err(TaskError::Stop(format!("a value of `meter` cannot be computed: {reason}"))),
            None => Ok(computed.columns),
        }
    }
}

/// Whether a value of two batches is the sum of theirs.
fn adds_up(value: &TypedExpr, grouping: &Grouping) -> bool {
    let Node::Column { index, .. } = &value.node else { return false };
    let call = grouping.calls.get(*index);
    call.is_some_and(|call| !call.distinct && ["count", "count_if", "sum"].contains(&call.function.doc.name.as_str()))
}

impl KeyedTask for MeterTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let mut out = Evaluated::default();
        let mut rows = Vec::new();
        for block in inputs.into_iter().flatten().filter(|block| block.num_rows() > 0) {
            let computed = self.inputs.eval(&block, &time.batch)?;
            let count = computed.rows.num_rows();
            rows.push(batch_of(&self.input_schema, computed.columns, count)?);
            out.rows.push((Port::Out, computed.rows));
            out.rows.extend(computed.bad.into_rows());
        }
        let nothing = rows.iter().all(|rows| rows.num_rows() == 0);
        let values = self.values(&rows, &time.batch)?;
        for ((value, (name, adds_up)), so_far) in values.iter().zip(&self.meters).zip(&mut self.so_far) {
            let batch = Measure::first(value).filter(|_| *adds_up || !nothing);
            *so_far = match (*so_far, batch) {
                (Some(sum), Some(more)) if *adds_up => Some(sum.plus(more)),
                (before, batch) => batch.or(before),
            };
            out.measured.push(Measured { name: name.clone(), adds_up: *adds_up, batch, so_far: *so_far });
        }
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let known = self.meters.iter().zip(&self.so_far).filter_map(|((name, _), value)| Some((name, (*value)?)));
        let known: Vec<_> = known.collect();
        let exact = |(_, value): &(&String, Measure)| match value {
            Measure::Exact(digits, scale) => Some((*digits, *scale)),
            Measure::Float(_) | Measure::Duration(_) => None,
        };
        let digits: Decimal128Array = known.iter().map(|m| exact(m).map(|(digits, _)| digits)).collect();
        let digits = digits.with_precision_and_scale(38, 0).map_err(bug)?;
        let scale: Int8Array = known.iter().map(|m| exact(m).map(|(_, scale)| scale)).collect();
        let float = |(_, value): &(&String, Measure)| if let Measure::Float(x) = value { Some(*x) } else { None };
        let micros = |(_, value): &(&String, Measure)| if let Measure::Duration(x) = value { Some(*x) } else { None };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(vec![0; known.len()])),
            Arc::new(StringArray::from_iter_values(known.iter().map(|(name, _)| name))),
            Arc::new(digits),
            Arc::new(scale),
            Arc::new(known.iter().map(float).collect::<Float64Array>()),
            Arc::new(known.iter().map(micros).collect::<Int64Array>()),
        ];
        let fields = vec![
            Field::new("_group", DataType::UInt8, true),
            Field::new("name", DataType::Utf8, false),
            Field::new("digits", DataType::Decimal128(38, 0), true),
            Field::new("scale", DataType::Int8, true),
            Field::new("float", DataType::Float64, true),
            Field::new("micros", DataType::Int64, true),
        ];
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(bug)?;
        Ok(vec![SavedTable { name: TABLE.into(), identity: 2, rows: vec![rows] }])
    }

    fn track(&mut self) {
        self.told.clone_from(&self.so_far);
    }

    /// All meters, where one has another value: there are as many as the text has, and none goes.
    fn changes(&mut self) -> Result<Changes, TaskError> {
        if self.told == self.so_far {
            return Ok(Changes::Some(Vec::new()));
        }
        self.told.clone_from(&self.so_far);
        Ok(Changes::Some(self.save()?.into_iter().map(whole).collect()))
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        for rows in tables.iter().filter(|table| table.name == TABLE).flat_map(|table| &table.rows) {
            let column =
                |name: &str| rows.column_by_name(name).ok_or_else(|| bug(format!("saved meters lack `{name}`")));
            let names = column("name")?.as_string::<i32>();
            let digits = column("digits")?.as_primitive::<Decimal128Type>();
            let scale = column("scale")?.as_primitive::<Int8Type>();
            let float = column("float")?.as_primitive::<Float64Type>();
            let micros = column("micros")?.as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let value = match (digits.is_valid(row), float.is_valid(row)) {
                    (true, _) => Measure::Exact(digits.value(row), scale.value(row)),
                    (_, true) => Measure::Float(float.value(row)),
                    _ => Measure::Duration(micros.value(row)),
                };
                if let Some(i) = self.meters.iter().position(|(name, _)| name == names.value(row)) {
                    self.so_far[i] = Some(value);
                }
            }
        }
        Ok(())
    }
}
