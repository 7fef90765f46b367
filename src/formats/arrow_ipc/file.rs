//! A file with an index, read batch by batch from any row on.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{FileReader, read_footer_length};
use arrow::ipc::{Block, root_as_footer, root_as_message};

use crate::formats::arrow_ipc::stream::MOST_ROWS;
use crate::formats::conform::{conform, guarded};
use crate::plan::seams::{BadRow, Decoded, Indexed, Limits};

/// An open file.
pub(super) struct ArrowFile {
    reader: FileReader<BufReader<File>>,
    schema: SchemaRef,
    /// The first row of each batch, and the end of the last.
    starts: Vec<u64>,
    /// A batch that did not fit into the last range, by its number.
    left: Option<(usize, RecordBatch)>,
}

impl ArrowFile {
    pub(super) fn open(mut file: File, schema: SchemaRef) -> Result<Self, String> {
        let starts = guarded(|| starts(&mut file))?;
        let reader = guarded(|| FileReader::try_new_buffered(file, None).map_err(|e| e.to_string()))?;
        Ok(ArrowFile { reader, schema, starts, left: None })
    }

    fn batch(&mut self, number: usize) -> Result<RecordBatch, String> {
        if let Some((left, batch)) = self.left.take()
            && left == number
        {
            return Ok(batch);
        }
        let batch = guarded(|| {
            self.reader.set_index(number).map_err(|e| e.to_string())?;
            self.reader.next().transpose().map_err(|e| e.to_string())
        })?;
        let rows = self.starts[number + 1] - self.starts[number];
        batch.filter(|batch| batch.num_rows() as u64 == rows).ok_or_else(|| "it is not as long as it says".into())
    }
}

impl Indexed for ArrowFile {
    fn records(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// A batch that cannot be read is one bad row.
    fn read(&mut self, from: u64, limits: &Limits) -> Result<Decoded, String> {
        let mut decoded = Decoded::default();
        let (mut at, mut bytes) = (from, 0);
        while at < self.records() && (decoded.lines == 0 || decoded.lines < limits.rows as u64 && bytes < limits.bytes)
        {
            let number = self.starts.partition_point(|start| *start <= at) - 1;
            let (start, end) = (self.starts[number], self.starts[number + 1]);
            match self.batch(number) {
                Ok(batch) => {
                    let skipped = usize::try_from(at - start).unwrap_or(usize::MAX);
                    let room = usize::try_from(limits.rows as u64 - decoded.lines).unwrap_or(usize::MAX);
                    let taken = batch.slice(skipped, (batch.num_rows() - skipped).min(room));
                    let (blocks, bad) = conform(&taken, &self.schema)?;
                    let share = batch.get_array_memory_size() * taken.num_rows() / batch.num_rows().max(1);
                    bytes += share as u64;
                    let lines = decoded.lines;
                    decoded.blocks.extend(blocks);
                    decoded.bad.extend(bad.into_iter().map(|row| BadRow { line: lines + row.line, ..row }));
                    decoded.lines += taken.num_rows() as u64;
                    at += taken.num_rows() as u64;
                    if at < end {
                        self.left = Some((number, batch));
                    }
                }
                // What is lost is told of by itself, so that rows behind it keep their numbers.
                Err(_) if decoded.lines > 0 => break,
                Err(reason) => {
                    let reason = format!("{} rows cannot be read: {reason}", end - at);
                    decoded.bad.push(BadRow {
                        text: String::new(),
                        reason,
                        place: String::new(),
                        line: 0,
                        bytes: None,
                    });
                    decoded.lines = end - at;
                    break;
                }
            }
        }
        decoded.used = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(decoded)
    }
}

/// The first row of each batch, as the batches' own descriptions say; none of their values is read.
fn starts(file: &mut File) -> Result<Vec<u64>, String> {
    let mut rows = 0;
    let mut starts = vec![0];
    for block in blocks(file)? {
        let length = usize::try_from(block.metaDataLength()).ok().filter(|n| (8..1 << 28).contains(n));
        let offset = u64::try_from(block.offset()).map_err(|e| e.to_string())?;
        let mut about = vec![0; length.ok_or("the index is damaged")?];
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut about)).map_err(|e| e.to_string())?;
        // The length stands before it, in files of today behind a mark.
        let skipped = if about[..4] == [0xff; 4] { 8 } else { 4 };
        let message = root_as_message(&about[skipped..]).map_err(|e| e.to_string())?;
        let batch = message.header_as_record_batch().ok_or("the index names something that is no batch")?;
        let length = u64::try_from(batch.length()).ok().filter(|length| *length <= MOST_ROWS);
        rows += length.ok_or("the index is damaged")?;
        starts.push(rows);
    }
    Ok(starts)
}

fn blocks(file: &mut File) -> Result<Vec<Block>, String> {
    let mut end = [0; 10];
    let io = |e: std::io::Error| e.to_string();
    file.seek(SeekFrom::End(-10)).map_err(io)?;
    file.read_exact(&mut end).map_err(io)?;
    let length = read_footer_length(end).map_err(|e| e.to_string())?;
    let back = i64::try_from(length).map_err(|e| e.to_string())? + 10;
    file.seek(SeekFrom::End(-back)).map_err(|_| "the index is damaged".to_owned())?;
    let mut footer = vec![0; length];
    file.read_exact(&mut footer).map_err(io)?;
    let footer = root_as_footer(&footer).map_err(|e| e.to_string())?;
    let batches: Vec<Block> = footer.recordBatches().map(|all| all.iter().copied().collect()).unwrap_or_default();
    let dictionaries: Vec<Block> = footer.dictionaries().map(|all| all.iter().copied().collect()).unwrap_or_default();
    // The library takes memory for what the index says.
    let length = file.metadata().map_err(io)?.len();
    let inside = |block: &Block| {
        let parts = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
        let parts = parts.map(|part| u64::try_from(part).unwrap_or(u64::MAX));
        parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part)).is_some_and(|end| end <= length)
    };
    if batches.iter().chain(&dictionaries).all(inside) { Ok(batches) } else { Err("the index is damaged".into()) }
}
