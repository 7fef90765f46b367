//! What peers have sent and no batch has taken: so many bytes and no more, then whoever sends waits. With a log a message
//! is handed on once it is in there for good.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::plan::operator::TaskError;
use crate::plan::seams::{BadRow, Bell, Decoded, IngestLog, LeftOut};
use crate::sources::receiver::kept;

/// What a record counts beside its bytes, so that very many very small ones do not fill the memory either.
const EACH: u64 = 64;

/// So many peers that were turned away are told of one by one.
const TOLD: usize = 100;

/// What is handed over, in the order it came.
pub(super) enum Message {
    /// A peer has come.
    Came { peer: u64, name: Arc<str> },
    /// The next bytes of a peer's stream.
    Bytes { peer: u64, bytes: Vec<u8> },
    /// A peer has gone; what is left of its stream is its last record.
    Gone { peer: u64 },
    /// A whole record.
    Record { place: Arc<str>, number: u64, bytes: Vec<u8> },
    /// What was sent and is no record.
    Bad(BadRow),
    /// A file of records, which may have been read already.
    Body { place: Arc<str>, bytes: Vec<u8>, weight: u64, decoded: Option<Decoded> },
}

impl Message {
    /// How much came with it.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Message::Came { .. } | Message::Gone { .. } | Message::Bad(_) => 0,
            Message::Bytes { bytes, .. } | Message::Record { bytes, .. } => bytes.len() as u64,
            Message::Body { weight, .. } => *weight,
        }
    }

    /// What it counts of the bytes that may wait.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Message::Came { .. } | Message::Gone { .. } => 0,
            Message::Bytes { bytes, .. } => bytes.len() as u64,
            Message::Record { bytes, .. } => bytes.len() as u64 + EACH,
            Message::Bad(bad) => bad.text.len() as u64 + EACH,
            Message::Body { weight, .. } => *weight,
        }
    }
}

/// The queue between those who take rows in and the batches.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Something came, or nothing will.
    news: Condvar,
    /// Something was taken.
    room: Notify,
    /// Something is in the log for good, or nothing will be.
    kept: Notify,
    capacity: u64,
}

/// Messages with their numbers in the log, where there is one.
pub(super) type Numbered = VecDeque<(u64, Message)>;

#[derive(Default)]
struct State {
    waiting: Numbered,
    /// What is not in the log for good.
    unsynced: Numbered,
    log: Option<Arc<dyn IngestLog>>,
    /// Bytes that were let in and are in no batch yet.
    held: u64,
    /// Somebody was told that there is no room, and nothing was taken since.
    full: bool,
    /// How many may still hand something over.
    feeds: usize,
    intake: Intake,
    failed: Option<TaskError>,
    bell: Option<Bell>,
    left_out: Vec<LeftOut>,
    peers: u64,
}

/// What is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Intake {
    /// As much as there is room for.
    #[default]
    Bounded,
    /// What peers have in hand already, however much waits: nothing more will come.
    Last,
    /// Nothing: nobody will take anything any more.
    Closed,
}

/// What the receiving end finds.
pub(super) enum Found {
    /// These, in the order they came.
    Messages(Numbered),
    /// Nothing at this moment.
    Nothing,
    /// Nothing, and nothing will come.
    End,
    /// Whoever took rows in could not go on.
    Failed(TaskError),
}

impl Inbox {
    pub(super) fn new(capacity: u64) -> Arc<Self> {
        let (room, kept) = (Notify::new(), Notify::new());
        Arc::new(Inbox { state: Mutex::default(), news: Condvar::new(), room, kept, capacity: capacity.max(1) })
    }

    /// Messages go through this log from now on.
    pub(super) fn keep(self: &Arc<Self>, log: Arc<dyn IngestLog>) {
        let inbox = Arc::downgrade(self);
        log.tell(Box::new(move || {
            if let Some(inbox) = inbox.upgrade() {
                inbox.settle();
            }
        }));
        self.state().log = Some(log);
    }

    /// The log has more, or will have nothing any more.
    fn settle(&self) {
        let mut state = self.state();
        match state.log.as_ref().map(|log| log.unsynced()) {
            Some(Ok(unsynced)) => {
                let count = state.unsynced.partition_point(|(number, _)| *number < unsynced);
                let State { waiting, unsynced, .. } = &mut *state;
                waiting.extend(unsynced.drain(..count));
            }
            Some(Err(why)) => drop(state.failed.get_or_insert(why)),
            None => {}
        }
        self.tell(&state);
        drop(state);
        self.kept.notify_waiters();
    }

    /// These were in the log already, and come before all else. Numbers of peers up to `peers` are taken.
    pub(super) fn replay(&self, messages: Numbered, peers: u64) {
        let mut state = self.state();
        state.held += messages.iter().map(|(_, message)| message.weight()).sum::<u64>();
        state.peers = state.peers.max(peers);
        state.waiting.extend(messages);
        self.tell(&state);
    }

    /// These are counted in.
    pub(super) fn holds(&self, messages: &Numbered) {
        self.state().held += messages.iter().map(|(_, message)| message.weight()).sum::<u64>();
    }

    /// Waits until all that was put in is in the log for good, but not for ever.
    pub(super) fn wait_for_log(&self, most: Duration) {
        let busy = |state: &mut State| !state.unsynced.is_empty() && state.failed.is_none();
        let waited = self.news.wait_timeout_while(self.state(), most, busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An end to hand things over at.
    pub(super) fn feed(self: &Arc<Self>, drains: bool) -> Feed {
        self.state().feeds += 1;
        Feed { inbox: Arc::clone(self), drains }
    }

    pub(super) fn ring(&self, bell: Bell) {
        self.state().bell = Some(bell);
    }

    /// Whether somebody waits for room.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state();
        state.full && state.unsynced.is_empty()
    }

    /// How many bytes wait.
    pub(super) fn held(&self) -> u64 {
        self.state().held
    }

    /// Whether something waits to be cut.
    pub(super) fn has_news(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Nothing can be taken in any more.
    pub(super) fn fail(&self, why: TaskError) {
        let mut state = self.state();
        state.failed.get_or_insert(why);
        self.tell(&state);
    }

    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        std::mem::take(&mut self.state().left_out)
    }

    /// All that waits. When nothing does, it is waited for so long.
    pub(super) fn take(&self, wait: Duration) -> Found {
        let more = |state: &State| state.feeds > 0 || !state.unsynced.is_empty();
        let quiet = |state: &mut State| state.waiting.is_empty() && state.failed.is_none() && more(state);
        let waited = self.news.wait_timeout_while(self.state(), wait, quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.waiting.is_empty() {
            return Found::Messages(std::mem::take(&mut state.waiting));
        }
        match &state.failed {
            Some(why) => Found::Failed(why.clone()),
            None if more(&state) => Found::Nothing,
            None => Found::End,
        }
    }

    /// So many bytes are in a batch now, or of no use.
    pub(super) fn release(&self, bytes: u64) {
        if bytes > 0 {
            let mut state = self.state();
            state.held = state.held.saturating_sub(bytes);
            state.full = false;
            drop(state);
            self.room.notify_waiters();
        }
    }

    /// Nobody will take anything any more: whoever waits for room need not.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.intake = Intake::Closed;
        state.waiting.clear();
        state.unsynced.clear();
        drop(state);
        self.room.notify_waiters();
    }

    /// Those who wait for room need not: what they have in hand is the last there is.
    pub(super) fn let_in_the_last(&self) {
        self.state().intake = Intake::Last;
        self.room.notify_waiters();
    }

    /// Counts bytes in where there is room for them; one piece always fits where nothing else is.
    fn try_reserve(&self, bytes: u64) -> Room {
        let mut state = self.state();
        if state.intake == Intake::Closed {
            return Room::Closed;
        }
        let bounded = state.intake == Intake::Bounded;
        if bounded && state.held > 0 && state.held.saturating_add(bytes) > self.capacity {
            state.full = true;
            return Room::Full;
        }
        state.held += bytes;
        Room::Free
    }

    async fn reserve(&self, bytes: u64) -> bool {
        loop {
            let room = self.room.notified();
            match self.try_reserve(bytes) {
                Room::Free => return true,
                Room::Closed => return false,
                Room::Full => room.await,
            }
        }
    }

    /// Its number; none where nobody takes anything any more.
    pub(super) fn put(&self, mut message: Message) -> Option<u64> {
        let written = self.state().log.is_some().then(|| kept::written(&message));
        if let Message::Body { bytes, decoded: Some(_), .. } = &mut message {
            *bytes = Vec::new();
        }
        let mut state = self.state();
        if state.intake == Intake::Closed {
            return None;
        }
        let log = state.log.clone().zip(written);
        let Some((log, written)) = log else {
            state.waiting.push_back((0, message));
            self.tell(&state);
            return Some(0);
        };
        // With the lock held, so that messages wait in the order of their numbers.
        let number = log.append(written);
        state.unsynced.push_back((number, message));
        Some(number)
    }

    /// Waits until a message is in the log for good; false where it will not be.
    async fn is_kept(&self, number: u64) -> bool {
        let log = self.state().log.clone();
        let Some(log) = log else { return true };
        loop {
            let kept = self.kept.notified();
            match log.unsynced() {
                Ok(unsynced) if unsynced > number => return true,
                Ok(_) => kept.await,
                Err(_) => return false,
            }
        }
    }

    fn tell(&self, state: &State) {
        self.news.notify_all();
        if let Some(bell) = &state.bell {
            bell.ring();
        }
    }
}

enum Room {
    Free,
    Full,
    Closed,
}

/// The end that rows are handed over at. The source has ended when all of them are gone.
pub(in crate::sources) struct Feed {
    inbox: Arc<Inbox>,
    drains: bool,
}

impl Clone for Feed {
    fn clone(&self) -> Self {
        self.inbox.feed(self.drains)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.inbox.state();
        state.feeds -= 1;
        if state.feeds == 0 {
            self.inbox.tell(&state);
        }
    }
}

impl Feed {
    /// Whether the run takes what there is and then ends.
    pub(in crate::sources) fn drains(&self) -> bool {
        self.drains
    }

    /// It cannot go on. What was taken in before still comes.
    pub(in crate::sources) fn fail(&self, why: TaskError) {
        self.inbox.fail(why);
    }

    /// Somebody was turned away.
    pub(in crate::sources) fn turn_away(&self, place: String, reason: String) {
        let mut state = self.inbox.state();
        if state.left_out.len() < TOLD {
            state.left_out.push(LeftOut { place, reason });
        }
    }

    /// A peer whose stream has records of its own.
    pub(in crate::sources) fn peer(&self, name: &str) -> Peer {
        let mut state = self.inbox.state();
        state.peers += 1;
        let peer = state.peers;
        drop(state);
        let name: Arc<str> = name.into();
        self.inbox.put(Message::Came { peer, name: Arc::clone(&name) });
        Peer { feed: self.clone(), id: peer, name, records: 0 }
    }

    /// How many bytes may wait.
    pub(in crate::sources) fn capacity(&self) -> u64 {
        self.inbox.capacity
    }

    /// Hands over a whole record, waiting for room; false when nobody wants it any more.
    pub(in crate::sources) async fn record(&self, place: &Arc<str>, number: u64, bytes: Vec<u8>) -> bool {
        self.give(Message::Record { place: Arc::clone(place), number, bytes }).await
    }

    /// Hands over what should have been a record.
    pub(in crate::sources) async fn bad(&self, place: &str, number: u64, text: String, reason: String) -> bool {
        self.give(Message::Bad(BadRow { text, reason, place: place.to_owned(), line: number, bytes: None })).await
    }

    async fn give(&self, message: Message) -> bool {
        if !self.inbox.reserve(message.weight()).await {
            return false;
        }
        self.inbox.put(message).is_some()
    }

    /// Waits until all that was handed over is where a crash does not reach it; false where it will not be.
    async fn is_safe(&self) -> bool {
        let last = self.inbox.state().unsynced.back().map(|(number, _)| *number);
        match last {
            Some(last) => self.inbox.is_kept(last).await,
            None => true,
        }
    }

    /// Counts so many bytes in, where there is room for them now. They are let go when this is dropped, unless they
    /// are handed over.
    pub(in crate::sources) fn room(&self) -> Reserved {
        Reserved { inbox: Arc::clone(&self.inbox), bytes: 0 }
    }
}

/// Bytes that are counted in while they are still coming.
pub(in crate::sources) struct Reserved {
    inbox: Arc<Inbox>,
    bytes: u64,
}

impl Reserved {
    /// So many more; false where there is no room for them.
    pub(in crate::sources) fn more(&mut self, bytes: u64) -> bool {
        let free = matches!(self.inbox.try_reserve(bytes), Room::Free);
        if free {
            self.bytes += bytes;
        }
        free
    }

    /// Hands over the body they are and the rows that were read from it. False where nobody takes it any more, or it
    /// could not be kept.
    pub(in crate::sources) async fn give(mut self, place: &str, body: Vec<u8>, decoded: Decoded) -> bool {
        let weight = std::mem::take(&mut self.bytes);
        let message = Message::Body { place: place.into(), bytes: body, weight, decoded: Some(decoded) };
        match self.inbox.put(message) {
            Some(number) => self.inbox.is_kept(number).await,
            None => false,
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.inbox.release(self.bytes);
    }
}

/// One of those who send: its stream is cut into records by itself.
pub(in crate::sources) struct Peer {
    feed: Feed,
    id: u64,
    name: Arc<str>,
    records: u64,
}

impl Peer {
    /// Hands over the next bytes of its stream, waiting for room; false when nobody wants them any more.
    pub(in crate::sources) async fn give(&self, bytes: &[u8]) -> bool {
        let most = usize::try_from(self.feed.capacity()).unwrap_or(usize::MAX);
        for piece in bytes.chunks(most) {
            if !self.feed.give(Message::Bytes { peer: self.id, bytes: piece.to_vec() }).await {
                return false;
            }
        }
        true
    }

    /// Waits until all that was handed over is where a crash does not reach it; false where it will not be.
    pub(in crate::sources) async fn is_safe(&self) -> bool {
        self.feed.is_safe().await
    }

    /// Hands over a record that was cut out of its stream already.
    pub(in crate::sources) async fn record(&mut self, bytes: Vec<u8>) -> bool {
        self.records += 1;
        self.feed.record(&self.name, self.records, bytes).await
    }

    /// Hands over what should have been a record.
    pub(in crate::sources) async fn bad(&mut self, text: String, reason: String) -> bool {
        self.records += 1;
        self.feed.bad(&self.name, self.records, text, reason).await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.feed.inbox.put(Message::Gone { peer: self.id });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::waiting::runtime;

    #[test]
    fn who_sends_waits_while_too_much_is_held_and_goes_on_when_it_is_taken() {
        let inbox = Inbox::new(10);
        let feed = inbox.feed(false);
        let sends = runtime().unwrap().spawn(async move {
            let peer = feed.peer("a");
            peer.give(b"12345678").await && peer.give(b"abc").await
        });
        let mut seen = Vec::new();
        loop {
            match inbox.take(Duration::from_secs(60)) {
                Found::Messages(messages) => {
                    for (_, message) in messages {
                        assert!(inbox.held() <= 10);
                        inbox.release(message.weight());
                        if let Message::Bytes { bytes, .. } = message {
                            seen.extend(bytes);
                        }
                    }
                }
                Found::End => break,
                _ => panic!("it waits until there is something"),
            }
        }
        assert_eq!(seen, b"12345678abc");
        assert!(runtime().unwrap().block_on(sends).unwrap());
        assert_eq!(inbox.held(), 0);
    }

    #[test]
    fn who_waits_for_room_is_told_when_nobody_will_take_anything() {
        let inbox = Inbox::new(4);
        let feed = inbox.feed(false);
        let sends = runtime().unwrap().spawn(async move { feed.peer("a").give(b"12345678").await });
        while inbox.held() == 0 {
            std::thread::yield_now();
        }
        inbox.close();
        assert!(!runtime().unwrap().block_on(sends).unwrap());
    }

    #[test]
    fn what_was_counted_in_and_not_handed_over_is_let_go() {
        let inbox = Inbox::new(10);
        let feed = inbox.feed(false);
        let mut room = feed.room();
        assert!(room.more(6) && !room.more(6));
        drop(room);
        assert_eq!(inbox.held(), 0);
    }
}
