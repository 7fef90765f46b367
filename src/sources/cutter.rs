//! Cuts a stream of bytes into records with the help of a format, whatever the pieces it comes in. What is too long for
//! a record is given up piece by piece, so that it never fills memory.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::model::Schema;
use crate::plan::catalog::{Endpoint, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece, Read};
use crate::plan::{OptionKind, OptionValue};

/// A longer record is a bad row, where the source does not say otherwise.
const LONGEST: usize = 16_000_000;

/// What a format that is no lines may need at a time: a file whose index stands at its end, a block.
const LARGEST_UNIT: usize = 1 << 30;

/// The format of a source, for rows of that schema.
pub(super) fn codec(endpoint: &Endpoint, schema: &Schema) -> Result<Arc<dyn FormatCodec>, NotRunnable> {
    let format = endpoint.format.as_ref();
    let format = format.ok_or_else(|| NotRunnable(format!("source `{}` has no format", endpoint.name)))?;
    let mut codec = (format.entry.open)(&placed(format, &endpoint.base), schema)?;
    codec.limit(longest(endpoint));
    if endpoint.settings.text("bad") == Some("null") {
        codec.forgive();
    }
    Ok(Arc::from(codec))
}

/// How long a record may be.
pub(super) fn longest(endpoint: &Endpoint) -> usize {
    let settings = &endpoint.settings;
    settings.size("max_line").or(settings.size("max_record")).and_then(|n| usize::try_from(n).ok()).unwrap_or(LONGEST)
}

/// Paths that a format is given start where those of its source do.
fn placed(format: &FormatCall, base: &std::path::Path) -> FormatCall {
    let mut placed = format.clone();
    for option in format.entry.options.iter().filter(|option| option.kind == OptionKind::Path) {
        if let Some(OptionValue::Text(path)) = format.settings.get(option.name) {
            let path = base.join(path).to_string_lossy().into_owned();
            let span = format.settings.span(option.name).unwrap_or_default();
            placed.settings.set(option.name, OptionValue::Text(path), span);
        }
    }
    placed
}

/// Bytes that are not records yet.
pub(super) struct Cutter {
    codec: Arc<dyn FormatCodec>,
    header: Option<Vec<u8>>,
    pending: Vec<u8>,
    /// Lines (or records) cut so far.
    pub lines: u64,
    longest: usize,
    skips: Skips,
    /// Bytes cut so far, or from where it is gone on with.
    at: u64,
}

/// What is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Skips {
    /// Nothing.
    #[default]
    Nothing,
    /// The rest of a line that is too long.
    Line,
    /// All that follows: nothing in it can be told apart.
    Rest,
}

/// What became of the bytes.
pub(super) struct Cut {
    /// Bytes that were a header or records, or were passed over.
    pub used: usize,
    /// The records.
    pub decoded: Decoded,
}

impl Cutter {
    /// For a stream from its very beginning.
    pub(super) fn new(codec: Arc<dyn FormatCodec>) -> Self {
        Cutter { codec, header: None, pending: Vec::new(), lines: 0, longest: LONGEST, skips: Skips::Nothing, at: 0 }
    }

    /// For a stream that is gone on with behind so many lines; its header has been found before.
    pub(super) fn behind(codec: Arc<dyn FormatCodec>, header: Vec<u8>, lines: u64, skips: Skips) -> Self {
        Cutter { header: Some(header), lines, skips, ..Cutter::new(codec) }
    }

    /// A record of more bytes is too long.
    #[must_use]
    pub(super) fn limited(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }

    /// Goes on as it was, but for what was pending.
    #[must_use]
    pub(super) fn left_so(self, header: Option<Vec<u8>>, lines: u64, skips: Skips, at: u64) -> Self {
        Cutter { header, lines, skips, at, ..self }
    }

    /// The stream is gone on with at this byte.
    #[must_use]
    pub(super) fn begins_at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    /// The header, once it has been found.
    pub(super) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    /// Bytes cut so far, or from where it is gone on with.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Where the next bytes go.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// What it passes over at the moment.
    pub(super) fn skips(&self) -> Skips {
        self.skips
    }

    /// Cuts at most so many records off the front. `last`: nothing follows.
    pub(super) fn cut(&mut self, last: bool, records: usize, threads: usize) -> Result<Cut, TaskError> {
        let cut = self.cut_off(last, records, threads)?;
        self.at += cut.used as u64;
        Ok(cut)
    }

    fn cut_off(&mut self, last: bool, records: usize, threads: usize) -> Result<Cut, TaskError> {
        let mut used = self.pass_over();
        if self.skips != Skips::Nothing {
            return Ok(Cut { used, decoded: Decoded::default() });
        }
        if self.header.is_none() {
            let Some(length) = self.codec.header(&self.pending, last) else {
                return Ok(self.give_up_on_header(used));
            };
            used += length;
            let header: Vec<u8> = self.pending.drain(..length).collect();
            if self.codec.is_lines() {
                let ended = header.last().is_none_or(|b| *b == b'\n');
                self.lines += memchr::memchr_iter(b'\n', &header).count() as u64 + u64::from(!ended);
            }
            self.header = Some(header);
        }
        let header = self.header.as_deref().unwrap_or_default();
        let mut decoded = self.codec.decode(&Piece { header, bytes: &self.pending, last, records, threads })?;
        let start = self.at + used as u64;
        for bytes in decoded.bad.iter_mut().filter_map(|bad| bad.bytes.as_mut()) {
            *bytes = start + bytes.start..start + bytes.end;
        }
        self.pending.drain(..decoded.used);
        used += decoded.used;
        if decoded.over {
            used += self.pending.len();
            self.pending.clear();
            self.skips = Skips::Rest;
        } else if decoded.used == 0 && !last {
            used += self.give_up(&mut decoded);
        }
        Ok(Cut { used, decoded })
    }

    /// A record is too long and its end is not there: what is there of it goes.
    fn give_up(&mut self, decoded: &mut Decoded) -> usize {
        let lines = self.codec.is_lines();
        let most = if lines { self.longest } else { self.longest.max(LARGEST_UNIT) };
        if self.pending.len() <= most {
            return 0;
        }
        let reason = match lines {
            true => format!("longer than {most} bytes, which is what `max_line` allows"),
            false => format!("more than {most} bytes without a whole record; the rest is given up"),
        };
        let mut text = String::from_utf8_lossy(&self.pending[..self.pending.len().min(BadRow::SHOWN)]).into_owned();
        text.push_str("...");
        decoded.bad.push(BadRow { text, reason, place: String::new(), line: decoded.lines, bytes: None });
        decoded.lines += 1;
        self.skips = if lines { Skips::Line } else { Skips::Rest };
        let used = self.pending.len();
        // What it took goes too.
        self.pending = Vec::new();
        used
    }

    fn give_up_on_header(&mut self, used: usize) -> Cut {
        let mut decoded = Decoded::default();
        let given_up = self.give_up(&mut decoded);
        if given_up > 0 {
            // Without its front, nothing can be made of what follows.
            self.skips = Skips::Rest;
        }
        Cut { used: used + given_up, decoded }
    }

    /// How many of the bytes are passed over.
    fn pass_over(&mut self) -> usize {
        let passed = match self.skips {
            Skips::Nothing => return 0,
            Skips::Rest => self.pending.len(),
            Skips::Line => match memchr::memchr(b'\n', &self.pending) {
                Some(end) => {
                    self.skips = Skips::Nothing;
                    end + 1
                }
                None => self.pending.len(),
            },
        };
        self.pending.drain(..passed);
        passed
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
