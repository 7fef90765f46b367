//! What a checkpoint holds, in the words of whoever looks at it. Nothing is changed and nothing locked: somebody may be
//! using it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::engine::aside;
use crate::engine::durable::given_up::{GivenUp, given_up};
use crate::engine::durable::image::{Owner, Prepared};
use crate::engine::durable::past::Past;
use crate::engine::durable::recovered::Recovered;
use crate::engine::durable::{Checkpoint, ingest, positions};
use crate::journal::{Disk, Journal, Reader, Trouble, VERSION};
use crate::plan::operator::{BatchTime, SavedTable};

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Contents {
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The version of its format.
    pub version: u32,
    /// Whether the last process that wrote it came to an end of its own.
    pub is_clean: bool,
    /// Segments of the journal, and their bytes.
    pub journal: (usize, u64),
    /// Logs of what is pushed at sources, and their bytes.
    pub logs: (usize, u64),
    /// Snapshots, oldest first: number and bytes.
    pub snapshots: Vec<(u64, u64)>,
    /// Batches that the journal tells of, oldest first; each with the bytes of its commit.
    pub batches: Vec<(BatchTime, u64)>,
    /// The first of them that can be gone back to.
    pub reach: Option<u64>,
    /// It was gone back to the state behind that batch, and no batch followed yet.
    pub rewound: Option<u64>,
    /// The number of the next batch.
    pub next: u64,
    /// The time of the last one.
    pub last: Option<i64>,
    /// How far watermarks had come, by the operator's identity.
    pub marks: BTreeMap<String, i64>,
    /// Sources, in order of their names.
    pub sources: Vec<SourceAt>,
    /// What operators remember, and rows that sinks refused and that come in again.
    pub remembered: Vec<Remembered>,
    /// What was committed and not delivered yet.
    pub undelivered: Vec<Due>,
    /// What sinks never got, because somebody gave it up; as far as the journal reaches back.
    pub given_up: Vec<GivenUp>,
    /// The text that the last batch was run by.
    pub text: Option<Vec<u8>>,
}

/// How far a source was read.
#[derive(Debug)]
pub struct SourceAt {
    /// Its name.
    pub name: String,
    /// By split: bytes that the source alone understands.
    pub positions: Vec<(String, Vec<u8>)>,
    /// The newest time of its rows.
    pub newest: Option<i64>,
    /// The watermark behind all that was delivered.
    pub mark: Option<i64>,
}

/// What an operator remembers, or a sink refused.
#[derive(Debug)]
pub struct Remembered {
    /// Its identity.
    pub name: String,
    /// The operator's word; `refused` for what a sink refused.
    pub word: String,
    /// Its rows.
    pub tables: Vec<SavedTable>,
    /// The last batch that changed something, as far as the journal reaches back.
    pub changed: Option<BatchTime>,
}

/// A batch that was not delivered yet.
#[derive(Debug)]
pub struct Due {
    /// Which.
    pub batch: BatchTime,
    /// By the sink's identity, how many rows.
    pub sinks: Vec<(String, usize)>,
}

/// The word of what a sink refused.
const REFUSED: &str = "refused";

impl Checkpoint {
    /// What a checkpoint holds: as it is, or as it was behind a batch.
    pub fn contents(disk: &Arc<dyn Disk>, folder: &Path, behind: Option<u64>) -> Result<Contents, String> {
        looked(disk, folder, |reader| {
            let past = past(reader)?;
            let until = match behind.map(|batch| past.behind(batch)).transpose() {
                Ok(until) => until,
                Err(why) => return Ok(Err(why)),
            };
            let (records, snapshots) = (reader.records(), reader.snapshots());
            let until = until.map(|(until, _)| until);
            let found = Recovered::of((reader.entries(), reader.first()), &records, &snapshots, until)?;
            let logs = logs(disk, folder);
            contents(reader, &past, found).map(|contents| Ok(Contents { logs, ..contents }))
        })
        .map_err(|trouble| trouble.to_string())?
    }
}

/// Looks at a checkpoint that somebody may be writing: what is trimmed meanwhile is looked for anew.
pub(super) fn looked<T>(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    mut look: impl FnMut(&Reader) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    for _ in 0..4 {
        match look(&Journal::look(disk.clone(), folder)?) {
            Err(Trouble::Damaged { .. } | Trouble::Io { .. }) => {}
            other => return other,
        }
    }
    look(&Journal::look(disk.clone(), folder)?)
}

pub(super) fn past(reader: &Reader) -> Result<Past, Trouble> {
    Past::of((reader.entries(), reader.first()), &reader.records(), reader.snapshots().list()?)
}

/// How many logs there are, and their bytes.
fn logs(disk: &Arc<dyn Disk>, folder: &Path) -> (usize, u64) {
    let folders = ingest::folders(&**disk, folder);
    let bytes = folders.iter().filter_map(|log| Journal::look(disk.clone(), log).ok()).map(|log| log.bytes());
    (folders.len(), bytes.sum())
}

fn contents(reader: &Reader, past: &Past, mut found: Recovered) -> Result<Contents, Trouble> {
    let files = reader.snapshots();
    let snapshots = files.list()?.into_iter().map(|number| Ok((number, files.bytes(number)?)));
    let snapshots = snapshots.collect::<Result<_, Trouble>>()?;
    let changed = past.changed(found.sequence);
    let (mut sources, mut remembered) = (Vec::new(), Vec::new());
    for (owner, (word, tables)) in found.owned()? {
        let changed = changed.get(&owner).copied();
        match owner {
            Owner::Source(name) => {
                let said = |why| Trouble::Damaged { file: reader.records().place(None).0, offset: None, why };
                let at = positions::read(&tables).map_err(said)?;
                let newest = at.heard.values().filter_map(|heard| heard.newest).max();
                let mark = found.head.settled.get(&name).copied();
                let positions = at.positions.into_iter().map(|(split, at)| (split.id, at.0)).collect();
                sources.push(SourceAt { name, positions, newest, mark });
            }
            Owner::Aside(name) => {
                let (tables, _) = aside::parted(tables);
                remembered.push(Remembered { name: format!("{name} (put aside)"), word, tables, changed });
            }
            Owner::State(name) => remembered.push(Remembered { name, word, tables, changed }),
            Owner::Rejected(name) => remembered.push(Remembered { name, word: REFUSED.into(), tables, changed }),
        }
    }
    let due = |Prepared { sink, rows, .. }: &Prepared| (sink.clone(), *rows);
    let undelivered = found.undelivered.iter();
    let undelivered =
        undelivered.map(|(_, of)| Due { batch: of.batch, sinks: of.prepared.iter().map(due).collect() }).collect();
    let batches = past.batches().into_iter();
    let batches =
        batches.map(|told| (BatchTime { number: told.head.number, micros: told.head.micros }, told.bytes)).collect();
    Ok(Contents {
        pipeline: reader.about().pipeline.clone(),
        version: VERSION,
        is_clean: reader.is_clean(),
        journal: (reader.segments(), reader.bytes()),
        logs: (0, 0),
        snapshots,
        batches,
        reach: past.reach(),
        rewound: past.rewound(found.sequence),
        next: found.head.number,
        last: found.head.last,
        marks: found.head.marks,
        sources,
        remembered,
        undelivered,
        given_up: given_up(reader.entries(), &reader.records())?,
        text: found.text,
    })
}
