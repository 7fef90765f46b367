//! What a journal says that a pipeline remembers: the newest snapshot, and on it what every later batch changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use crate::engine::durable::image::{Owned, Owner, Part, Reader, Unread, Writer};
use crate::engine::durable::{COMMIT, CommitHead, DONE, DoneHead, PART, TEXT, Undelivered};
use crate::engine::snapshot::{Head, Snapshot};
use crate::engine::tables;
use crate::journal::{Entry, Records, Snapshots, Trouble, as_trouble};
use crate::plan::operator::{BatchTime, Changes};
use serde::{Deserialize, Serialize};

/// What a checkpoint holds.
#[derive(Debug, Default)]
pub(in crate::engine) struct Recovered {
    pub(in crate::engine) head: Head,
    /// The text that the last batch was run by.
    pub(in crate::engine) text: Option<Vec<u8>>,
    pub(in crate::engine) owned: Owned,
    /// What was committed and may not have been delivered, oldest first, with the batch's first record.
    pub(super) undelivered: Vec<(u64, Undelivered)>,
    /// The last record that counts.
    pub(super) sequence: u64,
    /// Snapshots that can be read, and the bytes of batches behind the newest.
    pub(super) snapshots: Vec<u64>,
    pub(super) grown: u64,
    pub(super) batches: u64,
}

/// The head of a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SnapshotHead {
    /// The last record of the journal that is in it.
    sequence: u64,
    head: Head,
}

/// The records of a batch.
struct Batch<'a> {
    text: Option<&'a Entry>,
    pieces: &'a [Entry],
}

impl Recovered {
    /// Puts together what the records say, up to one where it is not to be all.
    pub(super) fn of(
        (entries, first): (&[Entry], u64),
        records: &Records,
        snapshots: &Snapshots,
        until: Option<u64>,
    ) -> Result<Self, Trouble> {
        let mut found = Recovered::newest((entries, first), records, snapshots, until)?;
        let base = found.sequence;
        let mut changes: BTreeMap<Owner, (String, Vec<Changes>)> = BTreeMap::new();
        for (owner, (word, tables)) in std::mem::take(&mut found.owned) {
            changes.insert(owner, (word, vec![Changes::All(tables)]));
        }
        let done = delivered(entries, records)?;
        let mut text = None;
        let mut start = 0;
        for (i, entry) in entries.iter().enumerate() {
            if until.is_some_and(|until| entry.sequence > until) {
                break;
            }
            match entry.kind {
                PART => continue,
                TEXT => text = Some(entry),
                COMMIT => {
                    let batch = Batch { text: text.take(), pieces: &entries[start..=i] };
                    found.commit(&batch, records, &done, base, &mut changes)?;
                }
                DONE if entry.sequence > base => {
                    let (_, parts) = parts::<DoneHead>(std::slice::from_ref(entry), records)?;
                    for part in parts {
                        if let Part::Owner(owner, word, all) = part {
                            changes.insert(owner, (word, vec![all]));
                        }
                    }
                    found.sequence = entry.sequence;
                }
                _ => text = None,
            }
            start = i + 1;
        }
        for (owner, (word, changes)) in changes {
            let tables = tables::merged_all(Vec::new(), changes);
            let tables = tables.map_err(|e| damaged(records, entries.last(), &e.to_string()))?;
            if !tables.is_empty() {
                found.owned.insert(owner, (word, tables));
            }
        }
        Ok(found)
    }

    /// The newest snapshot that can be read and that says no more than it may; nothing where the journal has its
    /// beginning.
    fn newest(
        (entries, first): (&[Entry], u64),
        records: &Records,
        snapshots: &Snapshots,
        until: Option<u64>,
    ) -> Result<Self, Trouble> {
        let mut numbers = snapshots.list()?;
        numbers.retain(|number| until.is_none_or(|until| *number <= until));
        let mut bad = None;
        while let Some(number) = numbers.last().copied() {
            // One that was left over is no base: what came behind it is only in later ones. The newest was not.
            let is_left_over = |found: &Recovered| bad.is_some() && found.sequence.saturating_add(1) < first;
            let read = snapshot(snapshots, number).and_then(|found| match is_left_over(&found) {
                true => {
                    let why = "the journal begins behind it".to_owned();
                    Err(Trouble::Damaged { file: snapshots.path(number), offset: None, why })
                }
                false => Ok(found),
            });
            match read {
                Ok(found) => return Ok(Recovered { snapshots: numbers, ..found }),
                Err(trouble) => {
                    tracing::warn!(%trouble, "a snapshot cannot be read; the one before it and the journal say the same");
                    bad = bad.or(Some(trouble));
                    numbers.pop();
                }
            }
        }
        let whole = first == 1;
        match bad {
            Some(trouble) if !whole => Err(trouble),
            None if !whole => {
                Err(damaged(records, entries.first(), "what came before it is gone, and there is no snapshot of it"))
            }
            _ => Ok(Recovered::default()),
        }
    }

    /// Takes a batch in. `base`: what came up to that record is in the snapshot.
    fn commit(
        &mut self,
        batch: &Batch<'_>,
        records: &Records,
        done: &BTreeSet<u64>,
        base: u64,
        changes: &mut BTreeMap<Owner, (String, Vec<Changes>)>,
    ) -> Result<(), Trouble> {
        let (Some(first), Some(last)) = (batch.pieces.first(), batch.pieces.last()) else { return Ok(()) };
        let mut reader = Pieces::of(batch.pieces, records);
        let (head, mut reader) =
            Reader::begin::<CommitHead>(&mut reader).map_err(|why| unread(records, Some(first), why))?;
        let is_new = last.sequence > base;
        let is_done = head.prepared == 0 || done.contains(&head.number);
        if !is_new && is_done {
            return Ok(());
        }
        if is_new {
            // A commit takes all refused rows in; what it says of everything leaves nothing else.
            changes.retain(|owner, _| !head.all && !matches!(owner, Owner::Rejected(_)));
        }
        if head.all {
            // Batches behind it that came before were taken back with the text they were run by.
            self.undelivered.retain(|(_, of)| of.batch.number < head.number);
        }
        let mut prepared = Vec::new();
        while let Some(part) = reader.next().map_err(|why| unread(records, Some(first), why))? {
            match part {
                Part::Owner(owner, word, change) if is_new => {
                    let known = changes.entry(owner).or_default();
                    if matches!(change, Changes::All(_)) {
                        known.1.clear();
                    }
                    known.0 = word;
                    known.1.push(change);
                }
                Part::Artifact(one) if !is_done => prepared.push(one),
                Part::Owner(..) | Part::Artifact(_) | Part::Text(_) => {}
            }
        }
        if !prepared.is_empty() {
            let batch = BatchTime { number: head.number, micros: head.micros };
            self.undelivered.push((first.sequence, Undelivered { batch, prepared }));
        }
        if is_new {
            (self.head, self.sequence) = (head.head, last.sequence);
            if let Some(text) = batch.text {
                self.text = Some(records.read(text)?);
            }
            self.grown += batch.pieces.iter().map(|entry| entry.length).sum::<u64>();
            self.batches += 1;
        }
        Ok(())
    }

    /// What a session goes on from.
    pub(in crate::engine) fn snapshot(&mut self) -> Result<Snapshot, String> {
        Snapshot::of(self.head.clone(), std::mem::take(&mut self.owned))
    }

    /// What is still to be delivered.
    pub(in crate::engine) fn undelivered(&mut self) -> Vec<Undelivered> {
        std::mem::take(&mut self.undelivered).into_iter().map(|(_, of)| of).collect()
    }

    /// Writes it as a snapshot.
    pub(super) fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let head = SnapshotHead { sequence: self.sequence, head: self.head.clone() };
        let mut writer = Writer::begin(to, &head)?;
        writer.text(self.text.as_deref().unwrap_or_default())?;
        writer.owners(&self.owned)?;
        writer.end().map(drop)
    }
}

/// Reads a snapshot.
pub(super) fn snapshot(snapshots: &Snapshots, number: u64) -> Result<Recovered, Trouble> {
    let said = |why: Unread| troubled((snapshots.path(number), None), why);
    let (head, mut reader) = Reader::begin::<SnapshotHead>(snapshots.read(number)?).map_err(said)?;
    let mut text = None;
    let owned = reader.whole(|part| match part {
        Part::Text(found) => text.replace(found).is_none(),
        Part::Owner(..) | Part::Artifact(_) => false,
    });
    let owned = owned.map_err(said)?;
    Ok(Recovered { head: head.head, sequence: head.sequence, text, owned, ..Recovered::default() })
}

/// The time of the last batch that is in a snapshot.
pub(super) fn made_at(snapshots: &Snapshots, number: u64) -> Result<Option<i64>, Trouble> {
    let said = |why: Unread| troubled((snapshots.path(number), None), why);
    let (head, _) = Reader::begin::<SnapshotHead>(snapshots.read(number)?).map_err(said)?;
    Ok(head.head.last)
}

/// Numbers of the batches that were delivered.
fn delivered(entries: &[Entry], records: &Records) -> Result<BTreeSet<u64>, Trouble> {
    let done = entries.iter().filter(|entry| entry.kind == DONE);
    done.map(|entry| parts::<DoneHead>(std::slice::from_ref(entry), records).map(|(head, _)| head.number)).collect()
}

pub(super) fn parts<T: serde::de::DeserializeOwned>(
    pieces: &[Entry],
    records: &Records,
) -> Result<(T, Vec<Part>), Trouble> {
    let said = |why: Unread| unread(records, pieces.first(), why);
    let (head, mut reader) = Reader::begin::<T>(Pieces::of(pieces, records)).map_err(said)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next().map_err(said)? {
        parts.push(part);
    }
    Ok((head, parts))
}

pub(super) fn unread(records: &Records, entry: Option<&Entry>, why: Unread) -> Trouble {
    troubled(records.place(entry), why)
}

/// What the disk said is not taken for damage.
fn troubled((file, offset): (PathBuf, Option<u64>), why: Unread) -> Trouble {
    match why {
        Unread::Bytes(error) => as_trouble(&file, error),
        Unread::Wrong(why) => Trouble::Damaged { file, offset, why },
    }
}

fn damaged(records: &Records, entry: Option<&Entry>, why: &str) -> Trouble {
    let (file, offset) = records.place(entry);
    Trouble::Damaged { file, offset, why: why.to_owned() }
}

/// Records one after the other as bytes.
pub(super) struct Pieces<'a> {
    left: std::slice::Iter<'a, Entry>,
    records: &'a Records,
    now: Cursor<Vec<u8>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(entries: &'a [Entry], records: &'a Records) -> Self {
        Pieces { left: entries.iter(), records, now: Cursor::default() }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.now.read(to)?;
            if read > 0 || to.is_empty() {
                return Ok(read);
            }
            let Some(entry) = self.left.next() else { return Ok(0) };
            self.now = Cursor::new(self.records.read(entry)?);
        }
    }
}
