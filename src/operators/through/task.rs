//! `through` at work: rows are written as lines, and lines read as rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::operators::through::Through;
use crate::operators::through::program::{Call, Program};
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Changes, Evaluated, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError};
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
        let place = &self.call.words[0];
        let placed = |row: &BadRow| BadRow { place: place.clone(), line: row.line + 1, bytes: None, ..row.clone() };
        let rows = BadRow::batch(&rows.iter().map(placed).collect::<Vec<_>>()).map_err(bug)?;
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

    fn changes(&mut self) -> Result<Changes, TaskError> {
        Ok(Changes::Some(Vec::new()))
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}
