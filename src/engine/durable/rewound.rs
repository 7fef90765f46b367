//! What can be done to a checkpoint that no process uses: a snapshot is made and what it makes needless let go of; an
//! earlier state is put in the place of the last one. And what differs between two states.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::engine::durable::changed::Changed;
use crate::engine::durable::contents::{looked, past};
use crate::engine::durable::image::{Owned, Owner};
use crate::engine::durable::past::Past;
use crate::engine::durable::positions;
use crate::engine::durable::recovered::Recovered;
use crate::engine::durable::snapshots::Retention;
use crate::engine::durable::{Checkpoint, CommitHead, Durable, Pace, START};
use crate::engine::snapshot::Head;
use crate::journal::{Disk, Journal, Trouble, Tuning};
use crate::plan::operator::{BatchTime, Changes, SavedTable};

/// What compacting came to.
#[derive(Debug)]
pub struct Compacted {
    /// Bytes of journal and snapshots before and after.
    pub bytes: (u64, u64),
    /// What is kept begins behind that batch.
    pub behind: Option<u64>,
}

/// What going back came to.
#[derive(Debug)]
pub struct Rewound {
    /// The batch whose state it is now.
    pub behind: u64,
    /// The number of the next batch: numbers are never given twice.
    pub next: u64,
    /// Batches that had not been delivered and will not be.
    pub given_up: Vec<u64>,
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// It came.
    Came(Vec<String>),
    /// It was the first and is the second.
    Changed(Vec<String>, Vec<String>),
    /// It went.
    Went(Vec<String>),
}

/// What differs in a table.
#[derive(Debug)]
pub struct Differs {
    /// The operator's identity.
    pub operator: String,
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Rows, in the order of what identifies them.
    pub rows: Vec<Versions>,
}

impl Checkpoint {
    /// Makes a snapshot of the last state, and lets go of everything before it.
    pub fn compact(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Compacted, String> {
        let compacted = pipeline(disk, folder).and_then(|pipeline| compact(disk, folder, &pipeline));
        compacted.map_err(|trouble| trouble.to_string())
    }

    /// Puts the state behind a batch in the place of the last one. The batches in between stay in the journal, so that it
    /// can be undone.
    pub fn rewind(disk: &Arc<dyn Disk>, folder: &Path, to: u64) -> Result<Rewound, String> {
        let said = |trouble: Trouble| trouble.to_string();
        let name = pipeline(disk, folder).map_err(said)?;
        let checkpoint = Checkpoint::open(disk.clone(), folder, &name).map_err(said)?;
        let Some(journal) = &checkpoint.journal else { return Err("there is no journal".into()) };
        let (all, records, files) = ((journal.entries(), journal.first()), journal.records(), journal.snapshots());
        let past = files.list().and_then(|snapshots| Past::of(all, &records, snapshots)).map_err(said)?;
        let (until, behind) = past.behind(to)?;
        let mut then = Recovered::of(all, &records, &files, Some(until)).map_err(said)?;
        let (durable, mut now) = checkpoint.begin(Retention::Least).map_err(said)?;
        let Some(durable) = durable else { return Err("there is no journal".into()) };
        let mut owned = then.owned().map_err(said)?;
        for (owner, (_, tables)) in
            now.owned().map_err(said)?.iter().filter(|(owner, _)| matches!(owner, Owner::Source(_)))
        {
            if let Some((_, were)) = owned.get_mut(owner) {
                *were = positions::logs_as_now(were, tables)?;
            }
        }
        let next = now.head.number;
        let undelivered = now.undelivered.iter().map(|(_, of)| of.batch);
        let given_up: Vec<BatchTime> = undelivered.filter(|batch| batch.number > behind).collect();
        durable.put_back((then, owned), (behind, next, now.head.last), &given_up).map_err(said)?;
        Ok(Rewound { behind, next, given_up: given_up.iter().map(|batch| batch.number).collect() })
    }

    /// Which batches a journal's state can be gone back to: the batch that stands for the one that was named, and the last.
    pub fn behind(disk: &Arc<dyn Disk>, folder: &Path, batch: u64) -> Result<(u64, u64), String> {
        let past = looked(disk, folder, past).map_err(|trouble| trouble.to_string())?;
        let (_, found) = past.behind(batch)?;
        Ok((found, past.batches().last().map_or(found, |told| told.head.number)))
    }

    /// What differs between the states behind two batches.
    pub fn differs(disk: &Arc<dyn Disk>, folder: &Path, batches: (u64, u64)) -> Result<Vec<Differs>, String> {
        let states = looked(disk, folder, |reader| {
            let past = past(reader)?;
            let (one, other) = match (past.behind(batches.0), past.behind(batches.1)) {
                (Ok((one, _)), Ok((other, _))) => (one, other),
                (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
            };
            let of = |until| {
                let all = (reader.entries(), reader.first());
                Recovered::of(all, &reader.records(), &reader.snapshots(), Some(until))?.owned()
            };
            Ok(Ok((of(one)?, of(other)?)))
        });
        let (one, other) = states.map_err(|trouble| trouble.to_string())??;
        differences(&one, &other).map_err(|e| e.to_string())
    }
}

/// Whose checkpoint it is.
pub(super) fn pipeline(disk: &Arc<dyn Disk>, folder: &Path) -> Result<String, Trouble> {
    Ok(Journal::look(disk.clone(), folder)?.about().pipeline.clone())
}

fn compact(disk: &Arc<dyn Disk>, folder: &Path, pipeline: &str) -> Result<Compacted, Trouble> {
    // The next record begins a segment of its own, so that those before it can go.
    let checkpoint = Checkpoint::tuned(disk.clone(), folder, pipeline, Tuning { segment_bytes: 1 }, Pace::default())?;
    let Checkpoint { journal: Some(mut journal), mut recovered, .. } = checkpoint else {
        return Ok(Compacted { bytes: (0, 0), behind: None });
    };
    let files = journal.snapshots();
    let bytes = |journal: &Journal| {
        let snapshots = files.list()?.into_iter().map(|number| files.bytes(number)).sum::<Result<u64, _>>()?;
        Ok(snapshots + journal.bytes())
    };
    let before = bytes(&journal)?;
    if recovered.sequence == 0 {
        journal.close()?;
        return Ok(Compacted { bytes: (before, before), behind: None });
    }
    let begun = journal.append(START, &[])?;
    journal.sync()?;
    // No record is between the snapshot and what is left of the journal.
    recovered.sequence = begun;
    files.write(begun, &mut |to| recovered.write(to))?;
    for older in files.list()?.into_iter().filter(|other| *other != begun) {
        files.forget(older)?;
    }
    let needed = recovered.undelivered.first().map(|(first, _)| *first);
    journal.trim(needed.unwrap_or(begun))?;
    journal.sync()?;
    // A few segments are removed with each sync.
    while journal.removes() {
        journal.sync()?;
    }
    let after = bytes(&journal)?;
    journal.close()?;
    Ok(Compacted { bytes: (before, after), behind: recovered.head.number.checked_sub(1) })
}

impl Durable {
    /// Says everything as it was, under number and time of now: what sinks have of the batches since stays theirs.
    fn put_back(
        mut self,
        (then, owned): (Recovered, Owned),
        (behind, next, last): (u64, u64, Option<i64>),
        given_up: &[BatchTime],
    ) -> Result<(), Trouble> {
        // Neither numbers nor times are given twice: sinks may name things after either.
        let last = then.head.last.max(last);
        let micros = last.unwrap_or_default();
        let changed = Changed {
            head: Head { number: next, last, ..then.head },
            batch: BatchTime { number: next, micros },
            tables: owned.into_iter().map(|(owner, (word, all))| (owner, word, Changes::All(all))).collect(),
            ..Changed::default()
        };
        let head = CommitHead { rewound: Some(behind), ..CommitHead::of(&changed, true) };
        self.add(&head, &changed, then.text.as_deref())?;
        for batch in given_up {
            self.done(*batch, Vec::new(), &[]).map_err(|error| Trouble::Broken {
                file: self.journal.records().place(None).0,
                why: error.to_string(),
            })?;
        }
        self.journal.sync()?;
        self.journal.close()
    }
}

/// The rows of a table as text, by what identifies them.
type Shown = BTreeMap<Vec<String>, Vec<String>>;

fn differences(one: &Owned, other: &Owned) -> Result<Vec<Differs>, ArrowError> {
    let owners: BTreeSet<&Owner> = one.keys().chain(other.keys()).collect();
    let mut all = Vec::new();
    for owner in owners {
        let Owner::State(operator) = owner else { continue };
        let of = |state: &Owned| state.get(owner).map(|(_, tables)| tables.clone()).unwrap_or_default();
        let (before, after) = (of(one), of(other));
        let names: BTreeSet<&str> = before.iter().chain(&after).map(|table| table.name.as_str()).collect();
        for name in names {
            let table = |tables: &'_ [SavedTable]| tables.iter().find(|table| table.name == name).cloned();
            let (before, after) = (table(&before), table(&after));
            let columns = after.as_ref().or(before.as_ref()).map(columns).unwrap_or_default();
            let shown = |table: Option<SavedTable>| table.map_or(Ok(Shown::new()), |table| shown(&table));
            let rows = versions(shown(before)?, shown(after)?);
            if !rows.is_empty() {
                all.push(Differs { operator: operator.clone(), table: name.to_owned(), columns, rows });
            }
        }
    }
    Ok(all)
}

fn versions(mut before: Shown, after: Shown) -> Vec<Versions> {
    let mut rows: Vec<(Vec<String>, Versions)> = Vec::new();
    for (key, now) in after {
        match before.remove(&key) {
            Some(was) if was == now => {}
            Some(was) => rows.push((key, Versions::Changed(was, now))),
            None => rows.push((key, Versions::Came(now))),
        }
    }
    rows.extend(before.into_iter().map(|(key, was)| (key, Versions::Went(was))));
    // By their identities, but for the group.
    rows.sort_by(|(a, _), (b, _)| a[1..].cmp(&b[1..]));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// The group of a row says nothing to people.
fn columns(table: &SavedTable) -> Vec<String> {
    let schema = table.rows.first().map(RecordBatch::schema);
    schema.map(|schema| schema.fields().iter().skip(1).map(|field| field.name().clone()).collect()).unwrap_or_default()
}

fn shown(table: &SavedTable) -> Result<Shown, ArrowError> {
    let options = FormatOptions::default().with_null("null");
    let mut shown = Shown::new();
    for rows in &table.rows {
        let cells = rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        for row in 0..rows.num_rows() {
            let mut texts = cells.iter().map(|cell| cell.value(row).try_to_string());
            let all = texts.by_ref().collect::<Result<Vec<_>, _>>()?;
            let key = all.iter().take(table.identity).cloned().collect();
            shown.insert(key, all.into_iter().skip(1).collect());
        }
    }
    Ok(shown)
}
