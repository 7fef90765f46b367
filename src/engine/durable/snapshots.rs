//! Snapshots are made beside the batches, of what is in the journal already: a batch never waits for one, whatever the
//! size of the state. With each the oldest is let go of, and the records that nothing needs any more.

use std::thread::JoinHandle;

use crate::engine::durable::recovered::{Recovered, made_at};
use crate::journal::{Entry, Journal, Records, Snapshots as Files, Trouble};
use crate::plan::Settings;

/// When a snapshot is made.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Pace {
    /// When batches wrote as much as the last one has, but not for less than so many bytes ...
    pub(in crate::engine) bytes: u64,
    /// ... or when there were so many batches: each costs a little when the journal is read.
    pub(in crate::engine) batches: u64,
    /// On a thread of its own. Tests make them at once, so that a seed always does the same.
    pub(in crate::engine) beside: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { bytes: 32 << 20, batches: 1_000, beside: true }
    }
}

/// How many are kept: should the newest not be readable, the one before it is.
const KEPT: usize = 2;

/// So many are kept at most where more is to be gone back to: with `retention` one in the middle goes.
const MOST: usize = 12;

/// How much is kept to go back to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::engine) enum Retention {
    /// No more than is needed.
    #[default]
    Least,
    /// Microseconds before the last batch.
    Time(i64),
    /// Bytes of journal and snapshots together.
    Bytes(u64),
}

impl Retention {
    /// What a pipeline says.
    pub(in crate::engine) fn of(settings: &Settings) -> Self {
        match (settings.duration("retention"), settings.size("retention")) {
            (Some(micros), _) => Retention::Time(micros),
            (_, Some(bytes)) => Retention::Bytes(bytes),
            (None, None) => Retention::Least,
        }
    }
}

/// The number and the size of a snapshot that was made; none where there is nothing new.
type Made = Result<Option<(u64, u64)>, Trouble>;

/// Makes snapshots when they are due.
pub(super) struct Snapshots {
    files: Files,
    pace: Pace,
    /// Bytes and batches since the last one.
    grown: u64,
    batches: u64,
    /// Bytes of the last one.
    last: u64,
    /// Numbers of those that are there, oldest first: the last record of the journal that is in each.
    kept: Vec<u64>,
    /// The last record that is on the disk, and the time of its batch.
    synced: u64,
    micros: i64,
    retention: Retention,
    /// After so many bytes one is due, however large the last one is: what changed since is in memory while the next is
    /// made, and when a run begins.
    most: u64,
    running: Option<JoinHandle<Made>>,
}

impl Snapshots {
    pub(super) fn new(files: Files, recovered: &Recovered, (pace, retention): (Pace, Retention)) -> Self {
        let (grown, batches, kept) = (recovered.grown, recovered.batches, recovered.snapshots.clone());
        let (synced, micros) = (recovered.sequence, recovered.head.last.unwrap_or_default());
        // One whose size cannot be told is made anew somewhat early.
        let last = kept.last().and_then(|number| files.bytes(*number).ok()).unwrap_or_default();
        Snapshots { files, pace, grown, batches, last, kept, synced, micros, retention, most: u64::MAX, running: None }
    }

    /// So many bytes of changes may be in memory.
    pub(super) fn at_most(&mut self, bytes: u64) {
        self.most = bytes;
    }

    /// A batch of that time wrote so many bytes, up to that record, and they are on the disk.
    pub(super) fn grew(&mut self, bytes: u64, synced: u64, micros: i64) {
        self.micros = micros;
        self.grown += bytes;
        self.batches += 1;
        self.synced = synced;
    }

    /// Makes one where it is due, and clears up behind one that is done. `needed`: the first record that is needed
    /// whatever snapshots there are.
    pub(super) fn tend(&mut self, journal: &mut Journal, needed: Option<u64>) -> Result<(), Trouble> {
        // Where memory is short changes must not gather while a snapshot is made: the next one looks at all of them.
        let is_too_much = self.grown >= self.most;
        if self.running.as_ref().is_some_and(|running| is_too_much || running.is_finished()) {
            self.clear_up(journal, needed)?;
        }
        let enough = self.last.max(self.pace.bytes).min(self.most);
        let is_due = self.grown >= enough || self.batches >= self.pace.batches;
        if is_due && self.running.is_none() {
            self.begin(journal);
            if !self.pace.beside {
                return self.clear_up(journal, needed);
            }
        }
        Ok(())
    }

    /// Waits for the one that is being made.
    pub(super) fn wait(&mut self, journal: &mut Journal, needed: Option<u64>) -> Result<(), Trouble> {
        if self.running.is_some() { self.clear_up(journal, needed) } else { Ok(()) }
    }

    fn begin(&mut self, journal: &Journal) {
        let (records, first, files, until) = (journal.records(), journal.first(), self.files.clone(), self.synced);
        let entries: Vec<_> = journal.entries().iter().copied().take_while(|entry| entry.sequence <= until).collect();
        let work = move || make((&entries, first), &records, &files, until);
        match std::thread::Builder::new().name("checkpoint".into()).spawn(work) {
            Ok(thread) => self.running = Some(thread),
            Err(error) => tracing::warn!(%error, "no snapshot can be made"),
        }
        (self.grown, self.batches) = (0, 0);
    }

    /// Whether what is to be kept is there without the oldest snapshot and the records up to the next one.
    fn is_enough_without_oldest(&self, journal: &Journal) -> Result<bool, Trouble> {
        Ok(match self.retention {
            Retention::Least => true,
            Retention::Time(micros) => {
                let next = self.kept.get(1).map(|next| made_at(&self.files, *next)).transpose()?.flatten();
                next.is_some_and(|next| next <= self.micros.saturating_sub(micros))
            }
            Retention::Bytes(bytes) => {
                let files = self.kept.iter().map(|number| self.files.bytes(*number));
                files.sum::<Result<u64, Trouble>>()? + journal.bytes() > bytes
            }
        })
    }

    fn clear_up(&mut self, journal: &mut Journal, needed: Option<u64>) -> Result<(), Trouble> {
        let made = self.running.take().map(JoinHandle::join);
        match made {
            Some(Ok(Ok(Some((number, bytes))))) => {
                self.last = bytes;
                self.kept.retain(|kept| *kept != number);
                self.kept.push(number);
            }
            Some(Ok(Ok(None))) | None => return Ok(()),
            // The journal has all of it: it is tried again after as many batches.
            Some(Ok(Err(trouble))) => {
                tracing::warn!(%trouble, "no snapshot could be made; the journal grows until one can");
                return Ok(());
            }
            Some(Err(_)) => {
                tracing::error!("making a snapshot failed for a reason that is ours; the journal grows");
                return Ok(());
            }
        }
        // What the journal takes is only known when it was trimmed.
        let most = if matches!(self.retention, Retention::Bytes(_)) { 2 } else { usize::MAX };
        let mut gone = 0;
        while self.kept.len() > KEPT && gone < most && self.is_enough_without_oldest(journal)? {
            self.files.forget(self.kept.remove(0))?;
            gone += 1;
        }
        // One that could not be read at the start is of no use any more.
        for number in self.files.list()?.into_iter().filter(|number| !self.kept.contains(number)) {
            self.files.forget(number)?;
        }
        if self.kept.len() > MOST {
            self.files.forget(self.kept.remove(closest(&self.kept)))?;
        }
        match self.kept.first() {
            Some(oldest) if self.kept.len() >= KEPT => journal.trim(needed.unwrap_or(u64::MAX).min(oldest + 1)),
            _ => Ok(()),
        }
    }
}

/// Which of the snapshots between the oldest and the last two is nearest to the one before it.
fn closest(kept: &[u64]) -> usize {
    let between = 1..kept.len().saturating_sub(KEPT).max(2);
    between.min_by_key(|at| kept[at + 1] - kept[at - 1]).unwrap_or(1)
}

/// Makes a snapshot of what is in the journal up to a record; its number and size.
fn make(entries: (&[Entry], u64), records: &Records, files: &Files, until: u64) -> Made {
    let mut found = Recovered::of(entries, records, files, Some(until))?;
    let number = found.sequence;
    if found.snapshots.last() == Some(&number) {
        return Ok(None);
    }
    let bytes = files.write(number, &mut |to| found.write(to))?;
    Ok(Some((number, bytes)))
}
