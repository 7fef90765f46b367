//! `redis`: writes keys, counters, sets and streams of a Redis or Valkey server.

mod commands;
mod delivery;
mod slots;
mod staged;

use arrow::array::RecordBatch;

use crate::connect::{COUNT, redis};
use crate::model::Type;
use crate::plan::catalog::{Changes, Endpoint};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, Giver, Sink};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::columns_of;

use commands::{HOW, Writing};
use delivery::Target;
use staged::Staged;

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "redis",
            "writes keys, counters, sets or streams of a Redis server",
            "redis(KEY) { url: SECRET, write: HOW, OPTIONS }",
        )
        .details(
            "The rows and the batch's number are written by one script, so that a batch that comes again changes \
             nothing: the number is in the hash `millstream:delivered:{PIPELINE/SINK}`. A large batch is written in \
             pieces, each with its own mark. A row that the server refuses (a counter that holds a text) is rejected \
             and the others are written. Values are written as text, lists and structs as JSON; a column that is null \
             is no field. In a cluster the rows of each slot are a piece, with a mark in the same slot. What the \
             server loses when it crashes it loses together with the mark, and nothing writes it again: \
             `appendfsync always` loses nothing.",
        )
        .example(
            "from orders |> into redis(\"order:${order_id}\") { url: env(\"REDIS_URL\"), write: hset, expire: 30d }",
        )
        .example(
            "from orders |> into redis(\"spent:${user_id}\") { url: env(\"REDIS_URL\"), write: incrby, value: amount }",
        )
        .example("from orders |> into redis(\"orders\") { url: secret(\"redis/url\"), write: xadd, trim: 100000 }")
        .alias("valkey"),
        args: vec![OptionSpec::required(
            "key",
            OptionKind::Expr(Some(Type::String)),
            "the key: a text, or an expression over the row",
        )],
        options: options(),
        takes_changes,
        format: Some("json"),
        guarantee: |settings| match settings.text("write") {
            Some("publish") => "exactly once (published with the batch's number, to those who listen)".into(),
            _ => "exactly once (written with the batch's number)".into(),
        },
        target: |_| None,
        feature: None,
        conflicts,
        open: SinkEntry::by(open),
    }
}

fn options() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::with_default("write", OptionKind::Symbol(HOW), "set", "what a row becomes"),
        OptionSpec::optional("value", OptionKind::Expr(None), "the value; the row in the sink's format otherwise"),
        OptionSpec::optional("score", OptionKind::Expr(Some(Type::Float64)), "the score for `zadd`"),
        OptionSpec::optional("expire", OptionKind::Duration, "how long the key lives after it was written"),
        OptionSpec::optional("trim", COUNT, "how long a list or stream may grow"),
        OptionSpec::with_default("cluster", OptionKind::Bool, "false", "whether the server is a node of a cluster"),
    ];
    options.extend(redis::connection());
    options
}

fn takes_changes(settings: &Settings) -> Changes {
    match settings.text("write") {
        Some("set" | "hset") => Changes::ByKey(columns_of(settings, "key")),
        _ => Changes::AppendOnly,
    }
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let mut found = redis::conflicts(&endpoint.settings);
    found.extend(commands::conflicts(endpoint));
    found
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let server = redis::Server::of(endpoint)?;
    let cluster = endpoint.settings.flag("cluster");
    Ok(Box::new(Redis { writing: Writing::of(endpoint)?, target: Target::new(server, cluster) }))
}

struct Redis {
    writing: Writing,
    target: Target,
}

impl Sink for Redis {
    fn given_by(&mut self, giver: &Giver) {
        self.target.marks_as(giver);
    }

    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        Ok(Artifact { bytes: self.writing.stage(batch, rows)?, rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let staged = Staged::read(&artifact.bytes).ok_or_else(|| TaskError::Bug("a staged batch is cut off".into()))?;
        let refused = self.target.deliver(batch.number, &staged)?;
        staged.rejected(refused).map(|rejected| Delivered { rejected }).map_err(|e| TaskError::Bug(e.to_string()))
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        self.target.cursor()
    }
}
