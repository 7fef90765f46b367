//! Where waiting for peers happens: one tokio runtime for all sources and sinks, started when the first needs it. What
//! runs there is held by a `Working`, which ends it and waits until it has ended: a port is free again at once.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Threads that wait for the network.
const THREADS: usize = 2;

/// How long the end of a task is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The runtime. The error is the system's where no thread can be started.
pub(crate) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let started = Builder::new_multi_thread().worker_threads(THREADS).thread_name("network").enable_all().build()?;
    // Who comes second takes the runtime of who came first.
    Ok(RUNTIME.get_or_init(|| started))
}

/// Something that goes on beside the batches, until this is dropped.
pub(crate) struct Working {
    end: Option<Box<dyn FnOnce() + Send>>,
}

impl Working {
    /// That `end` ends, and waits for.
    pub(crate) fn until(end: impl FnOnce() + Send + 'static) -> Self {
        Working { end: Some(Box::new(end)) }
    }

    /// A task of the runtime. It must end soon when it is told to.
    pub(crate) fn task<F>(work: impl FnOnce(Told) -> F) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tell, told) = watch::channel(false);
        let (over, ended) = mpsc::channel::<()>();
        let work = work(Told { told });
        runtime()?.spawn(async move {
            let _over = over;
            work.await;
        });
        Ok(Working::until(move || {
            tell.send_replace(true);
            if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!("a connection does not come to its end");
            }
        }))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end();
        }
    }
}

/// How a task hears that it is to end.
#[derive(Clone)]
pub(crate) struct Told {
    told: watch::Receiver<bool>,
}

impl Told {
    /// Comes true when it is to end.
    pub(crate) async fn ends(&mut self) {
        // Nobody is left who could tell: that is the end as well.
        let _ = self.told.wait_for(|end| *end).await;
    }

    /// What comes of it; none where the end comes first.
    pub(crate) async fn or<F: Future>(&mut self, work: F) -> Option<F::Output> {
        first(self.ends(), work).await.err()
    }

    /// Sleeps; false where it is to end instead.
    pub(crate) async fn sleep(&mut self, time: Duration) -> bool {
        self.or(tokio::time::sleep(time)).await.is_some()
    }
}

/// What is there first; the former where both are.
pub(crate) async fn first<A: Future, B: Future>(one: A, other: B) -> Result<A::Output, B::Output> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(Ok(out)),
        Poll::Pending => other.as_mut().poll(cx).map(Err),
    })
    .await
}

/// Both, at the same time.
pub(crate) async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    match first(one.as_mut(), other.as_mut()).await {
        Ok(done) => (done, other.await),
        Err(done) => (one.await, done),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_dropped_has_ended() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let working = Working::task(|mut told| async move {
            let _held = socket;
            told.ends().await;
        });
        assert!(TcpListener::bind(address).is_err());
        drop(working.unwrap());
        TcpListener::bind(address).unwrap();
    }

    #[test]
    fn a_sleep_ends_at_once_when_told_to() {
        let working = Working::task(|mut told| async move { assert!(!told.sleep(Duration::from_secs(3600)).await) });
        let start = std::time::Instant::now();
        drop(working.unwrap());
        assert!(start.elapsed() < PATIENCE / 2);
    }
}
