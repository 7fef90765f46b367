//! Rows as messages: computed when a batch is staged, so that they are the same whenever it is delivered.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use crate::expressions::Compiled;
use crate::plan::catalog::Endpoint;
use crate::plan::edge::OP;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::FormatCodec;
use crate::plan::{OptionValue, TypedExpr};
use crate::sinks::codec;
use crate::sinks::packed::packed;
use crate::sinks::texts::{Texts, as_text, whole_rows};

/// A message that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    /// None: by the key.
    pub(super) partition: Option<i32>,
    pub(super) key: Option<Vec<u8>>,
    /// None: whoever has the key forgets it.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// How rows become messages.
pub(super) struct Writing {
    codec: Box<dyn FormatCodec>,
    compiled: Compiled,
    has_key: bool,
    has_partition: bool,
    headers: Vec<String>,
    /// The only topics there may be, and what each must start with.
    topics: Vec<String>,
    prefix: Option<String>,
    /// Where the column is that says whether a row comes or goes, for keyed topics.
    op: Option<usize>,
    longest: usize,
}

impl Writing {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let settings = &endpoint.settings;
        let expr = |name: &str| settings.expr(name).cloned();
        let topic = expr("topic").ok_or_else(|| NotRunnable("`topic` is missing".into()))?;
        let (key, partition) = (expr("key"), expr("partition"));
        let (has_key, has_partition) = (key.is_some(), partition.is_some());
        let mut exprs: Vec<TypedExpr> = vec![topic];
        exprs.extend(key.map(as_text));
        exprs.extend(partition);
        let mut headers = Vec::new();
        if let Some(OptionValue::Map(values)) = settings.get("headers") {
            for (name, value) in values {
                if let OptionValue::Expr(value) = value {
                    headers.push(name.clone());
                    exprs.push(as_text((**value).clone()));
                }
            }
        }
        let upserts = endpoint.changes && settings.text("write") == Some("upsert");
        Ok(Writing {
            codec: codec(endpoint)?,
            compiled: Compiled::new(&exprs, &endpoint.schema)?,
            has_key,
            has_partition,
            headers,
            topics: settings.texts("topics").into_iter().map(str::to_owned).collect(),
            prefix: settings.text("topic_prefix").map(str::to_owned),
            op: upserts.then(|| endpoint.schema.position(OP)).flatten(),
            longest: settings.size("max_message").and_then(|n| usize::try_from(n).ok()).unwrap_or(1_000_000),
        })
    }

    /// A batch as bytes that can wait in a journal.
    pub(super) fn stage(&self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Vec<u8>, TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let all = concat_batches(&first.schema(), rows).map_err(bug)?;
        let found = self.compiled.eval(&all, batch)?;
        let mut columns = found.columns.iter();
        let mut next = || columns.next().ok_or_else(|| TaskError::Bug("an expression has no column".into()));
        let topics = Texts::of(next()?);
        let keys = if self.has_key { Some(Texts::of(next()?)) } else { None };
        let partitions = if self.has_partition { Some(next()?.as_primitive::<Int32Type>()) } else { None };
        let headers: Vec<Texts<'_>> = columns.map(Texts::of).collect();
        // Readers of a keyed topic know rows by their key: what says that they come or go is not for them.
        let written = match self.op {
            Some(op) => all.project(&(0..all.num_columns()).filter(|at| *at != op).collect::<Vec<_>>()).map_err(bug)?,
            None => all.clone(),
        };
        let mut values = whole_rows(self.codec.as_ref(), &written)?;
        let newest = self.newest(&all, keys.as_ref());
        let (mut refused, mut messages) = (Vec::new(), Vec::new());
        for row in 0..all.num_rows() {
            if newest.as_ref().is_some_and(|newest| !newest[row]) {
                continue;
            }
            if let Some(why) = found.failures.reason(row) {
                refused.push((row, why.to_owned()));
                continue;
            }
            let goes = self.op.is_some_and(|op| all.column(op).as_string::<i32>().value(row) == "-");
            let message = Outgoing {
                topic: topics.get(row).map(|topic| String::from_utf8_lossy(topic).into_owned()).unwrap_or_default(),
                partition: partitions.and_then(|numbers| numbers.is_valid(row).then(|| numbers.value(row))),
                key: keys.as_ref().and_then(|keys| keys.get(row)).map(<[u8]>::to_vec),
                value: (!goes).then(|| std::mem::take(&mut values[row])),
                headers: self
                    .headers
                    .iter()
                    .zip(&headers)
                    .map(|(n, v)| (n.clone(), v.get(row).map(<[u8]>::to_vec)))
                    .collect(),
            };
            match self.wrong(&message) {
                Some(why) => refused.push((row, why)),
                None => messages.push(message),
            }
        }
        written_out(&refused, &messages, &packed(&[all]).map_err(bug)?)
    }

    /// Which rows are the newest of their key, where only those are written.
    fn newest(&self, rows: &RecordBatch, keys: Option<&Texts<'_>>) -> Option<Vec<bool>> {
        let keys = keys.filter(|_| self.op.is_some())?;
        let last: HashMap<Option<&[u8]>, usize> = (0..rows.num_rows()).map(|row| (keys.get(row), row)).collect();
        Some((0..rows.num_rows()).map(|row| last.get(&keys.get(row)) == Some(&row)).collect())
    }

    /// Why a message cannot be written.
    fn wrong(&self, message: &Outgoing) -> Option<String> {
        let topic = &message.topic;
        if topic.is_empty() {
            return Some("the topic is null".into());
        }
        if !self.topics.is_empty() && !self.topics.contains(topic) {
            return Some(format!("topic `{topic}` is none of `topics`"));
        }
        if self.prefix.as_ref().is_some_and(|prefix| !topic.starts_with(prefix.as_str())) {
            return Some(format!("topic `{topic}` does not start as `topic_prefix` says"));
        }
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = message.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        let size = length(&message.key) + length(&message.value) + headers;
        (size > self.longest)
            .then(|| format!("the message has {size} bytes, and `max_message` allows {}", self.longest))
    }
}

/// Refused rows, messages and all rows.
fn written_out(refused: &[(usize, String)], messages: &[Outgoing], packed: &[u8]) -> Result<Vec<u8>, TaskError> {
    let mut out = Vec::new();
    let part = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend(bytes);
    };
    let maybe = |out: &mut Vec<u8>, bytes: &Option<Vec<u8>>| {
        out.push(u8::from(bytes.is_some()));
        part(out, bytes.as_deref().unwrap_or_default());
    };
    part(&mut out, &serde_json::to_vec(refused).map_err(|e| TaskError::Bug(e.to_string()))?);
    out.extend((messages.len() as u64).to_le_bytes());
    for message in messages {
        part(&mut out, message.topic.as_bytes());
        out.extend(message.partition.unwrap_or(-1).to_le_bytes());
        maybe(&mut out, &message.key);
        maybe(&mut out, &message.value);
        out.extend((message.headers.len() as u64).to_le_bytes());
        for (name, value) in &message.headers {
            part(&mut out, name.as_bytes());
            maybe(&mut out, value);
        }
    }
    out.extend(packed);
    Ok(out)
}

/// A batch that was staged.
pub(super) struct Staged<'a> {
    pub(super) refused: BTreeMap<usize, String>,
    pub(super) messages: Vec<Outgoing>,
    pub(super) packed: &'a [u8],
}

impl<'a> Staged<'a> {
    /// None where it is something else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let refused: Vec<(usize, String)> = serde_json::from_slice(part(&mut rest)?).ok()?;
        let mut messages = Vec::new();
        for _ in 0..number(&mut rest)? {
            let topic = String::from_utf8(part(&mut rest)?.to_vec()).ok()?;
            let partition = i32::from_le_bytes(taken(&mut rest, 4)?.try_into().ok()?);
            let (key, value) = (maybe(&mut rest)?, maybe(&mut rest)?);
            let mut headers = Vec::new();
            for _ in 0..number(&mut rest)? {
                let name = String::from_utf8(part(&mut rest)?.to_vec()).ok()?;
                headers.push((name, maybe(&mut rest)?));
            }
            messages.push(Outgoing { topic, partition: (partition >= 0).then_some(partition), key, value, headers });
        }
        Some(Staged { refused: refused.into_iter().collect(), messages, packed: rest })
    }
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(front)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(taken(rest, 8)?.try_into().ok()?))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    taken(rest, length)
}

/// Bytes, or none at all.
#[expect(clippy::option_option, reason = "cut off, absent and there are three things")]
fn maybe(rest: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let is_there = taken(rest, 1)? == [1];
    let bytes = part(rest)?;
    Some(is_there.then(|| bytes.to_vec()))
}
