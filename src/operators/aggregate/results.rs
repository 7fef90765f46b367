//! The columns that come out, computed of keys and aggregates: `sum(a) / count()`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;

use crate::operators::aggregate::Aggregate;
use crate::operators::values::{Values, batch_of};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};

/// Computes what comes out.
pub(super) struct Results {
    values: Values,
    grouped: SchemaRef,
}

impl Results {
    pub(super) fn new(of: &Aggregate) -> Result<Self, NotRunnable> {
        let grouped = of.grouping.result_schema();
        let keys = crate::operators::projection::repeat(&grouped, millstream_dsl::Span::default());
        let keys = keys.into_iter().take(of.grouping.keys.len());
        let results: Vec<_> = keys.chain(of.results.iter().map(|r| r.value.clone())).collect();
        Ok(Results { values: Values::new(&results, &grouped)?, grouped: relaxed(&grouped.to_arrow()) })
    }

    /// The keys and what is computed for them.
    pub(super) fn of(
        &self,
        columns: Vec<ArrayRef>,
        count: usize,
        batch: &BatchTime,
    ) -> Result<Vec<ArrayRef>, TaskError> {
        let computed = self.values.eval(&batch_of(&self.grouped, columns, count)?, batch)?;
        match computed.bad.first_reason() {
            Some(reason) => Err(TaskError::Stop(format!("a result of `aggregate` cannot be computed: {reason}"))),
            None => Ok(computed.columns),
        }
    }
}

/// The same columns, all nullable: the results of no rows may be null.
fn relaxed(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}
