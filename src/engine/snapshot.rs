//! What a pipeline remembers: where its sources were read to, how far its watermarks had come, and the state of every
//! operator as logical Arrow rows under the operator's name. Nothing here depends on how many partitions there were or
//! on how an operator keeps its rows in memory.
//!
//! As bytes of their own (for tests, and programs that keep them elsewhere) these are the magic line, the frames of
//! [`image`](super::durable::image), and the xxh3 hash of everything before it (8 bytes, little-endian).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::engine::durable::image::{Owned, Owner, Reader, Writer};
use crate::engine::durable::positions;
use crate::engine::marks::Heard;
use crate::plan::operator::SavedTable;
use crate::plan::seams::{Position, Split};

/// The first line; the number is the version of the layout.
const MAGIC: &[u8] = b"millstream state 2\n";
/// Bytes of the hash at the end.
const WORD: usize = 8;
/// The table that refused rows are kept in.
const REFUSED: &str = "rows";

/// Everything a pipeline remembers between two batches.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) head: Head,
    /// By source.
    pub(super) sources: BTreeMap<String, SourceState>,
    /// By the operator's identity.
    pub(super) states: BTreeMap<String, State>,
    /// The same of stages that an edit took away.
    pub(super) aside: BTreeMap<String, State>,
    /// Rows that sinks refused and that come in again, by the sink's identity.
    pub(super) rejected: BTreeMap<String, Vec<RecordBatch>>,
}

/// What is small, and said anew by every batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The number of the next batch.
    pub(super) number: u64,
    /// The time of the last one.
    pub(super) last: Option<i64>,
    /// By the operator's identity: how far its watermark had come.
    pub(super) marks: BTreeMap<String, i64>,
    /// By source: the watermark behind everything delivered.
    pub(super) settled: BTreeMap<String, i64>,
    /// Identities of operators whose state is put aside.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) aside: BTreeSet<String>,
    /// By source: how many rows a second it may give, as far as that was learnt.
    pub(super) rates: BTreeMap<String, f64>,
}

/// How far a source has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SourceState {
    pub(super) positions: BTreeMap<Split, Position>,
    /// Its newest time, and the batch that last had rows of it.
    pub(super) heard: BTreeMap<Split, Heard>,
}

/// What an operator remembers.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The operator's word: another one under the same name is another thing.
    pub(super) word: String,
    pub(super) tables: Vec<SavedTable>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&SavedTable, &SavedTable)| a.name == b.name && a.identity == b.identity && a.rows == b.rows;
        self.word == other.word
            && self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(same)
    }
}

impl Snapshot {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let written = Writer::begin(MAGIC.to_vec(), &self.head).and_then(|mut writer| {
            writer.owners(&self.owned().map_err(io::Error::other)?)?;
            writer.end()
        });
        let mut all = written.map_err(|e| e.to_string())?;
        all.extend(XxHash3_64::oneshot(&all).to_le_bytes());
        Ok(all)
    }

    /// From bytes; `Err` says what is wrong with them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (all, hash) = bytes.split_last_chunk::<WORD>().ok_or("it is cut off")?;
        let rest = all.strip_prefix(MAGIC).ok_or("it is no saved state of this version")?;
        if XxHash3_64::oneshot(all) != u64::from_le_bytes(*hash) {
            return Err("its hash does not fit its bytes".into());
        }
        let (head, mut reader) = Reader::begin(rest).map_err(|e| e.to_string())?;
        let owned = reader.whole(|_| false).map_err(|e| e.to_string())?;
        Snapshot::of(head, owned)
    }

    /// All tables, whoever they belong to.
    pub(super) fn owned(&self) -> Result<Owned, ArrowError> {
        let mut owned = Owned::new();
        for (name, source) in &self.sources {
            let tables = vec![positions::all(source.positions.iter())?, positions::all_heard(&source.heard)?];
            owned.insert(Owner::Source(name.clone()), (String::new(), tables));
        }
        for (identity, state) in &self.states {
            owned.insert(Owner::State(identity.clone()), (state.word.clone(), state.tables.clone()));
        }
        for (identity, state) in &self.aside {
            owned.insert(Owner::Aside(identity.clone()), (state.word.clone(), state.tables.clone()));
        }
        for (identity, rows) in &self.rejected {
            owned.insert(Owner::Rejected(identity.clone()), (String::new(), vec![refused(rows.clone())]));
        }
        Ok(owned)
    }

    /// From tables.
    pub(super) fn of(head: Head, owned: Owned) -> Result<Self, String> {
        let mut found = Snapshot { head, ..Snapshot::default() };
        for (owner, (word, tables)) in owned {
            match owner {
                Owner::Source(name) => {
                    found.sources.insert(name, positions::read(&tables)?);
                }
                Owner::State(identity) => {
                    found.states.insert(identity, State { word, tables });
                }
                Owner::Aside(identity) => {
                    found.aside.insert(identity, State { word, tables });
                }
                Owner::Rejected(identity) => {
                    found.rejected.insert(identity, tables.into_iter().flat_map(|table| table.rows).collect());
                }
            }
        }
        Ok(found)
    }
}

/// Refused rows as a table. They have nothing that tells them apart: it is always all of them.
pub(super) fn refused(rows: Vec<RecordBatch>) -> SavedTable {
    SavedTable { name: REFUSED.into(), identity: 0, rows }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, UInt8Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn snapshot() -> Snapshot {
        let schema =
            Schema::new(vec![Field::new("_group", DataType::UInt8, true), Field::new("n", DataType::Int64, false)]);
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(UInt8Array::from(vec![Some(7), None])), Arc::new(Int64Array::from(vec![1, 2]))];
        let rows = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let table = |name: &str, rows| SavedTable { name: name.into(), identity: 2, rows };
        let tables = vec![table("keys", vec![rows.clone(), rows.slice(0, 0)]), table("panes", vec![])];
        let split = |id: &str| Split { id: id.into() };
        let source = SourceState {
            positions: [(split("a.json"), Position(vec![1, 2]))].into(),
            heard: [(split(""), Heard { newest: Some(5), last: 9 })].into(),
        };
        let head = Head {
            number: 12,
            last: Some(1_000_000),
            marks: [("totals".into(), 4)].into(),
            settled: [("orders".into(), -3)].into(),
            rates: [("orders".into(), 12.5)].into(),
            aside: ["older".into()].into(),
        };
        Snapshot {
            head,
            sources: [("orders".into(), source)].into(),
            states: [("totals".into(), State { word: "aggregate".into(), tables: tables.clone() })].into(),
            aside: [("older".into(), State { word: "fold".into(), tables })].into(),
            rejected: [("sink".into(), vec![rows])].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = snapshot().encode().unwrap();
        assert_eq!(Snapshot::decode(&bytes).unwrap(), snapshot());
        assert_eq!(Snapshot::decode(&bytes).unwrap().encode().unwrap(), bytes);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused() {
        let bytes = snapshot().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Snapshot::decode(&changed).is_err(), "changed at {at}");
        }
    }
}
