//! Sources that bytes are pushed at: peers are listened to beside the batches, and a batch takes what has come. So many
//! bytes wait and no more, then the peers are held back. What was taken cannot be read again, but from a log,
//! where there is one: it has every message before a batch has it, and a position says which of them were used.

mod blocks;
mod inbox;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::connect::backoff;
use crate::connect::waiting::{Told, Working};
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{
    Backlog, Bell, FormatCodec, IngestLog, LeftOut, Limits, Position, Positions, Read, Source, Split,
};
use crate::sources::cutter;

use blocks::Blocks;
pub(super) use blocks::whole;
pub(super) use inbox::{Feed, Peer, Reserved};
use inbox::{Found, Inbox, Message, Numbered};
use kept::{Begun, Frontier, Pending};

/// Bytes that wait where the options say nothing.
const BUFFER: u64 = 64_000_000;

/// A position moves, also where no row came, when so many messages were used up.
const MANY: u64 = 256;

/// How long the log is waited for when the run ends.
const LAST: Duration = Duration::from_secs(5);

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
    log: Option<Arc<dyn IngestLog>>,
    /// What was in the log is in the inbox.
    replayed: bool,
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
            log: None,
            replayed: false,
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

impl Receiver {
    /// Goes on behind a position of the log: first with what no batch has had. The peers of then are gone.
    fn go_on(&self, log: &Arc<dyn IngestLog>, from: &Position) -> Result<(), TaskError> {
        let broken = || TaskError::Stop(format!("the position of `{}` in its log cannot be read", self.name));
        let mut frontier = match from.0.is_empty() {
            true => Frontier::default(),
            false => Frontier::of(from).ok_or_else(broken)?,
        };
        let (mut pending, mut begun, mut rest) = (BTreeMap::new(), Numbered::new(), Numbered::new());
        let mut here: BTreeSet<u64> = frontier.peers.keys().copied().collect();
        let mut most = here.last().copied().unwrap_or_default();
        for (number, bytes) in log.read(frontier.needs())? {
            let message = kept::read(&bytes).ok_or_else(|| {
                TaskError::Stop(format!("message {number} in the log of `{}` cannot be read", self.name))
            })?;
            if number < frontier.next {
                pends(&frontier, number, &message, &mut pending);
                continue;
            }
            match &message {
                Message::Came { peer, .. } => drop(here.insert(*peer)),
                Message::Gone { peer } => drop(here.remove(peer)),
                _ => {}
            }
            most = here.last().copied().unwrap_or_default().max(most);
            match frontier.begun {
                Some(Begun { through, .. }) if number <= through => begun.push_back((number, message)),
                _ => rest.push_back((number, message)),
            }
        }
        if frontier.next == 0 {
            frontier.next = rest.front().map_or(log.unsynced()?, |(number, _)| *number);
        }
        let used = frontier.begun;
        let mut blocks = self.shared.blocks();
        blocks.go_on(frontier, pending);
        let inbox = &self.shared.inbox;
        inbox.keep(Arc::clone(log));
        if let Some(used) = used {
            inbox.holds(&begun);
            inbox.release(blocks.cut_begun(begun, used)?);
        }
        inbox.replay(rest, most);
        for peer in here {
            inbox.put(Message::Gone { peer });
        }
        Ok(())
    }
}

/// Gathers the starts of records that are in messages which are used up.
fn pends(frontier: &Frontier, number: u64, message: &Message, pending: &mut BTreeMap<u64, Vec<u8>>) {
    let Message::Bytes { peer, bytes } = message else { return };
    let Some(Pending::Logged { length, from }) = frontier.peers.get(peer).map(|left| &left.pending) else { return };
    if number < from.message {
        return;
    }
    let start = if number == from.message { usize::try_from(from.offset).unwrap_or(usize::MAX) } else { 0 };
    let of = pending.entry(*peer).or_default();
    let left = usize::try_from(*length).unwrap_or(usize::MAX).saturating_sub(of.len());
    of.extend(bytes.iter().skip(start).take(left));
}

impl Source for Receiver {
    fn discover(&mut self, known: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        let split = Split { id: self.log.as_ref().map_or(self.name.as_str(), |log| log.name()).to_owned() };
        if !self.started {
            self.shared.blocks().now(limits.now);
            if let Some(log) = self.log.as_ref().filter(|_| !self.replayed) {
                self.go_on(log, &known.get(&split).cloned().unwrap_or_default())?;
                self.replayed = true;
            }
            let feed = self.shared.inbox.feed(limits.drain);
            self.working.push((self.start)(feed)?);
            self.working.push(self.cut_in_between()?);
            self.started = true;
        }
        Ok(vec![split])
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
        let count = blocks::taken(&read) as u64;
        let frontier = blocks.frontier();
        drop(blocks);
        read.to = match frontier {
            Some(frontier) => {
                let before = Frontier::of(from).map_or(0, |before| before.next);
                let moves = count > 0 || frontier.next.saturating_sub(before) > MANY;
                if moves { frontier.position() } else { from.clone() }
            }
            None if count == 0 => from.clone(),
            None => {
                let before = from.0.as_slice().try_into().map_or(0, u64::from_le_bytes);
                Position((before + count).to_le_bytes().to_vec())
            }
        };
        Ok(read)
    }

    fn ack(&mut self, _: &Split, position: &Position) -> Result<(), TaskError> {
        if let (Some(log), Some(frontier)) = (&self.log, Frontier::of(position)) {
            log.trim(frontier.needs());
        }
        Ok(())
    }

    fn is_pushed_at(&self) -> bool {
        true
    }

    fn keep(&mut self, log: Box<dyn IngestLog>) {
        self.log = Some(Arc::from(log));
    }

    fn shown(&self, position: &Position) -> String {
        match (Frontier::of(position), <[u8; 8]>::try_from(position.0.as_slice())) {
            (Some(frontier), _) => frontier.next.to_string(),
            (None, Ok(number)) => u64::from_le_bytes(number).to_string(),
            (None, Err(_)) => "0".into(),
        }
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
        self.shared.inbox.wait_for_log(LAST);
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
