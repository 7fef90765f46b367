//! A batch as the bodies of requests, and the rows beside them for those that are refused.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use crate::plan::Conflict;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::FormatCodec;
use crate::sinks::codec;
use crate::sinks::packed::{packed, unpacked};

/// How rows become bodies.
pub(super) struct Writing {
    codec: Box<dyn FormatCodec>,
    shape: Shape,
    content_type: &'static str,
    most_rows: usize,
    most_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As the format writes them.
    Plain,
    /// Objects, a line each, as one array.
    Array,
    /// One row a request.
    Single,
}

/// The body of a request.
pub(super) struct Part<'a> {
    pub(super) body: &'a [u8],
    pub(super) rows: usize,
}

/// A batch that was prepared.
pub(super) struct Staged<'a> {
    pub(super) parts: Vec<Part<'a>>,
    packed: &'a [u8],
}

/// What of its options does not go together.
pub(super) fn conflict(endpoint: &Endpoint) -> Option<Conflict> {
    let name = &endpoint.format.as_ref().filter(|format| format.entry.doc.name != "json")?.entry.doc.name;
    let is_array = endpoint.settings.text("body") == Some("array");
    is_array.then(|| {
        let message = format!("`body: array` wants `format: json`, not `{name}`");
        Conflict::between("body", message, "write `format: json`, or leave `body` out")
    })
}

impl Writing {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let settings = &endpoint.settings;
        let format = endpoint.format.as_ref();
        let name = format.map_or("json", |format| format.entry.doc.name.as_str());
        let is_array = format.is_some_and(|format| format.settings.text("layout") == Some("array"));
        let shape = match settings.text("body") {
            Some("array") if !is_array => Shape::Array,
            Some("single") => Shape::Single,
            _ => Shape::Plain,
        };
        let content_type = match name {
            "json" if shape == Shape::Plain && !is_array => "application/x-ndjson",
            "json" => "application/json",
            "csv" => "text/csv; charset=utf-8",
            "tsv" => "text/tab-separated-values; charset=utf-8",
            "text" | "logfmt" => "text/plain; charset=utf-8",
            "parquet" => "application/vnd.apache.parquet",
            "arrow" => "application/vnd.apache.arrow.stream",
            "avro" => "avro/binary",
            _ => "application/octet-stream",
        };
        let most_rows = settings.integer("batch_rows").and_then(|n| usize::try_from(n).ok()).unwrap_or(1000);
        let most_bytes = settings.size("batch_bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(1_000_000);
        let most_rows = if shape == Shape::Single { 1 } else { most_rows };
        Ok(Writing { codec: codec(endpoint)?, shape, content_type, most_rows, most_bytes })
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Bodies and rows as bytes that can wait in a journal: how many parts, of each its rows, its length and its body,
    /// then the rows.
    pub(super) fn stage(&self, rows: &[RecordBatch]) -> Result<Vec<u8>, TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
        let Some(first) = rows.first() else { return Ok(vec![0; 8]) };
        let all = concat_batches(&first.schema(), rows).map_err(bug)?;
        for start in (0..all.num_rows()).step_by(self.most_rows) {
            let count = self.most_rows.min(all.num_rows() - start);
            self.split(&all.slice(start, count), &mut parts)?;
        }
        let mut out = (parts.len() as u64).to_le_bytes().to_vec();
        for (rows, body) in parts {
            out.extend((rows as u64).to_le_bytes());
            out.extend((body.len() as u64).to_le_bytes());
            out.extend(body);
        }
        out.extend(packed(&[all]).map_err(bug)?);
        Ok(out)
    }

    /// One body, or several where one would be too large. A row that is too large by itself goes alone.
    fn split(&self, rows: &RecordBatch, parts: &mut Vec<(usize, Vec<u8>)>) -> Result<(), TaskError> {
        let body = self.body(rows)?;
        let count = rows.num_rows();
        if body.len() <= self.most_bytes || count < 2 {
            parts.push((count, body));
            return Ok(());
        }
        self.split(&rows.slice(0, count / 2), parts)?;
        self.split(&rows.slice(count / 2, count - count / 2), parts)
    }

    fn body(&self, rows: &RecordBatch) -> Result<Vec<u8>, TaskError> {
        let mut body = Vec::new();
        self.codec.encode(std::slice::from_ref(rows), &mut body)?;
        match self.shape {
            Shape::Plain => {}
            Shape::Single => body.truncate(body.trim_ascii_end().len()),
            Shape::Array => {
                let lines: Vec<&[u8]> = body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
                body = [b"[", lines.join(b",".as_slice()).as_slice(), b"]"].concat();
            }
        }
        Ok(body)
    }
}

impl<'a> Staged<'a> {
    /// What [`Writing::stage`] wrote; none where it is something else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let field = |at: usize| -> Option<usize> {
            usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()
        };
        let count = field(0)?;
        let mut staged = Staged { parts: Vec::new(), packed: &[] };
        let mut at = 8;
        for _ in 0..count {
            let (rows, length) = (field(at)?, field(at + 8)?);
            let end = (at + 16).checked_add(length)?;
            staged.parts.push(Part { body: bytes.get(at + 16..end)?, rows });
            at = end;
        }
        staged.packed = bytes.get(at..)?;
        Some(staged)
    }

    /// Rows of a part.
    pub(super) fn rows(&self, start: usize, count: usize) -> Result<RecordBatch, ArrowError> {
        let rows = unpacked(self.packed)?;
        let first = rows.first().ok_or_else(|| ArrowError::InvalidArgumentError("no rows are staged".into()))?;
        Ok(concat_batches(&first.schema(), &rows)?.slice(start, count))
    }
}
