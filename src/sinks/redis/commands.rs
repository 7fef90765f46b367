//! Rows as commands: what is written where, computed when a batch is staged, so that it is the same whenever it is
//! delivered.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use millstream_dsl::Span;

use crate::expressions::Compiled;
use crate::plan::catalog::Endpoint;
use crate::plan::edge::OP;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::FormatCodec;
use crate::plan::{Conflict, TypedExpr};
use crate::sinks::codec;
use crate::sinks::packed::packed;
use crate::sinks::redis::slots::slot;
use crate::sinks::redis::staged::Staging;
use crate::sinks::texts::{Texts, as_text, whole_rows};

/// What a row becomes.
pub(super) const HOW: &[(&str, &str)] = &[
    ("set", "the key's value is `value`, or the row in the sink's format"),
    ("hset", "the hash's fields are the row's columns"),
    ("incrby", "`value` is added to the key"),
    ("zadd", "`value` is a member of the sorted set with `score`"),
    ("sadd", "`value` is a member of the set"),
    ("lpush", "`value` is put before the list, which is cut to `trim`"),
    ("xadd", "the row is an entry of the stream, which is cut to `trim`"),
    ("publish", "`value` is published to the channel"),
];

/// The same, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Hset,
    Incrby { whole: bool },
    Zadd,
    Sadd,
    Lpush,
    Xadd,
    Publish,
}

/// Options that mean something to some ways of writing only.
pub(super) fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let write = settings.text("write").unwrap_or("set");
    let mut found = Vec::new();
    let mut idle = |option: &'static str, ways: &[&str]| {
        if settings.is_written(option) && !ways.contains(&write) {
            let message = format!("`{option}` means nothing for `write: {write}`");
            found.push(Conflict::between(option, message, format!("leave it out, or write:\n  write: {}", ways[0])));
        }
    };
    idle("score", &["zadd"]);
    idle("trim", &["lpush", "xadd"]);
    idle("value", &["set", "incrby", "zadd", "sadd", "lpush", "publish"]);
    idle("expire", &["set", "hset", "incrby", "zadd", "sadd", "lpush", "xadd"]);
    let mut wanted = |option: &'static str, way: &str, help: &str| {
        if write == way && settings.get(option).is_none() {
            found.push(Conflict::between("write", format!("`write: {way}` wants `{option}` beside it"), help));
        }
    };
    wanted("score", "zadd", "say what the members are ordered by:\n  score: amount");
    wanted("value", "incrby", "say what is added:\n  value: 1");
    if let Some(value) = settings.expr("value").filter(|_| write == "incrby")
        && !value.slot.ty.is_number()
        && !value.is_unknown()
    {
        let message = format!("what is added must be a number, not `{}`", value.slot.ty);
        found.push(Conflict::value("value", message, "for example:\n  value: 1"));
    }
    found
}

/// How rows become commands.
pub(super) struct Writing {
    how: How,
    /// The key, then the value, or the score and the value, or the fields.
    compiled: Compiled,
    /// Names of the fields of a hash or of an entry.
    fields: Vec<String>,
    /// Where a row is written whole.
    codec: Option<Box<dyn FormatCodec>>,
    /// Where the column is that says whether a row comes or goes.
    op: Option<usize>,
    expire: Option<String>,
    trim: Option<i64>,
    cluster: bool,
}

impl Writing {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let settings = &endpoint.settings;
        let expr = |name: &str| settings.expr(name).cloned();
        let key = expr("key").ok_or_else(|| NotRunnable("`key` is missing".into()))?;
        let value = expr("value");
        let how = match settings.text("write") {
            Some("hset") => How::Hset,
            Some("incrby") => How::Incrby { whole: value.as_ref().is_some_and(|v| v.slot.ty.is_integer()) },
            Some("zadd") => How::Zadd,
            Some("sadd") => How::Sadd,
            Some("lpush") => How::Lpush,
            Some("xadd") => How::Xadd,
            Some("publish") => How::Publish,
            _ => How::Set,
        };
        let op = endpoint.changes.then(|| endpoint.schema.position(OP)).flatten();
        let columns = || endpoint.schema.columns.iter().enumerate().filter(|(at, _)| Some(*at) != op);
        let (mut exprs, mut fields) = (vec![key], Vec::new());
        let whole_row = value.is_none() && !matches!(how, How::Hset | How::Xadd);
        match how {
            How::Hset | How::Xadd => {
                fields = columns().map(|(_, column)| column.name.clone()).collect();
                exprs.extend(columns().map(|(at, column)| TypedExpr::column(at, column, Span::default())));
            }
            How::Zadd => exprs.extend(expr("score").into_iter().chain(value)),
            _ => exprs.extend(value),
        }
        let exprs: Vec<TypedExpr> = exprs.into_iter().map(as_text).collect();
        let rows = endpoint.schema.clone();
        Ok(Writing {
            how,
            compiled: Compiled::new(&exprs, &rows)?,
            fields,
            codec: if whole_row { Some(codec(endpoint)?) } else { None },
            op,
            expire: settings.duration("expire").map(|micros| (micros / 1000).max(1).to_string()),
            trim: settings.integer("trim"),
            cluster: settings.flag("cluster"),
        })
    }

    /// A batch as bytes that can wait in a journal.
    pub(super) fn stage(&self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Vec<u8>, TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        let Some(first) = rows.first() else { return Ok(Staging::new(false).written(&[])) };
        let all = concat_batches(&first.schema(), rows).map_err(bug)?;
        let found = self.compiled.eval(&all, batch)?;
        let columns: Vec<Texts<'_>> = found.columns.iter().map(Texts::of).collect();
        let [keys, values @ ..] = columns.as_slice() else { return Err(TaskError::Bug("there is no key".into())) };
        let wholes = self.codec.as_deref().map(|codec| whole_rows(codec, &all)).transpose()?;
        let ops = self.op.map(|at| all.column(at).as_string::<i32>());
        let mut staging = Staging::new(self.cluster);
        for row in 0..all.num_rows() {
            if let Some(why) = found.failures.reason(row) {
                staging.refuse(row, why);
                continue;
            }
            let Some(key) = keys.get(row) else {
                staging.refuse(row, "the key is null");
                continue;
            };
            let goes = ops.is_some_and(|ops| ops.value(row) == "-");
            let commands = match (goes, &wholes) {
                (true, _) => Ok(vec![vec![b"DEL".to_vec(), key.to_vec()]]),
                (false, Some(wholes)) => self.commands(key, values, Some(wholes[row].as_slice()), row),
                (false, None) => self.commands(key, values, None, row),
            };
            match commands {
                Ok(commands) => staging.add(row, if self.cluster { slot(key) } else { 0 }, &commands),
                Err(why) => staging.refuse(row, why),
            }
        }
        Ok(staging.written(&packed(&[all]).map_err(bug)?))
    }

    /// What writes a row; the error says why it cannot be written.
    fn commands(
        &self,
        key: &[u8],
        values: &[Texts<'_>],
        whole: Option<&[u8]>,
        row: usize,
    ) -> Result<Vec<Vec<Vec<u8>>>, &'static str> {
        let command = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
        let value = || whole.or_else(|| values.last()?.get(row)).ok_or("the value is null");
        let trim = self.trim.map(|most| most.to_string());
        let mut commands = match self.how {
            How::Set => match &self.expire {
                Some(expire) => vec![command(&[b"SET", key, value()?, b"PX", expire.as_bytes()])],
                None => vec![command(&[b"SET", key, value()?])],
            },
            How::Hset => self.hash(key, values, row),
            How::Incrby { whole: true } => vec![command(&[b"INCRBY", key, value()?])],
            How::Incrby { whole: false } => vec![command(&[b"INCRBYFLOAT", key, value()?])],
            How::Zadd => {
                let score = values.first().and_then(|score| score.get(row)).ok_or("the score is null")?;
                vec![command(&[b"ZADD", key, score, value()?])]
            }
            How::Sadd => vec![command(&[b"SADD", key, value()?])],
            How::Lpush => {
                let mut commands = vec![command(&[b"LPUSH", key, value()?])];
                if let Some(most) = self.trim {
                    commands.push(command(&[b"LTRIM", key, b"0", (most - 1).to_string().as_bytes()]));
                }
                commands
            }
            How::Xadd => {
                let mut entry = command(&[b"XADD", key]);
                if let Some(most) = &trim {
                    entry.extend(command(&[b"MAXLEN", most.as_bytes()]));
                }
                entry.push(b"*".to_vec());
                let before = entry.len();
                entry.extend(self.pairs(values, row).flatten().map(<[u8]>::to_vec));
                if entry.len() == before {
                    return Err("an entry needs a column that is not null");
                }
                vec![entry]
            }
            How::Publish => vec![command(&[b"PUBLISH", key, value()?])],
        };
        if let Some(expire) = self.expire.as_ref().filter(|_| !matches!(self.how, How::Set | How::Publish)) {
            commands.push(command(&[b"PEXPIRE", key, expire.as_bytes()]));
        }
        Ok(commands)
    }

    /// A hash that has the row's columns and no others of before.
    fn hash(&self, key: &[u8], values: &[Texts<'_>], row: usize) -> Vec<Vec<Vec<u8>>> {
        let mut there = vec![b"HSET".to_vec(), key.to_vec()];
        there.extend(self.pairs(values, row).flatten().map(<[u8]>::to_vec));
        let mut gone = vec![b"HDEL".to_vec(), key.to_vec()];
        let nulls = self.fields.iter().zip(values).filter(|(_, value)| value.get(row).is_none());
        gone.extend(nulls.map(|(field, _)| field.as_bytes().to_vec()));
        [there, gone].into_iter().filter(|command| command.len() > 2).collect()
    }

    /// Fields and values that are not null.
    fn pairs<'a>(&'a self, values: &'a [Texts<'_>], row: usize) -> impl Iterator<Item = [&'a [u8]; 2]> {
        self.fields.iter().zip(values).filter_map(move |(field, value)| Some([field.as_bytes(), value.get(row)?]))
    }
}
