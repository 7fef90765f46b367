//! The threads that compute. The only file that names rayon.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::plan::operator::TaskError;

/// Threads for the tasks of a batch.
pub(super) struct Pool {
    /// None where one thread is enough: whoever asks for the work does it.
    threads: Option<rayon::ThreadPool>,
}

impl Pool {
    /// So many threads; as many as there are cores for none.
    pub(super) fn new(threads: Option<usize>) -> Result<Self, TaskError> {
        if threads == Some(1) {
            return Ok(Pool { threads: None });
        }
        let built = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or(0))
            .thread_name(|i| format!("millstream-{i}"))
            .build();
        built
            .map(|threads| Pool { threads: Some(threads) })
            .map_err(|e| TaskError::Stop(format!("cannot start threads: {e}")))
    }

    /// How many threads there are.
    pub(super) fn size(&self) -> usize {
        self.threads.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Does the same to all items, results in the order of the items. A panic is an error of that item.
    pub(super) fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R, TaskError> + Sync,
    ) -> Result<Vec<R>, TaskError> {
        let Some(threads) = self.threads.as_ref().filter(|_| items.len() > 1) else {
            return items.into_iter().map(|item| guarded(|| work(item))).collect();
        };
        let results: Vec<_> = threads.install(|| items.into_par_iter().map(|item| guarded(|| work(item))).collect());
        results.into_iter().collect()
    }
}

/// Makes an error of a panic.
pub(super) fn guarded<R>(work: impl FnOnce() -> Result<R, TaskError>) -> Result<R, TaskError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(TaskError::Bug(format!("panicked: {text}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let pool = Pool::new(Some(4)).unwrap();
        let doubled = pool.map((0..1000).collect(), |n| Ok(n * 2)).unwrap();
        assert_eq!(doubled, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_is_an_error_and_the_pool_goes_on() {
        let pool = Pool::new(Some(2)).unwrap();
        let failed = pool.map(vec![1, 2, 3], |n| if n == 2 { panic!("at {n}") } else { Ok(n) });
        assert_eq!(failed, Err(TaskError::Bug("panicked: at 2".into())));
        assert_eq!(pool.map(vec![1, 2], Ok).unwrap(), [1, 2]);
    }
}
