//! Operators that gather rows or remember some: a task for each partition.

use arrow::array::RecordBatch;

use crate::engine::exchange;
use crate::engine::pool::Pool;
use crate::plan::Operator;
use crate::plan::Port;
use crate::plan::operator::{Distribution, Evaluated, KeyedTask, NotRunnable, StepTime, Task, TaskError};

/// The tasks of one operator.
pub(super) struct Keyed {
    distribution: Distribution,
    tasks: Vec<Box<dyn KeyedTask>>,
}

/// What came out of all partitions.
#[derive(Default)]
pub(super) struct KeyedOut {
    /// Rows by port, partition after partition.
    pub(super) rows: Vec<(Port, RecordBatch)>,
    /// Rows filtered on purpose.
    pub(super) filtered: u64,
}

impl Keyed {
    /// Makes a task for each partition; `partitions` where the operator leaves the number open.
    pub(super) fn new(operator: &dyn Operator, partitions: usize) -> Result<Self, NotRunnable> {
        let distribution = operator.properties().distribution;
        let count = match &distribution {
            Distribution::Any | Distribution::Single => 1,
            Distribution::Beside { .. } => partitions,
            Distribution::ByKey(_) => partitions,
            Distribution::Partitions { count, .. } => (*count).max(1),
        };
        let task = |_| match operator.task()? {
            Task::Keyed(task) => Ok(task),
            Task::Rows(_) => Err(NotRunnable(format!("`{}` is not made to gather rows", operator.word()))),
        };
        Ok(Keyed { distribution, tasks: (0..count).map(task).collect::<Result<_, _>>()? })
    }

    /// Runs one batch; `inputs` in the order of the operator's inputs.
    pub(super) fn step(
        &mut self,
        inputs: Vec<Vec<RecordBatch>>,
        time: &StepTime,
        pool: &Pool,
    ) -> Result<KeyedOut, TaskError> {
        let partitions = self.tasks.len();
        let mut shares: Vec<Vec<Vec<RecordBatch>>> = vec![Vec::with_capacity(inputs.len()); partitions];
        for (i, blocks) in inputs.into_iter().enumerate() {
            for (share, rows) in shares.iter_mut().zip(self.share(i, blocks, partitions, pool)?) {
                share.push(rows);
            }
        }
        let work: Vec<_> = self.tasks.iter_mut().zip(shares).collect();
        let results = pool.map(work, |(task, share)| task.step(share, time))?;
        Ok(results.into_iter().fold(KeyedOut::default(), KeyedOut::and))
    }

    fn share(
        &self,
        input: usize,
        blocks: Vec<RecordBatch>,
        partitions: usize,
        pool: &Pool,
    ) -> Result<Vec<Vec<RecordBatch>>, TaskError> {
        match &self.distribution {
            Distribution::Any | Distribution::Single => Ok(vec![blocks]),
            Distribution::Beside { whole } if whole.contains(&input) => Ok(vec![blocks; partitions]),
            Distribution::Beside { .. } => Ok(exchange::in_runs(blocks, partitions)),
            Distribution::ByKey(keys) => match keys.get(input) {
                Some(columns) => exchange::by_key(blocks, columns, partitions, pool),
                None => Err(TaskError::Bug(format!("input {input} has no keys to be brought together by"))),
            },
            Distribution::Partitions { by, .. } if by.is_empty() => Ok(exchange::evenly(blocks, partitions)),
            Distribution::Partitions { by, .. } => exchange::by_key(blocks, by, partitions, pool),
        }
    }
}

impl KeyedOut {
    fn and(mut self, more: Evaluated) -> Self {
        self.rows.extend(more.rows.into_iter().filter(|(_, rows)| rows.num_rows() > 0));
        self.filtered += more.filtered as u64;
        self
    }
}
