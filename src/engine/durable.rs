//! A checkpoint as the engine uses it: what a batch is committed with goes into the journal, what was committed and not
//! delivered comes out of it, and beside the batches snapshots are made of it. The bytes of files are the journal's.

pub(super) mod changed;
mod contents;
mod copied;
mod given_up;
pub(super) mod image;
mod ingest;
mod merging;
mod past;
pub(super) mod positions;
mod recovered;
mod resumed;
mod rewound;
mod snapshots;
mod verified;

pub use contents::{Contents, Due, Remembered, SourceAt};
pub use copied::Copied;
pub use given_up::{GivenUp, Staged};
pub use rewound::{Compacted, Differs, Rewound, Versions};
pub use verified::Verified;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use changed::{Changed, Told};
use image::{Owner, Prepared, Writer};
use ingest::Logs;
pub(super) use recovered::Recovered;
pub(super) use snapshots::Pace;
use snapshots::{Retention, Snapshots};

use crate::engine::aside;
use crate::engine::clock::Clock;
use crate::engine::room::ColdPlace;
use crate::engine::snapshot::{Head, refused};
use crate::engine::stopping::Stopping;
use crate::journal::{About, Disk, Journal, Trouble, Tuning};
use crate::plan::Plan;
use crate::plan::memory::Taking;
use crate::plan::operator::{BatchTime, Changes, TaskError};

/// Records of the journal: the pipeline's text from the next batch on.
const TEXT: u8 = 1;
/// A piece of a batch, but not its last.
const PART: u8 = 2;
/// The last piece of a batch: with it the batch is committed.
const COMMIT: u8 = 3;
/// What sinks delivered of a batch.
const DONE: u8 = 4;

/// Somebody goes on with the checkpoint: pieces before it that were not committed belong to no batch.
const START: u8 = 5;

/// A sink will not get what a batch has for it.
const GIVEN_UP: u8 = 6;

/// Microseconds between two tries while the disk is full.
const PAUSE: i64 = 500_000;

/// Where little state may be in memory, snapshots are made after so many bytes of changes all the same.
const LEAST: u64 = 4 << 20;

/// So many bytes of a batch are put into a record.
const RECORD: usize = 8 << 20;

/// A checkpoint that was opened and is not in use yet.
pub struct Checkpoint {
    /// None: nothing is kept of what becomes of it.
    journal: Option<Journal>,
    recovered: Recovered,
    pace: Pace,
    /// Where sources that cannot be read again keep what they take in; none without a journal.
    logs: Option<Logs>,
    /// For state that does not fit into memory.
    pub(super) cold: Option<ColdPlace>,
}

/// Texts by the name of what they are kept for.
pub type Texts = Vec<(String, Vec<u8>)>;

/// What a run begins with where it has a checkpoint.
pub struct Start {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// What runs from now on, in any bytes; given back by [`Checkpoint::text`] to the next run.
    pub text: Vec<u8>,
    /// Where that is another text than before: what ran before, and what is taken over from it.
    pub changed: Option<(Plan, Taking)>,
}

/// A checkpoint in use.
pub(super) struct Durable {
    journal: Journal,
    told: Told,
    /// Batches that are committed and not delivered: number, and the first record.
    undelivered: VecDeque<(u64, u64)>,
    snapshots: Snapshots,
    /// Of sources that things are pushed at.
    logs: Logs,
    /// What the next commit says beside what became of its batch.
    also: Vec<(Owner, String, Changes)>,
    /// Operators whose state is put aside.
    aside: BTreeSet<String>,
}

/// The head of a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CommitHead {
    number: u64,
    micros: i64,
    /// It says everything: what it does not say is gone ...
    all: bool,
    /// ... but what these operators remember, by their identities, which is as it was.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    as_before: BTreeSet<String>,
    /// How many sinks staged something.
    #[serde(default = "unsaid")]
    prepared: usize,
    /// It is as it was behind that batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rewound: Option<u64>,
    /// As it is behind the batch.
    head: Head,
}

impl CommitHead {
    /// Of what changed, or of everything.
    fn of(changed: &Changed, all: bool) -> Self {
        let BatchTime { number, micros } = changed.batch;
        let prepared = changed.prepared.len();
        let (as_before, head) = (changed.as_before.clone(), changed.head.clone());
        CommitHead { number, micros, all, as_before, prepared, rewound: None, head }
    }
}

/// Commits of the first builds do not say how much sinks prepared: it is looked for.
fn unsaid() -> usize {
    usize::MAX
}

/// The head of what is written when a batch is delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DoneHead {
    number: u64,
    /// Identities of sinks.
    sinks: Vec<String>,
}

/// What was committed and may not have been delivered.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) batch: BatchTime,
    pub(super) prepared: Vec<Prepared>,
}

impl Checkpoint {
    /// Opens a checkpoint for a pipeline, or makes it. Nobody else can use it from then on.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, pipeline: &str) -> Result<Self, Trouble> {
        Self::tuned(disk, folder, pipeline, Tuning::default(), Pace::default())
    }

    pub(super) fn tuned(
        disk: Arc<dyn Disk>,
        folder: &Path,
        pipeline: &str,
        tuning: Tuning,
        pace: Pace,
    ) -> Result<Self, Trouble> {
        let about = About { pipeline: pipeline.to_owned() };
        let journal = Journal::open(Arc::clone(&disk), folder, &about, tuning)?;
        let recovered =
            Recovered::of((journal.entries(), journal.first()), &journal.records(), &journal.snapshots(), None)?;
        if recovered.sequence >= journal.next() {
            let why = "it ends before what a snapshot holds, so its end was lost".to_owned();
            return Err(Trouble::Damaged { file: folder.join("journal"), offset: None, why });
        }
        let cold = Some(ColdPlace::new(Arc::clone(&disk), folder.join("cold")));
        let logs = Some(Logs::of(disk, folder, about)?);
        Ok(Checkpoint { journal: Some(journal), recovered, pace, logs, cold })
    }

    /// Whether a folder is a checkpoint.
    pub fn is_at(folder: &Path) -> bool {
        folder.join("about").is_file() && folder.join("journal").is_dir()
    }

    /// [`Checkpoint::text`] and [`Checkpoint::aside`] without opening the checkpoint: somebody may be using it.
    pub fn look(disk: Arc<dyn Disk>, folder: &Path) -> Result<(Option<Vec<u8>>, Texts), Trouble> {
        let reader = Journal::look(disk, folder)?;
        let all = (reader.entries(), reader.first());
        let mut found = Recovered::of(all, &reader.records(), &reader.snapshots(), None)?;
        let aside = texts_aside(&mut found)?;
        Ok((found.text, aside))
    }

    /// The text that the last batch was run by, as it was given; none where there was no batch.
    pub fn text(&self) -> Option<&[u8]> {
        self.recovered.text.as_deref()
    }

    /// State that was put aside: of what operators, by identity, and the texts in which their stages stood.
    pub fn aside(&self) -> Result<Texts, Trouble> {
        match &self.journal {
            Some(journal) if !self.recovered.head.aside.is_empty() => texts_aside(&mut Recovered::of(
                (journal.entries(), journal.first()),
                &journal.records(),
                &journal.snapshots(),
                None,
            )?),
            _ => Ok(Texts::new()),
        }
    }

    /// How many batches were committed.
    pub fn batches(&self) -> u64 {
        self.recovered.head.number
    }

    /// What a restart finds.
    #[cfg(test)]
    pub(super) fn found(&self) -> Result<Recovered, Trouble> {
        let journal = self.journal.as_ref().expect("a checkpoint of its own");
        Recovered::of((journal.entries(), journal.first()), &journal.records(), &journal.snapshots(), None)
    }

    /// Puts it into use.
    pub(super) fn begin(self, retention: Retention) -> Result<(Option<Durable>, Recovered), Trouble> {
        let Checkpoint { journal, recovered, pace, logs, .. } = self;
        let (Some(mut journal), Some(logs)) = (journal, logs) else { return Ok((None, recovered)) };
        let undelivered = recovered.undelivered.iter().map(|(first, of)| (of.batch.number, *first)).collect();
        let snapshots = Snapshots::new(journal.snapshots(), &recovered, (pace, retention));
        journal.append(START, &[])?;
        let aside = recovered.head.aside.clone();
        let durable = Durable { journal, told: Told::new(), undelivered, snapshots, logs, also: Vec::new(), aside };
        Ok((Some(durable), recovered))
    }
}

impl Durable {
    /// Says everything anew, between two batches: another text runs from now on, which remembers other things.
    pub(super) fn say_all(
        &mut self,
        text: &[u8],
        mut all: Changed,
        clock: &dyn Clock,
        stop: &Stopping,
    ) -> Result<(), TaskError> {
        self.also.clear();
        let aside = all.tables.iter().filter_map(|(owner, ..)| match owner {
            Owner::Aside(identity) => Some(identity.clone()),
            _ => None,
        });
        self.aside = aside.collect();
        all.head.aside.clone_from(&self.aside);
        self.keep_when_there_is_room(&all, Some(text), clock, stop)?;
        // A batch from here on that was committed before is taken back.
        self.undelivered.retain(|(number, _)| *number < all.batch.number);
        Ok(())
    }

    /// What a restart would find now.
    #[cfg(test)]
    pub(super) fn found(&self) -> Result<Recovered, Trouble> {
        let journal = &self.journal;
        Recovered::of((journal.entries(), journal.first()), &journal.records(), &journal.snapshots(), None)
    }

    /// What its batches are numbered in, for the marks of sinks.
    pub(super) fn history(&self) -> String {
        format!("checkpoint {}", self.journal.id())
    }

    /// So many bytes of state may be in memory.
    pub(super) fn limit(&mut self, state: Option<u64>) {
        self.snapshots.at_most(state.map_or(u64::MAX, |bytes| (bytes / 12).max(LEAST)));
    }

    /// What was last said of sources.
    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// What was put aside of an operator is gone; the next commit says so.
    pub(super) fn forgets(&mut self, aside: String) {
        self.aside.remove(&aside);
        self.also.push((Owner::Aside(aside), String::new(), Changes::All(Vec::new())));
    }

    /// Commits a batch: when this comes back, it counts.
    pub(super) fn commit(&mut self, mut changed: Changed, clock: &dyn Clock, stop: &Stopping) -> Result<(), TaskError> {
        if changed.is_nothing() {
            return Ok(());
        }
        changed.tables.append(&mut self.also);
        changed.head.aside.clone_from(&self.aside);
        let first = self.keep_when_there_is_room(&changed, None, clock, stop)?;
        if !changed.prepared.is_empty() {
            self.undelivered.push_back((changed.batch.number, first));
        }
        Ok(())
    }

    /// While the disk is full nothing is read, and it goes on by itself when there is room.
    fn keep_when_there_is_room(
        &mut self,
        changed: &Changed,
        text: Option<&[u8]>,
        clock: &dyn Clock,
        stop: &Stopping,
    ) -> Result<u64, TaskError> {
        when_there_is_room(clock, stop, "the batch", || self.keep(changed, text))
    }

    /// Brings records to the disk; gives the number of the first. [`TaskError::Retry`]: the disk is full, and nothing was
    /// written.
    fn keep(&mut self, changed: &Changed, text: Option<&[u8]>) -> Result<u64, TaskError> {
        let head = CommitHead::of(changed, text.is_some());
        let bytes = commit(&head, changed).map_err(|e| TaskError::Bug(e.to_string()))?;
        let (first, last) = self.append(&bytes, text).map_err(|trouble| failed(&trouble))?;
        if let Err(trouble) = self.journal.sync() {
            self.journal.give_up(first);
            return Err(failed(&trouble));
        }
        self.snapshots.grew(bytes.len() as u64, last, changed.batch.micros);
        Ok(first)
    }

    /// Appends a commit for whoever has a checkpoint to itself; comes to the disk with the next sync.
    fn add(&mut self, head: &CommitHead, changed: &Changed, text: Option<&[u8]>) -> Result<(), Trouble> {
        let said = |error| Trouble::Io { file: self.journal.records().place(None).0, doing: "write", error };
        let bytes = commit(head, changed).map_err(said)?;
        self.append(&bytes, text).map(drop)
    }

    /// Appends the records of a batch, all of them or none; gives the numbers of the first and the last.
    fn append(&mut self, bytes: &[u8], text: Option<&[u8]>) -> Result<(u64, u64), Trouble> {
        let mut pieces: Vec<(u8, &[u8])> = text.into_iter().map(|text| (TEXT, text)).collect();
        pieces.extend(bytes.chunks(RECORD).map(|piece| (PART, piece)));
        if let Some((kind, _)) = pieces.last_mut() {
            *kind = COMMIT;
        }
        let mut written: Option<(u64, u64)> = None;
        for (kind, piece) in pieces {
            match self.journal.append(kind, &[piece]) {
                Ok(sequence) => written = Some((written.map_or(sequence, |(first, _)| first), sequence)),
                Err(trouble) => {
                    written.into_iter().for_each(|(first, _)| self.journal.give_up(first));
                    return Err(trouble);
                }
            }
        }
        Ok(written.unwrap_or_default())
    }

    /// Says that sinks delivered a batch, and what they refused of it. Comes to the disk with the next commit.
    pub(super) fn done(
        &mut self,
        batch: BatchTime,
        sinks: Vec<String>,
        rejected: &[(String, Vec<RecordBatch>)],
    ) -> Result<(), TaskError> {
        let head = DoneHead { number: batch.number, sinks };
        let written = Writer::begin(Vec::new(), &head).and_then(|mut writer| {
            for (sink, rows) in rejected {
                writer.owner(&Owner::Rejected(sink.clone()), "", &Changes::All(vec![refused(rows.clone())]))?;
            }
            writer.end()
        });
        let bytes = written.map_err(|e| TaskError::Bug(e.to_string()))?;
        // What was delivered is delivered, so a disk that is full for now does no harm: it is delivered again.
        let appended = self.journal.append(DONE, &[&bytes]).and_then(|_| self.journal.write());
        match appended {
            Ok(()) | Err(Trouble::Full { .. }) => {}
            Err(trouble) => return Err(failed(&trouble)),
        }
        self.undelivered.retain(|(number, _)| *number != batch.number);
        Ok(())
    }

    /// Between two batches: makes a snapshot beside where one is due, and lets go of what nothing needs any more.
    pub(super) fn tend(&mut self) -> Result<(), TaskError> {
        let needed = self.undelivered.front().map(|(_, first)| *first);
        self.snapshots.tend(&mut self.journal, needed).map_err(|trouble| failed(&trouble))
    }

    /// No batch follows.
    pub(super) fn close(mut self) -> Result<(), TaskError> {
        let needed = self.undelivered.front().map(|(_, first)| *first);
        let waited = self.snapshots.wait(&mut self.journal, needed);
        waited.and_then(|()| self.journal.close()).map_err(|trouble| failed(&trouble))
    }
}

/// Reads all that there is for the little that is wanted, so only where there is some.
fn texts_aside(found: &mut Recovered) -> Result<Texts, Trouble> {
    if found.head.aside.is_empty() {
        return Ok(Texts::new());
    }
    let rest = found.but_operators(&mut |_| Ok(()))?;
    let aside = rest.into_iter().filter_map(|(owner, (_, tables))| match owner {
        Owner::Aside(identity) => Some((identity, aside::parted(tables).1?.1)),
        _ => None,
    });
    Ok(aside.collect())
}

/// Does what a full disk refuses once there is room.
fn when_there_is_room<T>(
    clock: &dyn Clock,
    stop: &Stopping,
    what: &str,
    mut work: impl FnMut() -> Result<T, TaskError>,
) -> Result<T, TaskError> {
    let mut said = false;
    loop {
        match work() {
            Err(TaskError::Retry(why)) if !stop.is_over(clock) => {
                if !said {
                    tracing::warn!(%why, "{what} waits");
                }
                said = true;
                stop.wait(clock, PAUSE);
            }
            Err(TaskError::Retry(why)) => return Err(TaskError::Stop(why)),
            Ok(done) if said => {
                tracing::info!("there is room again: {what} is on the disk");
                return Ok(done);
            }
            other => return other,
        }
    }
}

/// The bytes of a commit.
fn commit(head: &CommitHead, changed: &Changed) -> std::io::Result<Vec<u8>> {
    let mut writer = Writer::begin(Vec::new(), head)?;
    for (owner, word, changes) in &changed.tables {
        writer.owner(owner, word, changes)?;
    }
    for prepared in &changed.prepared {
        writer.artifact(prepared)?;
    }
    writer.end()
}

/// What the engine does next.
pub(super) fn failed(trouble: &Trouble) -> TaskError {
    match trouble {
        Trouble::Full { .. } => TaskError::Retry(trouble.to_string()),
        other => TaskError::Stop(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
