//! `aggregate ... per batch` at work, whole or cut in two at the shuffle. Where all partial results can be merged, the
//! first half groups each block; otherwise it computes keys and arguments, and the second half sees the rows.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::operators::aggregate::Aggregate;
use crate::operators::aggregate::results::Results;
use crate::operators::gathering::gathering;
use crate::operators::groups::CompiledGrouping;
use crate::operators::show;
use crate::operators::values::{BadRows, Values, batch_of, bug};
use crate::plan::operator::{BatchTime, Distribution, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Operator, Port, Properties};

/// Both halves in one place.
pub(super) fn whole(of: &Aggregate) -> Result<Task, NotRunnable> {
    let (first, second) = (Inputs::new(of)?, Second::new(of)?);
    Ok(gathering(second.schema.clone(), move |inputs, batch| {
        let mut rows = Vec::new();
        let mut aside = Vec::new();
        let mut taken = 0;
        for block in inputs.into_iter().flatten() {
            let (computed, bad) = first.of(&block, batch)?;
            taken += computed.num_rows();
            rows.push(computed);
            aside.extend(bad.into_rows());
        }
        let mut out = Evaluated::taken(second.group(&rows, batch)?, taken);
        out.rows.extend(aside);
        Ok(out)
    }))
}

/// The half before the shuffle and the one behind it.
pub(super) fn halves(of: &Aggregate) -> (Box<dyn Operator>, Box<dyn Operator>) {
    let merges = of.grouping.mergeable();
    (Box::new(FirstHalf { of: of.clone(), merges }), Box::new(SecondHalf { of: of.clone(), merges }))
}

/// Groups each block, or only computes keys and arguments.
#[derive(Debug)]
struct FirstHalf {
    of: Aggregate,
    merges: bool,
}

impl Operator for FirstHalf {
    fn word(&self) -> &'static str {
        "aggregate"
    }

    fn explain(&self) -> String {
        let calls: Vec<_> = self.of.grouping.calls.iter().map(show::call).collect();
        let what = if self.merges { "partial" } else { "arguments of" };
        format!("aggregate {what} {}{}", calls.join(", "), show::by(&self.of.key_names))
    }

    fn properties(&self) -> Properties {
        let whole = self.of.properties();
        Properties {
            row_wise: !self.merges,
            deterministic: whole.deterministic,
            ..Properties::row_wise(whole.reads.unwrap_or_default())
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let inputs = Inputs::new(&self.of)?;
        if !self.merges {
            return Ok(Task::Rows(Box::new(inputs)));
        }
        let grouping = self.of.grouping.compile()?;
        let schema = grouping.partial_schema()?;
        Ok(Task::Rows(Box::new(Partial { inputs, grouping, schema })))
    }
}

/// Merges partial results, or groups the computed keys and arguments.
#[derive(Debug)]
struct SecondHalf {
    of: Aggregate,
    merges: bool,
}

impl Operator for SecondHalf {
    fn word(&self) -> &'static str {
        "aggregate"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.of.results.iter().map(|r| r.name.as_str()).collect();
        let what = if self.merges { "merge" } else { "rows into" };
        format!("aggregate {what} {}{} {}", names.join(", "), show::by(&self.of.key_names), self.of.lives)
    }

    fn properties(&self) -> Properties {
        let keys = self.of.grouping.keys.len();
        Properties::gathering(match keys {
            0 => Distribution::Single,
            n => Distribution::ByKey(vec![(0..n).collect()]),
        })
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let second = Second::new(&self.of)?;
        let merges = self.merges;
        Ok(gathering(second.schema.clone(), move |inputs, batch| {
            let rows: Vec<_> = inputs.into_iter().flatten().collect();
            let taken = rows.iter().map(RecordBatch::num_rows).sum();
            let out = if merges { second.merge(&rows, batch) } else { second.group(&rows, batch) };
            Ok(Evaluated::taken(out?, taken))
        }))
    }
}

/// Computes keys and arguments of each row.
struct Inputs {
    values: Values,
    schema: SchemaRef,
}

impl Inputs {
    fn new(of: &Aggregate) -> Result<Self, NotRunnable> {
        Ok(Inputs { values: Values::new(&of.grouping.inputs(), &of.input)?, schema: of.grouping.input_schema() })
    }

    fn of(&self, block: &RecordBatch, batch: &BatchTime) -> Result<(RecordBatch, BadRows), TaskError> {
        let computed = self.values.eval(block, batch)?;
        let rows = computed.rows.num_rows();
        Ok((batch_of(&self.schema, computed.columns, rows)?, computed.bad))
    }
}

impl RowTask for Inputs {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let (rows, bad) = self.of(block, batch)?;
        Ok(bad.evaluated(Port::Out, rows, 0))
    }
}

/// Groups each block by itself.
struct Partial {
    inputs: Inputs,
    grouping: CompiledGrouping,
    schema: SchemaRef,
}

impl RowTask for Partial {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let (rows, bad) = self.inputs.of(block, batch)?;
        if rows.num_rows() == 0 {
            return Ok(bad.evaluated(Port::Out, RecordBatch::new_empty(self.schema.clone()), 0));
        }
        let mut groups = self.grouping.start()?;
        groups.update(&rows)?;
        let (columns, count) = groups.partial()?;
        Ok(bad.evaluated(Port::Out, batch_of(&self.schema, columns, count)?, 0))
    }
}

/// Groups what the first half made, and computes the results.
struct Second {
    grouping: CompiledGrouping,
    /// Whether all rows are one group, which exists without rows.
    keyless: bool,
    /// Whether the rows of a batch must be seen at once.
    ordered: bool,
    inputs: SchemaRef,
    results: Results,
    schema: SchemaRef,
}

impl Second {
    fn new(of: &Aggregate) -> Result<Self, NotRunnable> {
        Ok(Second {
            grouping: of.grouping.compile()?,
            keyless: of.grouping.keys.is_empty(),
            ordered: of.grouping.ordered(),
            inputs: of.grouping.input_schema(),
            results: Results::new(of)?,
            schema: of.output.to_arrow(),
        })
    }

    /// Results of computed keys and arguments.
    fn group(&self, rows: &[RecordBatch], batch: &BatchTime) -> Result<RecordBatch, TaskError> {
        if rows.iter().all(|rows| rows.num_rows() == 0) {
            return self.nothing(batch);
        }
        let mut groups = self.grouping.start()?;
        if self.ordered {
            groups.update(&concat_batches(&self.inputs, rows).map_err(bug)?)?;
        } else {
            rows.iter().try_for_each(|rows| groups.update(rows))?;
        }
        let (columns, count) = groups.results()?;
        batch_of(&self.schema, self.results.of(columns, count, batch)?, count)
    }

    /// Results of partial results.
    fn merge(&self, rows: &[RecordBatch], batch: &BatchTime) -> Result<RecordBatch, TaskError> {
        if rows.iter().all(|rows| rows.num_rows() == 0) {
            return self.nothing(batch);
        }
        let mut groups = self.grouping.start()?;
        rows.iter().try_for_each(|rows| groups.merge(rows))?;
        let (columns, count) = groups.results()?;
        batch_of(&self.schema, self.results.of(columns, count, batch)?, count)
    }

    /// Results of an empty batch: without a key there is one, where its values can be said of no rows.
    fn nothing(&self, batch: &BatchTime) -> Result<RecordBatch, TaskError> {
        if !self.keyless {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let columns = self.results.of(self.grouping.of_nothing()?, 1, batch)?;
        let mut fields = self.schema.fields().iter().zip(&columns);
        if fields.any(|(field, column)| !field.is_nullable() && column.null_count() > 0) {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        batch_of(&self.schema, columns, 1)
    }
}
