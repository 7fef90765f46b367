//! What a journal says that a pipeline remembers: the newest snapshot, and on it what every later batch changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use crate::engine::durable::given_up::by_batch;
use crate::engine::durable::image::{Owned, Owner, Part, Piece, Reader, Unread, Writer};
use crate::engine::durable::merging::{Failed, Merging, Since, To};
use crate::engine::durable::{COMMIT, CommitHead, DONE, DoneHead, PART, TEXT, Undelivered};
use crate::engine::snapshot::{Head, Snapshot};
use crate::journal::{Entry, Records, Snapshots, Trouble, as_trouble};
use crate::plan::operator::{BatchTime, Changes, SavedTable};
use serde::{Deserialize, Serialize};

/// What a checkpoint holds.
#[derive(Default)]
pub(in crate::engine) struct Recovered {
    pub(in crate::engine) head: Head,
    /// The text that the last batch was run by.
    pub(in crate::engine) text: Option<Vec<u8>>,
    /// The snapshot that most of it is in.
    base: Option<(Snapshots, u64)>,
    /// What is in the snapshot does not count any more: all of it, or what sinks refused.
    outdated: Outdated,
    /// What changed since.
    since: Since,
    /// What was committed and may not have been delivered, oldest first, with the batch's first record.
    pub(super) undelivered: Vec<(u64, Undelivered)>,
    /// The last record that counts.
    pub(super) sequence: u64,
    /// Snapshots that can be read, and the bytes of batches behind the newest.
    pub(super) snapshots: Vec<u64>,
    pub(super) grown: u64,
    pub(super) batches: u64,
}

/// What of a snapshot does not count any more.
#[derive(Debug, Default)]
struct Outdated {
    /// All but what these operators remember.
    all_but: Option<BTreeSet<String>>,
    refused: bool,
}

impl Outdated {
    /// Everything was said anew, but for some operators.
    fn said_anew(&mut self, as_before: &BTreeSet<String>) {
        match &mut self.all_but {
            Some(still) => still.retain(|identity| as_before.contains(identity)),
            None => self.all_but = Some(as_before.clone()),
        }
    }

    fn counts(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Rejected(_) if self.refused => false,
            Owner::State(identity) => self.all_but.as_ref().is_none_or(|still| still.contains(identity)),
            Owner::Source(_) | Owner::Rejected(_) | Owner::Aside(_) => self.all_but.is_none(),
        }
    }
}

/// The head of a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SnapshotHead {
    /// The last record of the journal that is in it.
    sequence: u64,
    head: Head,
}

/// What need not be delivered any more.
struct Done {
    /// Batches, by number.
    batches: BTreeSet<u64>,
    /// By the record that says so, what sinks refused.
    refused: BTreeMap<u64, Vec<Part>>,
    /// What sinks will not get of a batch.
    given_up: BTreeSet<(u64, String)>,
}

impl Done {
    fn of(entries: &[Entry], records: &Records) -> Result<Self, Trouble> {
        let given_up = by_batch(entries, records)?;
        let mut done = Done { batches: BTreeSet::new(), refused: BTreeMap::new(), given_up };
        for entry in entries.iter().filter(|entry| entry.kind == DONE) {
            let (head, refused) = parts::<DoneHead>(std::slice::from_ref(entry), records)?;
            done.batches.insert(head.number);
            if !refused.is_empty() {
                done.refused.insert(entry.sequence, refused);
            }
        }
        Ok(done)
    }
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
        let mut done = Done::of(entries, records)?;
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
                    found.commit(&batch, records, &done, base)?;
                }
                DONE if entry.sequence > base => {
                    for part in done.refused.remove(&entry.sequence).unwrap_or_default() {
                        if let Part::Owner(owner, word, all) = part {
                            found.since.insert(owner, (word, vec![all]));
                        }
                    }
                    found.sequence = entry.sequence;
                }
                _ => text = None,
            }
            start = i + 1;
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
    fn commit(&mut self, batch: &Batch<'_>, records: &Records, done: &Done, base: u64) -> Result<(), Trouble> {
        let (Some(first), Some(last)) = (batch.pieces.first(), batch.pieces.last()) else { return Ok(()) };
        let mut reader = Pieces::of(batch.pieces, records);
        let (head, mut reader) =
            Reader::begin::<CommitHead>(&mut reader).map_err(|why| unread(records, Some(first), why))?;
        let is_new = last.sequence > base;
        let is_done = head.prepared == 0 || done.batches.contains(&head.number);
        if !is_new && is_done {
            return Ok(());
        }
        if is_new {
            // A commit takes all refused rows in; what it says of everything leaves nothing else.
            self.outdated.refused = true;
            if head.all {
                self.outdated.said_anew(&head.as_before);
            }
            self.since.retain(|owner, _| match owner {
                Owner::State(identity) => !head.all || head.as_before.contains(identity),
                Owner::Source(_) | Owner::Aside(_) => !head.all,
                Owner::Rejected(_) => false,
            });
        }
        if head.all {
            // Batches behind it that came before were taken back with the text they were run by.
            self.undelivered.retain(|(_, of)| of.batch.number < head.number);
        }
        let mut prepared = Vec::new();
        while let Some(part) = reader.next().map_err(|why| unread(records, Some(first), why))? {
            match part {
                Part::Owner(owner, word, change) if is_new => {
                    let known = self.since.entry(owner).or_default();
                    if matches!(change, Changes::All(_)) {
                        known.1.clear();
                    }
                    known.0 = word;
                    known.1.push(change);
                }
                Part::Artifact(one) if !is_done && !done.given_up.contains(&(head.number, one.sink.clone())) => {
                    prepared.push(one);
                }
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

    /// What a session goes on from. What operators remember is handed to them, piece by piece; the rest is given back.
    pub(in crate::engine) fn snapshot(&mut self, operators: To<'_>) -> Result<Snapshot, String> {
        let rest = self.but_operators(operators).map_err(|trouble| trouble.to_string())?;
        Snapshot::of(self.head.clone(), rest)
    }

    /// Hands on what operators remember, piece by piece, and gives the rest.
    pub(super) fn but_operators(&mut self, operators: To<'_>) -> Result<Owned, Trouble> {
        let mut rest = Gathered::default();
        let mut is_operators = false;
        self.each(&mut |piece| {
            if let Piece::Owner(owner, _) = &piece {
                is_operators = matches!(owner, Owner::State(_));
            }
            if is_operators {
                return operators(piece);
            }
            rest.take(piece);
            Ok(())
        })?;
        Ok(rest.owned)
    }

    /// What is still to be delivered.
    pub(in crate::engine) fn undelivered(&mut self) -> Vec<Undelivered> {
        std::mem::take(&mut self.undelivered).into_iter().map(|(_, of)| of).collect()
    }

    /// All tables, which are not there a second time.
    pub(in crate::engine) fn owned(&mut self) -> Result<Owned, Trouble> {
        let mut all = Gathered::default();
        self.each(&mut |piece| {
            all.take(piece);
            Ok(())
        })?;
        all.owned.retain(|_, (_, tables)| !tables.is_empty());
        Ok(all.owned)
    }

    /// Tables from elsewhere, in the place of those that it has.
    pub(super) fn put(&mut self, owned: Owned) {
        self.base = None;
        self.since = owned.into_iter().map(|(owner, (word, all))| (owner, (word, vec![Changes::All(all)]))).collect();
    }

    /// Hands on all tables, piece by piece; they are not there a second time.
    pub(super) fn each(&mut self, to: To<'_>) -> Result<(), Trouble> {
        let outdated = std::mem::take(&mut self.outdated);
        let counts = |owner: &Owner| outdated.counts(owner);
        let mut merging = Merging::new(std::mem::take(&mut self.since), &counts, to);
        let Some((files, number)) = self.base.take() else {
            return merging.end().map_err(|failed| ended(failed, (PathBuf::new(), None)));
        };
        let place = || (files.path(number), None);
        let read = Reader::begin::<SnapshotHead>(files.read(number)?).and_then(|(_, mut reader)| {
            reader.text()?;
            Ok(reader)
        });
        let handed = read.map_err(Failed::Unread).and_then(|mut reader| reader.each(|piece| merging.take(piece)));
        handed.and_then(|()| merging.end()).map_err(|failed| ended(failed, place()))
    }

    /// Writes it as a snapshot; it is not there a second time.
    pub(super) fn write(&mut self, to: &mut dyn io::Write) -> io::Result<()> {
        let head = SnapshotHead { sequence: self.sequence, head: self.head.clone() };
        let mut writer = Writer::begin(to, &head)?;
        writer.text(self.text.as_deref().unwrap_or_default())?;
        self.each(&mut |piece| writer.piece(&piece).map_err(Failed::Unwritten))?;
        writer.end().map(drop)
    }
}

/// Pieces, put together again.
#[derive(Default)]
struct Gathered {
    owned: Owned,
    at: Option<Owner>,
}

impl Gathered {
    fn take(&mut self, piece: Piece) {
        let tables = self.at.as_ref().and_then(|owner| self.owned.get_mut(owner)).map(|(_, tables)| tables);
        match (piece, tables) {
            (Piece::Owner(owner, word), _) => {
                self.owned.insert(owner.clone(), (word, Vec::new()));
                self.at = Some(owner);
            }
            (Piece::Table(name, identity), Some(tables)) => {
                tables.push(SavedTable { name, identity, rows: Vec::new() });
            }
            (Piece::Rows(rows), Some(tables)) => {
                if let Some(table) = tables.last_mut() {
                    table.rows.push(rows);
                }
            }
            (_, None) => {}
        }
    }
}

/// Looks at a snapshot: every byte is checked, and only what it begins with decoded.
pub(super) fn snapshot(snapshots: &Snapshots, number: u64) -> Result<Recovered, Trouble> {
    let said = |why: Unread| troubled((snapshots.path(number), None), why);
    let (head, mut reader) = Reader::begin::<SnapshotHead>(snapshots.read(number)?).map_err(said)?;
    let text = reader.text().map_err(said)?;
    io::copy(&mut reader.into_bytes(), &mut io::sink()).map_err(|error| said(Unread::Bytes(error)))?;
    let base = Some((snapshots.clone(), number));
    Ok(Recovered { head: head.head, sequence: head.sequence, text: Some(text), base, ..Recovered::default() })
}

/// The time of the last batch that is in a snapshot.
pub(super) fn made_at(snapshots: &Snapshots, number: u64) -> Result<Option<i64>, Trouble> {
    let said = |why: Unread| troubled((snapshots.path(number), None), why);
    let (head, _) = Reader::begin::<SnapshotHead>(snapshots.read(number)?).map_err(said)?;
    Ok(head.head.last)
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

/// What is said where tables could not be handed on.
fn ended(failed: Failed, place: (PathBuf, Option<u64>)) -> Trouble {
    match failed {
        Failed::Unread(why) => troubled(place, why),
        Failed::Task(error) => Trouble::Damaged { file: place.0, offset: None, why: error.to_string() },
        Failed::Unwritten(error) => as_trouble(&place.0, error),
    }
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
