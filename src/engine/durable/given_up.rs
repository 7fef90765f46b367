//! Batches that were committed for a sink which will never get them: somebody who was told what is lost gave them up. That
//! stays in the journal, and what other sinks are to get of the same batches is still delivered.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::durable::image::Writer;
use crate::engine::durable::recovered::{Recovered, parts};
use crate::engine::durable::rewound::pipeline;
use crate::engine::durable::{Checkpoint, GIVEN_UP};
use crate::journal::{Disk, Entry, Journal, Records, Trouble};
use crate::plan::operator::BatchTime;

/// What was staged for a sink, and not delivered.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The batch.
    pub batch: BatchTime,
    /// The sink's identity.
    pub sink: String,
    /// How many rows are in it.
    pub rows: usize,
    /// As the sink staged it.
    pub bytes: Vec<u8>,
}

/// A batch that a sink will not get.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GivenUp {
    /// The number of the batch.
    pub number: u64,
    /// The sink's identity.
    pub sink: String,
    /// How many rows it had for it.
    pub rows: usize,
    /// When it was given up, in microseconds since 1970 UTC.
    pub micros: i64,
}

impl Checkpoint {
    /// What was committed and not delivered, the oldest first; somebody may be using the checkpoint.
    pub fn due(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Vec<Staged>, Trouble> {
        let reader = Journal::look(disk.clone(), folder)?;
        let all = (reader.entries(), reader.first());
        let found = Recovered::of(all, &reader.records(), &reader.snapshots(), None)?;
        let staged = found.undelivered.into_iter().flat_map(|(_, of)| {
            let batch = of.batch;
            of.prepared.into_iter().map(move |one| Staged { batch, sink: one.sink, rows: one.rows, bytes: one.bytes })
        });
        Ok(staged.collect())
    }

    /// Gives up what was staged for sinks; nobody may be using the checkpoint. `now` is noted beside it.
    pub fn give_up(disk: &Arc<dyn Disk>, folder: &Path, what: &[Staged], now: i64) -> Result<(), Trouble> {
        let name = pipeline(disk, folder)?;
        let checkpoint = Checkpoint::open(disk.clone(), folder, &name)?;
        let Some(mut journal) = checkpoint.journal else { return Ok(()) };
        for Staged { batch, sink, rows, .. } in what {
            let given_up = GivenUp { number: batch.number, sink: sink.clone(), rows: *rows, micros: now };
            let written = Writer::begin(Vec::new(), &given_up).and_then(Writer::end);
            let said = |error| Trouble::Io { file: folder.join("journal"), doing: "write", error };
            journal.append(GIVEN_UP, &[&written.map_err(said)?])?;
        }
        journal.sync()?;
        journal.close()
    }
}

/// What was given up.
pub(super) fn given_up(entries: &[Entry], records: &Records) -> Result<Vec<GivenUp>, Trouble> {
    let entries = entries.iter().filter(|entry| entry.kind == GIVEN_UP);
    entries.map(|entry| parts(std::slice::from_ref(entry), records).map(|(head, _)| head)).collect()
}

/// The same, to be looked up by batch and sink.
pub(super) fn by_batch(entries: &[Entry], records: &Records) -> Result<BTreeSet<(u64, String)>, Trouble> {
    Ok(given_up(entries, records)?.into_iter().map(|one| (one.number, one.sink)).collect())
}
