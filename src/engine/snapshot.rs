//! What a pipeline remembers, as bytes: where its sources were read to, how far its watermarks had come, and the state
//! of every operator as logical Arrow rows under the operator's name. Nothing here depends on how many partitions
//! there were or on how an operator keeps its rows in memory.
//!
//! Layout, version 2: the magic line, the length of a JSON header (8 bytes, little-endian), the header, then each
//! table as an Arrow IPC stream in the order in which the header lists them with their lengths, at last the xxh3 hash
//! of everything before it (8 bytes, little-endian).

use std::collections::BTreeMap;
use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::plan::operator::SavedTable;

/// The first line; the number is the version of the layout.
const MAGIC: &[u8] = b"millstream state 2\n";
/// Bytes of the hash at the end, and of the header's length.
const WORD: usize = 8;

/// Everything a pipeline remembers between two batches.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    /// The number of the next batch.
    pub(super) number: u64,
    /// The time of the last one.
    pub(super) last: Option<i64>,
    /// By source.
    pub(super) sources: BTreeMap<String, SourceState>,
    /// By the operator's identity: how far its watermark had come.
    pub(super) marks: BTreeMap<String, i64>,
    /// By the operator's identity.
    pub(super) states: BTreeMap<String, State>,
    /// Rows that sinks refused and that come in again, by the sink's identity.
    pub(super) rejected: BTreeMap<String, Vec<RecordBatch>>,
}

/// How far a source has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceState {
    /// By split.
    pub(super) positions: BTreeMap<String, Vec<u8>>,
    /// By split: its newest time, and the batch that last had rows of it.
    pub(super) heard: BTreeMap<String, (Option<i64>, i64)>,
    /// The watermark behind everything delivered.
    pub(super) mark: Option<i64>,
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

#[derive(Serialize, Deserialize)]
struct Header {
    number: u64,
    last: Option<i64>,
    sources: BTreeMap<String, SourceState>,
    marks: BTreeMap<String, i64>,
    tables: Vec<TableHeader>,
}

/// One table of the file.
#[derive(Serialize, Deserialize)]
struct TableHeader {
    owner: String,
    /// None for refused rows.
    word: Option<String>,
    name: String,
    /// How many columns identify a row; of refused rows none.
    identity: usize,
    bytes: usize,
}

impl Snapshot {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let mut tables = Vec::new();
        let mut body = Vec::new();
        for (owner, state) in &self.states {
            for table in &state.tables {
                let bytes = write(&table.rows, &mut body)?;
                let (owner, word) = (owner.clone(), Some(state.word.clone()));
                let (name, identity) = (table.name.clone(), table.identity);
                tables.push(TableHeader { owner, word, name, identity, bytes });
            }
        }
        for (owner, rows) in &self.rejected {
            let bytes = write(rows, &mut body)?;
            tables.push(TableHeader { owner: owner.clone(), word: None, name: String::new(), identity: 0, bytes });
        }
        let (sources, marks) = (self.sources.clone(), self.marks.clone());
        let header = Header { number: self.number, last: self.last, sources, marks, tables };
        let header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
        let mut all = MAGIC.to_vec();
        all.extend((header.len() as u64).to_le_bytes());
        all.extend(header);
        all.extend(body);
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
        let (length, rest) = rest.split_first_chunk::<WORD>().ok_or("it is cut off")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|e| e.to_string())?;
        let (header, mut body) = rest.split_at_checked(length).ok_or("it is cut off")?;
        let header: Header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
        let Header { number, last, sources, marks, .. } = header;
        let mut found = Snapshot { number, last, sources, marks, ..Snapshot::default() };
        for table in header.tables {
            let (own, rest) = body.split_at_checked(table.bytes).ok_or("it is cut off")?;
            body = rest;
            let rows = read(own)?;
            match table.word {
                None => {
                    found.rejected.insert(table.owner, rows);
                }
                Some(word) => {
                    let state = found.states.entry(table.owner).or_insert(State { word, tables: Vec::new() });
                    state.tables.push(SavedTable { name: table.name, identity: table.identity, rows });
                }
            }
        }
        Ok(found)
    }
}

/// Appends a table; gives back how many bytes it takes. A table without blocks takes none.
fn write(rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<usize, String> {
    let start = out.len();
    let Some(first) = rows.first() else { return Ok(0) };
    let mut writer = StreamWriter::try_new(&mut *out, &first.schema()).map_err(|e| e.to_string())?;
    for block in rows {
        writer.write(block).map_err(|e| e.to_string())?;
    }
    writer.finish().map_err(|e| e.to_string())?;
    drop(writer);
    Ok(out.len() - start)
}

fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|e| e.to_string())?;
    reader.collect::<Result<_, _>>().map_err(|e| e.to_string())
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
        let source = SourceState {
            positions: [("a.json".into(), vec![1, 2])].into(),
            heard: [(String::new(), (Some(5), 9))].into(),
            mark: Some(-3),
        };
        Snapshot {
            number: 12,
            last: Some(1_000_000),
            sources: [("orders".into(), source)].into(),
            marks: [("totals".into(), 4)].into(),
            states: [("totals".into(), State { word: "aggregate".into(), tables })].into(),
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
