//! Rows as bytes that can wait in a journal: for sinks that need them as they were when the batch is delivered.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

/// Rows as bytes; none for no rows.
pub(crate) fn packed(rows: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let mut writer = StreamWriter::try_new(Vec::new(), &first.schema())?;
    rows.iter().try_for_each(|rows| writer.write(rows))?;
    writer.into_inner()
}

/// The rows they were.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    StreamReader::try_new(bytes, None)?.collect()
}
