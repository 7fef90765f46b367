//! Logs of what is pushed at sources that cannot read it again: what came is on the disk before a batch has it, so that a
//! crash loses only what came in its last moment. Each log is a journal of its own below the checkpoint:
//!
//! ```text
//! ingest/<number>/      a log, as `journal` lays it out; the split of its source is called so
//! ```
//!
//! A message is a number and bytes, cut into as many records as it takes. A thread brings them to the disk together; how
//! often is [`GROUP`]. While the disk is full nothing is taken in, and it goes on by itself.

use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::durable::failed;
use crate::journal::{About, Disk, Entry, Journal, Records, Trouble, Tuning};
use crate::plan::operator::TaskError;
use crate::plan::seams::{IngestLog, Positions, Split};

/// The folder of all logs.
const FOLDER: &str = "ingest";

/// What came within this time is brought to the disk by one sync ...
const GROUP: Duration = Duration::from_millis(20);

/// ... or so many bytes.
const ENOUGH: usize = 1 << 20;

/// How long it waits before it looks whether there is room on the disk.
const PAUSE: Duration = Duration::from_millis(500);

/// So many bytes of a message are put into a record.
const PIECE: usize = if cfg!(test) { 300 } else { 4 << 20 };

/// A log is let go of in pieces of so many bytes.
const SEGMENT: u64 = 8 << 20;

/// Records of a log: a piece of a message, but not its last.
const PART: u8 = 1;
/// The last piece of a message.
const LAST: u8 = 2;
/// Pieces before it belong to no message; says the number of the next message.
const MARK: u8 = 3;

/// Where the logs of a checkpoint are.
pub(in crate::engine) struct Logs {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    about: About,
    /// No log was ever called by this number or a later one.
    next: u64,
}

impl Logs {
    /// Of the checkpoint in that folder.
    pub(super) fn of(disk: Arc<dyn Disk>, checkpoint: &Path, about: About) -> Result<Self, Trouble> {
        let mut logs = Logs { disk, folder: checkpoint.join(FOLDER), about, next: 1 };
        logs.next = logs.numbers()?.last().map_or(1, |last| last + 1);
        Ok(logs)
    }

    /// The numbers of those that are there.
    fn numbers(&self) -> Result<BTreeSet<u64>, Trouble> {
        Ok(names(&*self.disk, &self.folder)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Takes away the logs of sources that are gone for good. `needed`: splits that are read. The folder of the last one
    /// stays, so that its number is not given again.
    pub(in crate::engine) fn keep_only<'a>(&mut self, needed: impl Iterator<Item = &'a Split>) -> Result<(), Trouble> {
        let needed: BTreeSet<u64> = needed.filter_map(numbered).collect();
        let last = self.next - 1;
        for number in self.numbers()?.difference(&needed) {
            remove(&*self.disk, &self.folder.join(number.to_string()), *number != last)?;
        }
        Ok(())
    }

    /// The log that positions are in; a new one where they are in none, and `true`.
    pub(in crate::engine) fn open(&mut self, known: &Positions) -> Result<(Log, bool), Trouble> {
        let number = known.keys().filter_map(numbered).max();
        let is_new = number.is_none();
        let number = number.unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        let folder = self.folder.join(number.to_string());
        let tuning = Tuning { segment_bytes: SEGMENT };
        let log = Log::open(Arc::clone(&self.disk), &folder, &self.about, tuning, format!("{FOLDER}/{number}"))?;
        Ok((log, is_new))
    }
}

/// Whether a split is a log.
pub(super) fn is_log(split: &Split) -> bool {
    numbered(split).is_some()
}

/// The folders of the logs of a checkpoint.
pub(super) fn folders(disk: &dyn Disk, checkpoint: &Path) -> Vec<PathBuf> {
    let folder = checkpoint.join(FOLDER);
    let mut numbers: Vec<u64> =
        disk.list(&folder).unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let folders = numbers.iter().map(|number| folder.join(number.to_string()));
    folders.filter(|log| disk.list(log).is_ok_and(|names| names.iter().any(|name| name == ABOUT))).collect()
}

/// The file without which a folder is no log: it is made last, and goes first.
const ABOUT: &str = "about";

/// Takes a log away; its folder as well, or all that is in it.
fn remove(disk: &dyn Disk, log: &Path, folder: bool) -> Result<(), Trouble> {
    let said = |file: &Path, doing| {
        let file = file.to_owned();
        move |error| Trouble::Io { file, doing, error }
    };
    let about = log.join(ABOUT);
    match disk.remove(&about) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(said(&about, "remove")(error)),
        Err(_) => {}
        // What is left is no log whatever happens next.
        Ok(()) => disk.sync_folder(log).map_err(said(log, "make durable what is in"))?,
    }
    for inside in ["journal", "snapshots"].map(|name| log.join(name)) {
        for name in names(disk, &inside)? {
            disk.remove(&inside.join(&name)).map_err(said(&inside.join(&name), "remove"))?;
        }
        if disk.list(&inside).is_ok() {
            disk.sync_folder(&inside).map_err(said(&inside, "make durable what is in"))?;
        }
        match disk.remove_folder(&inside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(said(&inside, "remove")(error)),
            _ => {}
        }
    }
    for name in names(disk, log)? {
        disk.remove(&log.join(&name)).map_err(said(&log.join(&name), "remove"))?;
    }
    if folder { disk.remove_folder(log).map_err(said(log, "remove")) } else { Ok(()) }
}

/// What is in a folder, if it is there.
fn names(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, Trouble> {
    match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|error| Trouble::Io { file: folder.to_owned(), doing: "look into", error }),
    }
}

/// The number of the log that a split is.
fn numbered(split: &Split) -> Option<u64> {
    split.id.strip_prefix(FOLDER)?.strip_prefix('/')?.parse().ok()
}

/// A log in use.
pub(in crate::engine) struct Log {
    name: String,
    shared: Arc<Shared>,
    records: Records,
    /// What was there when it was opened.
    found: Vec<Message>,
    writing: Option<JoinHandle<()>>,
}

/// Where a message is.
struct Message {
    number: u64,
    pieces: Vec<Entry>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or it is the end.
    work: Condvar,
    /// Called when something is on the disk.
    told: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

struct State {
    waiting: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    next: u64,
    unsynced: u64,
    failed: Option<TaskError>,
    /// Messages before it are not needed.
    needed: u64,
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        if let Some(told) = &*self.told.lock().unwrap_or_else(PoisonError::into_inner) {
            told();
        }
    }
}

impl Log {
    /// Opens a log, or makes it.
    fn open(disk: Arc<dyn Disk>, folder: &Path, about: &About, tuning: Tuning, name: String) -> Result<Self, Trouble> {
        let (mut log, writer) = Log::found(disk, folder, about, tuning, name)?;
        let beside = Arc::clone(&log.shared);
        let writing = std::thread::Builder::new().name("ingest".into()).spawn(move || writer.work(&beside));
        let writing = writing.map_err(|error| Trouble::Io { file: folder.to_owned(), doing: "write beside", error })?;
        log.writing = Some(writing);
        Ok(log)
    }

    /// A log, and what brings to the disk what is added to it.
    fn found(
        disk: Arc<dyn Disk>,
        folder: &Path,
        about: &About,
        tuning: Tuning,
        name: String,
    ) -> Result<(Self, Writer), Trouble> {
        let mut journal = Journal::open(disk, folder, about, tuning)?;
        let records = journal.records();
        let (found, next) = messages(journal.entries(), &records)?;
        // What is there of a message whose end is not is none from here on.
        let marked = (next, journal.append(MARK, &[&next.to_le_bytes()])?);
        journal.sync()?;
        let state = State { waiting: Vec::new(), bytes: 0, next, unsynced: next, failed: None, needed: 1, over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), told: Mutex::new(None) });
        let first = found.iter().filter_map(|message| Some((message.number, message.pieces.first()?.sequence)));
        let places = first.collect();
        let writer = Writer { journal, holding: Vec::new(), places, marked, segment: tuning.segment_bytes };
        Ok((Log { name, shared, records, found, writing: None }, writer))
    }
}

impl IngestLog for Log {
    fn name(&self) -> &str {
        &self.name
    }

    fn append(&self, message: Vec<u8>) -> u64 {
        let mut state = self.shared.state();
        let number = state.next;
        state.next += 1;
        state.bytes += message.len();
        state.waiting.push((number, message));
        drop(state);
        self.shared.work.notify_all();
        number
    }

    fn unsynced(&self) -> Result<u64, TaskError> {
        let state = self.shared.state();
        state.failed.clone().map_or(Ok(state.unsynced), Err)
    }

    fn tell(&self, whom: Box<dyn Fn() + Send + Sync>) {
        *self.shared.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(whom);
    }

    fn read(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, TaskError> {
        let there = self.found.iter().filter(|message| message.number >= from);
        let first = there.clone().next().map_or_else(|| self.shared.state().next, |message| message.number);
        if from > 0 && first != from {
            let (file, _) = self.records.place(None);
            return Err(TaskError::Stop(format!(
                "`{}` does not go on where the checkpoint does: message {from} is missing; put back a copy, or move the \
                 checkpoint away and start anew",
                file.display()
            )));
        }
        let whole = |message: &Message| -> Result<(u64, Vec<u8>), Trouble> {
            let mut bytes = Vec::new();
            for piece in &message.pieces {
                bytes.extend(self.records.read(piece)?);
            }
            bytes.drain(..8);
            Ok((message.number, bytes))
        };
        there.map(whole).collect::<Result<_, _>>().map_err(|trouble| failed(&trouble))
    }

    fn trim(&self, before: u64) {
        let mut state = self.shared.state();
        state.needed = state.needed.max(before);
    }
}

impl Drop for Log {
    /// What was added comes to the disk first.
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.work.notify_all();
        if let Some(writing) = self.writing.take()
            && writing.join().is_err()
        {
            tracing::error!("writing the log of a source failed for a reason that is ours");
        }
    }
}

/// The messages that records are, and the number of the next one.
fn messages(entries: &[Entry], records: &Records) -> Result<(Vec<Message>, u64), Trouble> {
    let (mut found, mut next): (Vec<Message>, u64) = (Vec::new(), 1);
    let mut pieces: Vec<Entry> = Vec::new();
    for entry in entries {
        match entry.kind {
            PART => pieces.push(*entry),
            LAST => {
                pieces.push(*entry);
                let pieces = std::mem::take(&mut pieces);
                let number = number(&pieces[0], records)?;
                next = number + 1;
                found.push(Message { number, pieces });
            }
            _ => {
                pieces.clear();
                next = next.max(number(entry, records)?);
            }
        }
    }
    Ok((found, next))
}

/// The number that a record begins with.
fn number(entry: &Entry, records: &Records) -> Result<u64, Trouble> {
    let bytes = records.read(entry)?;
    let number = bytes.first_chunk().map(|number| u64::from_le_bytes(*number));
    number.ok_or_else(|| {
        let (file, offset) = records.place(Some(entry));
        Trouble::Damaged { file, offset, why: "the record is too short".into() }
    })
}

/// Brings messages to the disk.
struct Writer {
    journal: Journal,
    /// What is to be brought there.
    holding: Vec<(u64, Vec<u8>)>,
    /// Where the messages begin that may still be needed.
    places: VecDeque<(u64, u64)>,
    /// The last mark: the number it says, and where it is.
    marked: (u64, u64),
    segment: u64,
}

impl Writer {
    fn work(mut self, shared: &Shared) {
        let (mut synced, mut waits): (Option<Instant>, bool) = (None, false);
        loop {
            let mut state = shared.state();
            while state.waiting.is_empty() && self.holding.is_empty() && !state.over {
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // Who comes alone waits for nobody.
            while let Some(left) = synced.and_then(|last| GROUP.checked_sub(last.elapsed()))
                && state.bytes < ENOUGH
                && !state.over
                && !left.is_zero()
            {
                state = shared.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            let over = state.over;
            drop(state);
            synced = Some(Instant::now());
            match self.turn(shared) {
                Err(trouble @ Trouble::Full { .. }) if !over => {
                    if !waits {
                        tracing::warn!(%trouble, "sources wait");
                    }
                    waits = true;
                    let waited = shared.work.wait_timeout_while(shared.state(), PAUSE, |state| !state.over);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                Err(trouble) => shared.state().failed = Some(failed(&trouble)),
                Ok(()) if std::mem::take(&mut waits) => tracing::info!("there is room again: sources go on"),
                Ok(()) => {}
            }
            let state = shared.state();
            let (failed, is_over) = (state.failed.is_some(), over && state.waiting.is_empty());
            drop(state);
            shared.tell();
            if failed {
                return;
            }
            if is_over {
                // All is on the disk already; without the mark of a clean end the next start takes a little longer.
                let _ = self.journal.close();
                return;
            }
        }
    }

    /// Brings all that waits to the disk, and lets go of what nobody needs. While the disk is full nothing of it is
    /// there, and it is to be tried again.
    fn turn(&mut self, shared: &Shared) -> Result<(), Trouble> {
        let mut state = shared.state();
        self.holding.append(&mut state.waiting);
        state.bytes = 0;
        let (needed, next) = (state.needed, state.next);
        drop(state);
        match self.keep() {
            Err(full @ Trouble::Full { .. }) => {
                // What is used up meanwhile may be what takes the room.
                self.trim(needed, self.holding.first().map_or(next, |(number, _)| *number))?;
                self.let_go()?;
                return Err(full);
            }
            other => other?,
        }
        if let Some((last, _)) = self.holding.drain(..).next_back() {
            shared.state().unsynced = last + 1;
        }
        self.trim(needed, next)
    }

    /// Removes the segments that are not needed, as far as that can be noted.
    fn let_go(&mut self) -> Result<(), Trouble> {
        loop {
            match self.journal.sync() {
                Ok(()) if self.journal.removes() => {}
                Ok(()) | Err(Trouble::Full { .. }) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    /// All of them or none.
    fn keep(&mut self) -> Result<(), Trouble> {
        let first = self.journal.next();
        let before = self.places.len();
        let holding = std::mem::take(&mut self.holding);
        let kept = holding.iter().try_for_each(|(number, bytes)| {
            let begins = self.message(*number, bytes)?;
            self.places.push_back((*number, begins));
            Ok(())
        });
        self.holding = holding;
        let kept = kept.and_then(|()| self.journal.sync());
        if kept.is_err() {
            self.journal.give_up(first);
            self.places.truncate(before);
        }
        kept
    }

    fn message(&mut self, number: u64, bytes: &[u8]) -> Result<u64, Trouble> {
        let number = number.to_le_bytes();
        let mut pieces = bytes.chunks(PIECE);
        let last = pieces.next_back().unwrap_or_default();
        let mut first = None;
        for piece in pieces {
            let head: &[u8] = if first.is_none() { &number } else { &[] };
            let sequence = self.journal.append(PART, &[head, piece])?;
            first.get_or_insert(sequence);
        }
        let head: &[u8] = if first.is_none() { &number } else { &[] };
        let sequence = self.journal.append(LAST, &[head, last])?;
        Ok(first.unwrap_or(sequence))
    }

    /// Lets go of messages, a segment at a time. A mark says how they are counted when none is left: `next` is the number
    /// of the first that is not on the disk.
    fn trim(&mut self, needed: u64, next: u64) -> Result<(), Trouble> {
        while self.places.front().is_some_and(|(number, _)| *number < needed) {
            self.places.pop_front();
        }
        if self.journal.bytes() < self.segment {
            return Ok(());
        }
        if self.places.is_empty() && self.marked.0 != next {
            match self.journal.append(MARK, &[&next.to_le_bytes()]) {
                Err(Trouble::Full { .. }) => return Ok(()),
                other => self.marked = (next, other?),
            }
        }
        let begins = self.places.front().map_or(self.marked.1, |(_, begins)| *begins);
        match self.journal.trim(begins) {
            // It is said again with the next messages.
            Err(Trouble::Full { .. }) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
