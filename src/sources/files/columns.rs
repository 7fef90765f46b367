//! Columns that are not in the file: what its path says, and where a row comes from.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::SchemaRef;

use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec};
use crate::sources::cutter;

/// What stands for null in a folder's name, as in Hive.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The rows of a source, and what of them each file holds itself.
pub(super) struct Columns {
    endpoint: Endpoint,
    arrow: SchemaRef,
    metadata: Vec<Meta>,
    hive: bool,
    unread: BTreeSet<usize>,
    /// Formats by the columns that come from the path; most sources have one.
    codecs: HashMap<Vec<usize>, Arc<dyn FormatCodec>>,
}

/// A column about where a row comes from.
#[derive(Debug, Clone, Copy)]
enum Meta {
    File,
    Line,
    Mtime,
}

impl Meta {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "file" => Some(Meta::File),
            "line" => Some(Meta::Line),
            "mtime" => Some(Meta::Mtime),
            _ => None,
        }
    }
}

/// What is the same for all rows of a file.
#[derive(Clone)]
pub(super) struct OfFile {
    /// The columns that the path gives, with one value each.
    path: Vec<(usize, ArrayRef)>,
    name: String,
    changed: i64,
    pub(super) codec: Arc<dyn FormatCodec>,
}

impl Columns {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let metadata = endpoint.settings.texts("metadata").into_iter().filter_map(Meta::from_word).collect();
        let mut columns = Columns {
            arrow: endpoint.schema.to_arrow(),
            metadata,
            hive: endpoint.settings.flag("hive"),
            unread: BTreeSet::new(),
            codecs: HashMap::new(),
            endpoint: endpoint.clone(),
        };
        if !columns.hive {
            // What is wrong with the format's options is said before the start.
            columns.codec(Vec::new())?;
        }
        Ok(columns)
    }

    /// Nobody reads these.
    pub(super) fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        self.unread = unread.clone();
        self.codecs.clear();
    }

    /// What time it is.
    pub(super) fn now(&self, micros: i64) {
        self.codecs.values().for_each(|codec| codec.now(micros));
    }

    /// What the path of a file says. `Err`: why it does not fit the schema.
    pub(super) fn of_file(&mut self, name: &str, changed: i64) -> Result<Result<OfFile, String>, TaskError> {
        let mut path = Vec::new();
        if self.hive {
            for (column, text) in pairs(name).filter_map(|(key, text)| Some((self.own_position(key)?, text))) {
                match self.value(column, text) {
                    Ok(value) => path.push((column, value)),
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        }
        let codec = self.codec(path.iter().map(|(column, _)| *column).collect());
        let codec = codec.map_err(|why| TaskError::Stop(why.0))?;
        Ok(Ok(OfFile { path, name: name.to_owned(), changed, codec }))
    }

    /// The columns before those about where a row comes from.
    fn own(&self) -> usize {
        self.endpoint.schema.columns.len() - self.metadata.len()
    }

    fn own_position(&self, name: &str) -> Option<usize> {
        self.endpoint.schema.position(name).filter(|at| *at < self.own())
    }

    fn codec(&mut self, mut from_path: Vec<usize>) -> Result<Arc<dyn FormatCodec>, NotRunnable> {
        from_path.sort_unstable();
        if let Some(codec) = self.codecs.get(&from_path) {
            return Ok(codec.clone());
        }
        let kept: Vec<usize> = (0..self.own()).filter(|column| !from_path.contains(column)).collect();
        let columns = kept.iter().map(|column| self.endpoint.schema.columns[*column].clone()).collect();
        let mut codec = cutter::codec(&self.endpoint, &Schema::new(columns))?;
        let unread = kept.iter().enumerate().filter(|(_, column)| self.unread.contains(column)).map(|(at, _)| at);
        if let Some(codec) = Arc::get_mut(&mut codec) {
            codec.leave_out(&unread.collect());
        }
        self.codecs.insert(from_path, codec.clone());
        Ok(codec)
    }

    fn value(&self, column: usize, text: &str) -> Result<ArrayRef, String> {
        let field = self.arrow.field(column);
        let text = (text != NULL).then(|| unescaped(text));
        if text.is_none() && !field.is_nullable() {
            return Err(format!("the folder's `{}` is null", field.name()));
        }
        let misfit = || {
            let text = text.as_deref().unwrap_or_default();
            format!("the folder's `{}` is `{text}`, which does not fit its type", field.name())
        };
        let exact = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&StringArray::from(vec![text.as_deref()]), field.data_type(), &exact).map_err(|_| misfit())
    }

    /// Rows in the source's shape.
    pub(super) fn complete(&self, of: &OfFile, decoded: &mut Decoded, before: u64) -> Result<(), TaskError> {
        if of.path.is_empty() && self.metadata.is_empty() {
            return Ok(());
        }
        let numbers = if self.metadata.is_empty() { Vec::new() } else { row_lines(decoded, before) };
        let mut numbers = numbers.into_iter();
        for block in &mut decoded.blocks {
            let rows = block.num_rows();
            let lines: Vec<i64> = numbers.by_ref().take(rows).collect();
            let mut own = block.columns().iter();
            let column = |at: usize| -> Result<ArrayRef, String> {
                if let Some((_, value)) = of.path.iter().find(|(column, _)| *column == at) {
                    return take(value, &UInt32Array::from(vec![0; rows]), None).map_err(|e| e.to_string());
                }
                match at.checked_sub(self.own()).and_then(|at| self.metadata.get(at)) {
                    None => own.next().cloned().ok_or_else(|| "a column is missing".to_owned()),
                    Some(Meta::File) => {
                        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&of.name, rows))))
                    }
                    Some(Meta::Line) => Ok(Arc::new(Int64Array::from(lines.clone()))),
                    Some(Meta::Mtime) => {
                        let times = TimestampMicrosecondArray::from_value(of.changed, rows);
                        Ok(Arc::new(times.with_timezone("UTC")))
                    }
                }
            };
            let columns = (0..self.endpoint.schema.columns.len()).map(column).collect::<Result<_, _>>();
            let columns = columns.map_err(TaskError::Bug)?;
            *block = RecordBatch::try_new(self.arrow.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))?;
        }
        Ok(())
    }
}

/// The folders of a path that are named `key=value`.
pub(super) fn pairs(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|folder| folder.split_once('='))
}

/// `%` and two digits are a byte.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The line of each row, from 1.
fn row_lines(decoded: &Decoded, before: u64) -> Vec<i64> {
    let mut others: Vec<u64> = decoded.bad.iter().map(|b| b.line).chain(decoded.blank.iter().copied()).collect();
    others.sort_unstable();
    let lines = (0..decoded.lines).filter(|line| others.binary_search(line).is_err());
    lines.map(|line| i64::try_from(before + line + 1).unwrap_or(i64::MAX)).collect()
}
