//! A Parquet file that is read range by range: only the groups, and of them the pages, that a range needs.

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::file::reader::ChunkReader;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::formats::conform::{conform, guarded};
use crate::plan::seams::{BadRow, Decoded, Indexed, Limits};

/// Rows of a block.
const BLOCK_ROWS: usize = 65_536;

/// An open file.
pub(super) struct ParquetFile<F> {
    file: F,
    index: ArrowReaderMetadata,
    mask: ProjectionMask,
    schema: SchemaRef,
    /// The first row of each group, and the end of the last.
    starts: Vec<u64>,
    /// What goes on where the last range ended.
    open: Option<Group>,
}

/// A group that is being read.
struct Group {
    /// The row that comes next.
    next: u64,
    /// The first row of the next group.
    end: u64,
    reader: ParquetRecordBatchReader,
    /// What was decoded and did not fit into the last range.
    left: Option<RecordBatch>,
}

impl<F> ParquetFile<F> {
    pub(super) fn new(file: F, index: ArrowReaderMetadata, mask: ProjectionMask, schema: SchemaRef) -> Self {
        let mut starts = vec![0];
        let mut rows = 0;
        for group in index.metadata().row_groups() {
            rows += u64::try_from(group.num_rows()).unwrap_or(0);
            starts.push(rows);
        }
        ParquetFile { file, index, mask, schema, starts, open: None }
    }
}

impl<F: ChunkReader + AnotherHandle + 'static> ParquetFile<F> {
    /// The group with a row, from that row on.
    fn group(&self, row: u64) -> Result<Group, String> {
        let number = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let file = self.file.again()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.index.clone());
        let skipped = usize::try_from(row - self.starts[number]).unwrap_or(usize::MAX);
        let builder = builder.with_projection(self.mask.clone()).with_row_groups(vec![number]);
        let reader = builder.with_offset(skipped).with_batch_size(BLOCK_ROWS).build().map_err(|e| e.to_string())?;
        Ok(Group { next: row, end: self.starts[number + 1], reader, left: None })
    }

    /// The next rows of a group; none at its end.
    fn batch(group: &mut Group) -> Result<Option<RecordBatch>, String> {
        match group.left.take() {
            Some(batch) => Ok(Some(batch)),
            None => group.reader.next().transpose().map_err(|e| e.to_string()),
        }
    }

    fn end_of(&self, row: u64) -> u64 {
        self.starts.iter().copied().find(|start| *start > row).unwrap_or(row)
    }
}

/// A reader of its own over the same bytes.
pub(super) trait AnotherHandle: Sized {
    fn again(&self) -> Result<Self, String>;
}

impl AnotherHandle for std::fs::File {
    fn again(&self) -> Result<Self, String> {
        self.try_clone().map_err(|e| e.to_string())
    }
}

impl AnotherHandle for bytes::Bytes {
    fn again(&self) -> Result<Self, String> {
        Ok(self.clone())
    }
}

impl<F: ChunkReader + AnotherHandle + 'static> Indexed for ParquetFile<F> {
    fn records(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// A group that cannot be read is one bad row, and the next group is gone on with.
    fn read(&mut self, from: u64, limits: &Limits) -> Result<Decoded, String> {
        let mut decoded = Decoded::default();
        let mut bytes = 0;
        let mut at = from;
        let full = |decoded: &Decoded, bytes: u64| {
            decoded.lines > 0 && (decoded.lines >= limits.rows as u64 || bytes >= limits.bytes)
        };
        while at < self.records() && !full(&decoded, bytes) {
            let open = self.open.take().filter(|group| group.next == at);
            let next = guarded(|| {
                let mut group = open.map_or_else(|| self.group(at), Ok)?;
                Ok((Self::batch(&mut group)?, group))
            });
            match next {
                Ok((Some(batch), mut group)) => {
                    let room = usize::try_from(limits.rows as u64 - decoded.lines).unwrap_or(usize::MAX);
                    let taken = batch.slice(0, batch.num_rows().min(room));
                    group.left = (taken.num_rows() < batch.num_rows())
                        .then(|| batch.slice(taken.num_rows(), batch.num_rows() - taken.num_rows()));
                    let (blocks, bad) = conform(&taken, &self.schema)?;
                    bytes += taken.get_array_memory_size() as u64;
                    decoded.blocks.extend(blocks);
                    let lines = decoded.lines;
                    decoded.bad.extend(bad.into_iter().map(|row| BadRow { line: lines + row.line, ..row }));
                    decoded.lines += taken.num_rows() as u64;
                    at += taken.num_rows() as u64;
                    group.next = at;
                    self.open = Some(group);
                }
                Ok((None, group)) if at >= group.end => {}
                // What is lost is told of by itself, so that rows behind it keep their numbers.
                Ok((None, _)) | Err(_) if decoded.lines > 0 => break,
                Ok((None, _)) => {
                    self.give_up(at, "the group has fewer rows than the index says", &mut decoded);
                    break;
                }
                Err(reason) => {
                    self.give_up(at, &reason, &mut decoded);
                    break;
                }
            }
        }
        decoded.used = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(decoded)
    }
}

impl<F: ChunkReader + AnotherHandle + 'static> ParquetFile<F> {
    /// The rest of a group counts as one bad row.
    fn give_up(&self, row: u64, reason: &str, decoded: &mut Decoded) {
        let lost = self.end_of(row) - row;
        let reason = format!("{lost} rows cannot be read: {reason}");
        decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line: 0, bytes: None });
        decoded.lines = lost;
    }
}
