//! Cuts a stream of bytes into records with the help of a format, whatever the pieces it comes in.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece, Read};

/// The format of a source, for rows of that schema.
pub(super) fn codec(endpoint: &Endpoint, schema: &Schema) -> Result<Arc<dyn FormatCodec>, NotRunnable> {
    let format = endpoint.format.as_ref();
    let format = format.ok_or_else(|| NotRunnable(format!("source `{}` has no format", endpoint.name)))?;
    (format.entry.open)(format, schema).map(Arc::from)
}

/// Bytes that are not records yet.
pub(super) struct Cutter {
    codec: Arc<dyn FormatCodec>,
    header: Option<Vec<u8>>,
    pending: Vec<u8>,
    /// Lines (or records) cut so far.
    pub lines: u64,
}

/// What became of the bytes.
pub(super) struct Cut {
    /// Bytes that were a header or records.
    pub used: usize,
    /// The records.
    pub decoded: Decoded,
}

impl Cutter {
    /// For a stream from its very beginning.
    pub(super) fn new(codec: Arc<dyn FormatCodec>) -> Self {
        Cutter { codec, header: None, pending: Vec::new(), lines: 0 }
    }

    /// For a stream that is gone on with behind so many lines; its header has been found before.
    pub(super) fn behind(codec: Arc<dyn FormatCodec>, header: Vec<u8>, lines: u64) -> Self {
        Cutter { codec, header: Some(header), pending: Vec::new(), lines }
    }

    /// Where the next bytes go.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Cuts at most so many records off the front. `last`: nothing follows.
    pub(super) fn cut(&mut self, last: bool, records: usize, threads: usize) -> Result<Cut, TaskError> {
        let mut used = 0;
        if self.header.is_none() {
            let Some(length) = self.codec.header(&self.pending, last) else {
                return Ok(Cut { used: 0, decoded: Decoded::default() });
            };
            used = length;
            self.header = Some(self.pending.drain(..length).collect());
            self.lines += u64::from(length > 0);
        }
        let header = self.header.as_deref().unwrap_or_default();
        let decoded = self.codec.decode(&Piece { header, bytes: &self.pending, last, records, threads })?;
        self.pending.drain(..decoded.used);
        used += decoded.used;
        Ok(Cut { used, decoded })
    }

    /// Adds what was cut to what a read gives, with places that people understand.
    pub(super) fn hand_on(&mut self, decoded: Decoded, place: &str, out: &mut Read) {
        for mut bad in decoded.bad {
            bad.place = place.to_owned();
            bad.line += self.lines + 1;
            out.bad.push(bad);
        }
        self.lines += decoded.lines;
        out.blocks.extend(decoded.blocks.into_iter().filter(|block| block.num_rows() > 0));
    }
}

/// Rows in blocks.
pub(super) fn count(blocks: &[RecordBatch]) -> usize {
    blocks.iter().map(RecordBatch::num_rows).sum()
}
