//! The batches that a journal tells of, and how far back the state behind each of them can be put together.

use std::collections::BTreeMap;

use crate::engine::durable::image::{Owner, Reader, Unread};
use crate::engine::durable::recovered::{Pieces, unread};
use crate::engine::durable::{COMMIT, CommitHead, PART, TEXT};
use crate::journal::{Entry, Records, Trouble};
use crate::plan::operator::BatchTime;

/// A commit, without its rows.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) head: CommitHead,
    /// Its first and its last record.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Bytes in the journal.
    pub(super) bytes: u64,
    /// Whose tables it says something of.
    pub(super) owners: Vec<Owner>,
}

/// All commits of a journal, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) commits: Vec<Told>,
    /// The last record of all.
    end: u64,
    /// Snapshots, and whether the journal has its beginning.
    snapshots: Vec<u64>,
    whole: bool,
}

impl Past {
    pub(super) fn of(
        (entries, first): (&[Entry], u64),
        records: &Records,
        snapshots: Vec<u64>,
    ) -> Result<Self, Trouble> {
        let end = entries.last().map_or(0, |entry| entry.sequence);
        let mut past = Past { commits: Vec::new(), end, snapshots, whole: first == 1 };
        let (mut text, mut start) = (None, 0);
        for (i, entry) in entries.iter().enumerate() {
            match entry.kind {
                PART => continue,
                TEXT => text = Some(entry),
                COMMIT => past.commits.push(told(text.take(), &entries[start..=i], records)?),
                _ => text = None,
            }
            start = i + 1;
        }
        Ok(past)
    }

    /// Those of batches: what says everything anew is none, and what it took back neither.
    pub(super) fn batches(&self) -> Vec<&Told> {
        let mut batches: Vec<&Told> = Vec::new();
        for told in &self.commits {
            if told.head.all {
                batches.retain(|batch| batch.head.number < told.head.number);
            } else {
                batches.push(told);
            }
        }
        batches
    }

    /// The last batch that said something of an owner, up to a record.
    pub(super) fn changed(&self, until: u64) -> BTreeMap<&Owner, BatchTime> {
        let mut changed = BTreeMap::new();
        let (mut left, mut below) = (&self.commits[..], u64::MAX);
        while let Some((told, before)) = left.split_last() {
            left = before;
            let CommitHead { number, micros, all, rewound, .. } = told.head;
            match rewound {
                _ if told.last > until => {}
                // What came in between is no part of it.
                Some(behind) => {
                    let at = left.iter().rposition(|told| !told.head.all && told.head.number == behind);
                    (left, below) = (&left[..at.map_or(0, |at| at + 1)], u64::MAX);
                }
                None if all => below = below.min(number),
                None if number < below => {
                    let batch = BatchTime { number, micros };
                    for owner in &told.owners {
                        changed.entry(owner).or_insert(batch);
                    }
                }
                None => {}
            }
        }
        changed
    }

    /// Behind which batch it was gone back, where no batch followed.
    pub(super) fn rewound(&self, until: u64) -> Option<u64> {
        self.commits.iter().rfind(|told| told.last <= until)?.head.rewound
    }

    /// The last record that belongs to the state behind a batch, and which batch that is: one that changed nothing was not
    /// committed, and the one before it stands for it.
    pub(super) fn behind(&self, batch: u64) -> Result<(u64, u64), String> {
        let batches = self.batches();
        let Some(last) = batches.last().map(|told| told.head.number) else {
            return Err("no batch was committed since the last snapshot, so there is none to go back to".into());
        };
        if batch > last {
            return Err(format!("batch {batch} was not committed: the last one is {last}"));
        }
        let Some(found) = batches.iter().rev().find(|told| told.head.number <= batch) else {
            return Err(self.too_far(batch));
        };
        let until = self.until(found);
        if !self.reaches(until) {
            return Err(self.too_far(batch));
        }
        Ok((until, found.head.number))
    }

    /// The first batch whose state can be put together.
    pub(super) fn reach(&self) -> Option<u64> {
        let batches = self.batches();
        batches.into_iter().find(|told| self.reaches(self.until(told))).map(|told| told.head.number)
    }

    /// What sinks refused of a batch is said behind it, and before the next one.
    fn until(&self, batch: &Told) -> u64 {
        let next = self.commits.iter().find(|told| told.first > batch.last);
        next.map_or(self.end, |next| next.first - 1)
    }

    fn reaches(&self, until: u64) -> bool {
        self.whole || self.snapshots.iter().any(|snapshot| *snapshot <= until)
    }

    fn too_far(&self, batch: u64) -> String {
        let reach = self.reach().map_or("no batch".to_owned(), |first| format!("batch {first}"));
        format!(
            "batch {batch} cannot be gone back to: what is kept reaches back to {reach}; `retention: 7d` in the pipeline \
             statement keeps more from then on"
        )
    }
}

fn told(text: Option<&Entry>, pieces: &[Entry], records: &Records) -> Result<Told, Trouble> {
    let said = |why: Unread| unread(records, pieces.first(), why);
    let (head, reader) = Reader::begin::<CommitHead>(Pieces::of(pieces, records)).map_err(said)?;
    let owners = reader.owners().map_err(said)?;
    let ends = pieces.first().zip(pieces.last()).map(|(first, last)| (first.sequence, last.sequence));
    let (first, last) = ends.unwrap_or_default();
    Ok(Told {
        head,
        first: text.map_or(first, |text| text.sequence),
        last,
        bytes: pieces.iter().chain(text).map(|entry| entry.length).sum(),
        owners,
    })
}
