//! `through` at work: rows are written as lines, and lines read as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;

use crate::operators::through::Through;
use crate::operators::through::program::{Call, Program};
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Evaluated, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece};

/// Gives every batch to a program.
pub(super) struct ThroughTask {
    call: Call,
    /// Kept from batch to batch, where one program runs as long as the pipeline.
    kept: Option<Option<Program>>,
    writer: Box<dyn FormatCodec>,
    reader: Box<dyn FormatCodec>,
    schema: SchemaRef,
}

impl ThroughTask {
    pub(super) fn new(of: &Through) -> Result<Self, NotRunnable> {
        let open = |schema| (of.format.entry.open)(&of.format, schema);
        Ok(ThroughTask {
            call: of.call.clone(),
            kept: of.once.then_some(None),
            writer: open(&of.input)?,
            reader: open(&of.output)?,
            schema: of.output.to_arrow(),
        })
    }

    fn answer(&mut self, rows: Vec<u8>, batch: &BatchTime) -> Result<Vec<u8>, TaskError> {
        let Some(kept) = &mut self.kept else { return self.call.start(batch)?.whole(rows) };
        let over = kept.as_mut().map(Program::is_over).transpose()?.unwrap_or(true);
        if over {
            *kept = Some(self.call.start(batch)?);
        }
        let answer = kept.as_mut().map(|program| program.answer(rows)).ok_or_else(|| bug("no program was started"))?;
        if answer.is_err() {
            *kept = None;
        }
        answer
    }

    fn decode(&self, bytes: &[u8]) -> Result<Decoded, TaskError> {
        let header = self.reader.header(bytes, true).unwrap_or(0).min(bytes.len());
        let piece =
            Piece { header: &bytes[..header], bytes: &bytes[header..], last: true, records: usize::MAX, threads: 1 };
        self.reader.decode(&piece)
    }

    /// Lines that are no rows.
    fn bad(&self, rows: &[BadRow]) -> Result<Option<(Port, RecordBatch)>, TaskError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let lines = rows.iter().map(|row| i64::try_from(row.line).unwrap_or(i64::MAX).saturating_add(1));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.text))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|_| &self.call.words[0]))),
            Arc::new(Int64Array::from_iter_values(lines)),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.reason))),
        ];
        let rows = RecordBatch::try_new(BadRow::schema().to_arrow(), columns).map_err(bug)?;
        Ok(Some((Port::Bad, rows)))
    }
}

impl KeyedTask for ThroughTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let blocks: Vec<_> = inputs.into_iter().flatten().filter(|block| block.num_rows() > 0).collect();
        if blocks.is_empty() {
            return Ok(Evaluated::default());
        }
        let mut lines = Vec::new();
        self.writer.encode(&blocks, &mut lines)?;
        let answer = self.answer(lines, &time.batch)?;
        let Decoded { blocks: rows, bad, .. } = self.decode(&answer)?;
        let mut out = Evaluated {
            rows: rows.into_iter().map(|rows| (Port::Out, rows)).collect(),
            taken: blocks.iter().map(RecordBatch::num_rows).sum(),
            handed: Some(0),
            made_bad: bad.len(),
            ..Evaluated::default()
        };
        out.rows.extend(self.bad(&bad)?);
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}
