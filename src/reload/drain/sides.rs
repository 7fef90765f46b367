//! The two operators of a plan in which two texts share the time between them: one hands on what belongs to one side of
//! the boundary, the other puts both sides together again.

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

use crate::model::Schema;
use crate::model::time::show_moment;
use crate::plan::operator::{
    BatchTime, Distribution, Evaluated, KeyedTask, NotRunnable, RowTask, SavedTable, StepTime, Task, TaskError,
};
use crate::plan::{Operator, Port, Properties};

/// Which rows are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// Those before the instant.
    Before(i64),
    /// Those at it or behind.
    From(i64),
}

/// Hands on the rows of one side.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// Where the time stands.
    pub(super) column: usize,
    /// The column holds the end of a window: a row's time is the microsecond before it.
    pub(super) ends_window: bool,
    pub(super) half: Half,
    pub(super) schema: Schema,
}

impl Operator for Side {
    fn word(&self) -> &'static str {
        "drain"
    }

    fn explain(&self) -> String {
        let name = self.schema.columns.get(self.column).map_or("", |column| column.name.as_str());
        match self.half {
            Half::Before(at) => format!("drain {name} before {}", show_moment(at)),
            Half::From(at) => format!("drain {name} from {} on", show_moment(at)),
        }
    }

    fn properties(&self) -> Properties {
        let all = (0..self.schema.columns.len()).map(|i| Some((0, i))).collect();
        Properties { repeats: Some(all), ..Properties::row_wise(vec![self.column]) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(SideTask { of: self.clone(), schema: self.schema.to_arrow() })))
    }
}

struct SideTask {
    of: Side,
    schema: SchemaRef,
}

impl RowTask for SideTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, _: &BatchTime) -> Result<Evaluated, TaskError> {
        let bug = |why: String| TaskError::Bug(why);
        let times = block.column(self.of.column).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| bug("a column that is no time divides rows by time".into()))?;
        let back = i64::from(self.of.ends_window);
        let mine = |time: &i64| match self.of.half {
            Half::Before(at) => time.saturating_sub(back) < at,
            Half::From(at) => time.saturating_sub(back) >= at,
        };
        let kept = BooleanArray::from(times.values().iter().map(mine).collect::<Vec<_>>());
        let kept = filter_record_batch(block, &kept).map_err(|e| bug(e.to_string()))?;
        let filtered = block.num_rows() - kept.num_rows();
        Ok(Evaluated { rows: vec![(Port::Out, kept)], filtered, ..Evaluated::default() })
    }
}

/// Hands on the rows of both texts, those of the old one first.
#[derive(Debug, Clone)]
pub(super) struct Both {
    pub(super) schema: Schema,
}

impl Operator for Both {
    fn word(&self) -> &'static str {
        "drain"
    }

    fn explain(&self) -> String {
        "drain: the old text and the new".into()
    }

    fn properties(&self) -> Properties {
        Properties { keeps_order: true, reads: Some(Vec::new()), ..Properties::gathering(Distribution::Any) }
    }

    fn stacked(&self) -> Option<Vec<Vec<usize>>> {
        let all: Vec<usize> = (0..self.schema.columns.len()).collect();
        Some(vec![all.clone(), all])
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(BothTask(self.schema.to_arrow()))))
    }
}

struct BothTask(SchemaRef);

impl KeyedTask for BothTask {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, _: &StepTime) -> Result<Evaluated, TaskError> {
        // The types are the same; that a column is never null need not be.
        let same = |rows: RecordBatch| {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            RecordBatch::try_new_with_options(self.0.clone(), rows.columns().to_vec(), &options)
        };
        let rows = inputs.into_iter().flatten().map(|rows| same(rows).map(|rows| (Port::Out, rows)));
        let rows = rows.collect::<Result<_, _>>().map_err(|e| TaskError::Bug(e.to_string()))?;
        Ok(Evaluated { rows, ..Evaluated::default() })
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}
