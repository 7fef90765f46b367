//! `redis`: writes keys, counters, sets and streams of a Redis or Valkey server.

use crate::connect::{COUNT, net};
use crate::model::Type;
use crate::plan::catalog::Changes;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::columns_of;

const WRITE: &[(&str, &str)] = &[
    ("set", "the key's value is `value`, or the row in the sink's format"),
    ("hset", "the hash's fields are the row's columns"),
    ("incrby", "`value` is added to the key"),
    ("zadd", "`value` is a member of the sorted set with `score`"),
    ("sadd", "`value` is a member of the set"),
    ("lpush", "`value` is put before the list, which is cut to `trim`"),
    ("xadd", "the row is an entry of the stream, which is cut to `trim`"),
    ("publish", "`value` is published to the channel"),
];

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "redis",
            "writes keys, counters, sets or streams of a Redis server",
            "redis(KEY) { url: SECRET, write: HOW, OPTIONS }",
        )
        .details(
            "The rows and the batch's number are written together, so that a batch that comes again changes nothing.",
        )
        .example("from orders |> into redis(\"user:${user_id}\") { url: env(\"REDIS_URL\"), write: hset }")
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
            Some("publish") => "at most once (published, not kept)".into(),
            _ => "exactly once (written with the batch's number)".into(),
        },
        target: |_| None,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|_| Err(NotRunnable::not_yet("sink", "redis"))),
    }
}

fn options() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::required("url", OptionKind::Secret, "`redis://user:password@host:port/database`"),
        OptionSpec::with_default("write", OptionKind::Symbol(WRITE), "set", "what a row becomes"),
        OptionSpec::optional("value", OptionKind::Expr(None), "the value; the row in the sink's format otherwise"),
        OptionSpec::optional("score", OptionKind::Expr(Some(Type::Float64)), "the score for `zadd`"),
        OptionSpec::optional("expire", OptionKind::Duration, "how long the key lives after it was written"),
        OptionSpec::optional("trim", COUNT, "how long a list or stream may grow"),
        OptionSpec::with_default("cluster", OptionKind::Bool, "false", "whether the server is a node of a cluster"),
    ];
    options.extend(net::reconnecting());
    options
}

fn takes_changes(settings: &Settings) -> Changes {
    match settings.text("write") {
        Some("set" | "hset") => Changes::ByKey(columns_of(settings, "key")),
        _ => Changes::AppendOnly,
    }
}
