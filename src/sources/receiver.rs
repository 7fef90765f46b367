//! Sources that bytes are pushed at: peers are listened to beside the batches, and a batch takes what has come. So many
//! bytes wait and no more, then the peers are held back. What was taken cannot be read again.

mod blocks;
mod inbox;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::connect::backoff;
use crate::connect::waiting::{Told, Working};
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Backlog, Bell, FormatCodec, LeftOut, Limits, Position, Positions, Read, Source, Split};
use crate::sources::cutter;

use blocks::Blocks;
pub(super) use blocks::whole;
pub(super) use inbox::{Feed, Peer, Reserved};
use inbox::{Found, Inbox};

/// Bytes that wait where the options say nothing.
const BUFFER: u64 = 64_000_000;

/// Starts to take rows in. It may be tried again where the error says so.
type Start = Box<dyn FnMut(Feed) -> Result<Working, TaskError> + Send>;

/// Whether a run that takes what there is (`--once`) waits for the end of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    /// It has an end, as a pipe has.
    WaitsForTheEnd,
    /// It goes on for ever, as a server does: what has come is all there is.
    TakesWhatCame,
}

/// The source's end.
pub(super) struct Receiver {
    name: String,
    shared: Arc<Shared>,
    once: Once,
    interval: Duration,
    start: Start,
    /// Whether rows are, or were, taken in.
    started: bool,
    /// What goes on beside the batches. Ended before anything else of this is dropped.
    working: Vec<Working>,
    /// Nothing will come any more.
    over: bool,
    /// The end, which is waited for, has not come.
    waits: bool,
}

/// What the batches and the cutting in between share.
struct Shared {
    inbox: Arc<Inbox>,
    blocks: Mutex<Blocks>,
}

impl Shared {
    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts what waits. The lock is taken first, so that blocks come in the order of what they are made of.
    fn cut(&self, blocks: &mut Blocks, wait: Duration) -> Result<Found, TaskError> {
        let found = self.inbox.take(wait);
        let Found::Messages(messages) = found else { return Ok(found) };
        self.inbox.release(blocks.cut(messages)?);
        Ok(Found::Nothing)
    }
}

impl Receiver {
    /// A source for which `start` takes rows in, from the first batch on.
    pub(super) fn open(
        endpoint: &Endpoint,
        once: Once,
        start: impl FnMut(Feed) -> Result<Working, TaskError> + Send + 'static,
    ) -> Result<Box<dyn Source>, NotRunnable> {
        let codec = cutter::codec(endpoint, &endpoint.schema)?;
        Ok(Receiver::reading(endpoint, codec, once, start))
    }

    /// A source for which `start` reads some of the rows itself, with the same format.
    pub(super) fn reading(
        endpoint: &Endpoint,
        codec: Arc<dyn FormatCodec>,
        once: Once,
        start: impl FnMut(Feed) -> Result<Working, TaskError> + Send + 'static,
    ) -> Box<dyn Source> {
        let settings = &endpoint.settings;
        let capacity = settings.size("buffer").unwrap_or(BUFFER);
        let longest = settings.size("max_record").unwrap_or(u64::MAX);
        let blocks = Mutex::new(Blocks::new(codec, longest, capacity));
        Box::new(Receiver {
            name: endpoint.name.clone(),
            shared: Arc::new(Shared { inbox: Inbox::new(capacity), blocks }),
            once,
            interval: backoff::time(settings, "block_interval").unwrap_or_default().max(Duration::from_millis(1)),
            start: Box::new(start),
            started: false,
            working: Vec::new(),
            over: false,
            waits: false,
        })
    }

    /// Cuts a block every so often, so that a batch finds rows and need not read them first.
    fn cut_in_between(&self) -> Result<Working, TaskError> {
        let (shared, interval) = (Arc::downgrade(&self.shared), self.interval);
        let cutting = async move |mut told: Told| {
            while told.sleep(interval).await {
                let Some(shared) = shared.upgrade() else { return };
                if !shared.inbox.has_news() {
                    continue;
                }
                let cut = tokio::task::spawn_blocking(move || {
                    let mut blocks = shared.blocks();
                    if let Err(why) = shared.cut(&mut blocks, Duration::ZERO) {
                        shared.inbox.fail(why);
                    }
                });
                if cut.await.is_err() {
                    return;
                }
            }
        };
        Working::task(cutting).map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))
    }
}

/// How long a run that waits for the end waits before it looks whether it is to end itself.
const MOMENT: Duration = Duration::from_millis(50);

impl Receiver {
    /// For a run that waits for the end: whether that has come, or as much as one batch takes. So its batches do not
    /// depend on how fast things come.
    fn is_enough(&self, blocks: &mut Blocks, limits: &Limits) -> Result<bool, TaskError> {
        let enough = |blocks: &Blocks| self.shared.inbox.is_full() || blocks.has(limits.rows, limits.bytes);
        if enough(blocks) {
            return Ok(true);
        }
        let found = self.shared.cut(blocks, MOMENT)?;
        Ok(matches!(found, Found::End | Found::Failed(_)) || enough(blocks))
    }
}

impl Source for Receiver {
    fn discover(&mut self, _: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        if !self.started {
            let feed = self.shared.inbox.feed(limits.drain);
            self.shared.blocks().now(limits.now);
            self.working.push((self.start)(feed)?);
            self.working.push(self.cut_in_between()?);
            self.started = true;
        }
        self.shared.blocks().now(limits.now);
        Ok(vec![Split { id: self.name.clone() }])
    }

    fn read(&mut self, _: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let mut read = Read::default();
        let mut blocks = self.shared.blocks();
        blocks.now(limits.now);
        self.waits = limits.drain && self.once == Once::WaitsForTheEnd && !self.is_enough(&mut blocks, limits)?;
        while !self.waits && blocks::taken(&read) < limits.rows && read.bytes < limits.bytes {
            if blocks.is_empty() {
                match self.shared.cut(&mut blocks, Duration::ZERO)? {
                    Found::Failed(why) if blocks::taken(&read) == 0 => return Err(why),
                    Found::Failed(_) => break,
                    found if blocks.is_empty() => {
                        self.over = matches!(found, Found::End);
                        read.exhausted = true;
                        break;
                    }
                    _ => {}
                }
            }
            let weight = blocks.take(limits.rows, limits.bytes, &mut read);
            self.shared.inbox.release(weight);
        }
        drop(blocks);
        let count = blocks::taken(&read) as u64;
        let before = from.0.as_slice().try_into().map_or(0, u64::from_le_bytes);
        read.to = if count == 0 { from.clone() } else { Position((before + count).to_le_bytes().to_vec()) };
        Ok(read)
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }

    fn ended(&self) -> bool {
        self.over
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn backlog(&self) -> Backlog {
        Backlog { bytes: Some(self.shared.inbox.held()), ..Backlog::default() }
    }

    fn left_out(&mut self) -> Vec<LeftOut> {
        self.shared.inbox.left_out()
    }

    fn hang_up(&mut self) {
        self.started = true;
        self.shared.inbox.let_in_the_last();
        self.working.clear();
    }

    fn ring(&mut self, bell: &Bell) {
        self.shared.inbox.ring(bell.clone());
    }
}

impl Drop for Receiver {
    /// Whoever waits for room is told first: it could not end otherwise.
    fn drop(&mut self) {
        self.shared.inbox.close();
        self.working.clear();
    }
}
