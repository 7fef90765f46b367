//! `kafka`: writes messages, with the batch's number in the same transaction.

#[cfg(feature = "kafka")]
mod delivery;
#[cfg(feature = "kafka")]
mod messages;
#[cfg(feature = "kafka")]
mod writing;

use crate::connect::{kafka, texts, tls};
use crate::model::Type;
use crate::plan::catalog::{Changes, Endpoint};
use crate::plan::operator::NotRunnable;
use crate::plan::seams::Sink;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::columns_of;

const DELIVERY: &[(&str, &str)] = &[
    ("exactly_once", "in a transaction that records the batch"),
    ("at_least_once", "by the idempotent producer, without a transaction"),
];
const WRITE: &[(&str, &str)] = &[
    ("append", "every row is a message"),
    ("upsert", "a message a key with its newest row; a row that goes becomes a message without a value"),
    ("changes", "rows that come and rows that go, with the column `op`"),
];
const COMPRESSION: &[(&str, &str)] = &[
    ("none", "as they are"),
    ("gzip", "small, slow"),
    ("snappy", "quick"),
    ("lz4", "quick"),
    ("zstd", "small, quick"),
];

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "kafka",
            "writes messages to a topic of a Kafka cluster",
            "kafka(\"TOPIC\") { brokers: \"HOST:PORT\", OPTIONS }",
        )
        .details(
            "The messages of a batch and a mark are one transaction. The mark is an offset of the group \
             `millstream-delivered/PIPELINE/SINK`, in which nobody is; brokers forget it after \
             `offsets.retention.minutes` without a batch. Who reads must do so with `read_committed`. A second process \
             with the same `transactional_id` takes over and the first one stops. Where the topic is an expression, \
             `topics` names all there may be. TLS, SCRAM and a schema registry are not there yet.",
        )
        .example("from orders |> into kafka(\"orders\") { brokers: \"localhost:9092\", key: user_id, format: json }"),
        args: vec![OptionSpec::required(
            "topic",
            OptionKind::Expr(Some(Type::String)),
            "the topic: a text, or an expression over the row",
        )],
        options: options(),
        takes_changes,
        format: Some("json"),
        guarantee: |settings| match settings.text("delivery") {
            Some("at_least_once") => "at least once (idempotent producer)".into(),
            _ => "exactly once (transaction with the batch's number)".into(),
        },
        target: |_| None,
        feature: Some(kafka::FEATURE),
        conflicts: |endpoint| tls::client_conflicts(&endpoint.settings),
        open: SinkEntry::by(open),
    }
}

fn options() -> Vec<OptionSpec> {
    let headers = OptionKind::Map(Box::new(OptionKind::Expr(Some(Type::String))));
    let mut options = vec![
        OptionSpec::optional("key", OptionKind::Expr(None), "the message's key"),
        OptionSpec::optional("headers", headers, "the message's headers"),
        OptionSpec::optional("partition", OptionKind::Expr(Some(Type::Int32)), "the partition; by the key otherwise"),
        OptionSpec::optional("topics", texts(), "the only topics that an expression may give"),
        OptionSpec::optional(
            "topic_prefix",
            OptionKind::Text,
            "what every topic that an expression gives must start with",
        ),
        OptionSpec::with_default("write", OptionKind::Symbol(WRITE), "append", "what a row becomes"),
        OptionSpec::with_default("delivery", OptionKind::Symbol(DELIVERY), "exactly_once", "what a crash may do"),
        OptionSpec::optional(
            "transactional_id",
            OptionKind::Text,
            "the name that fences off an older process; the pipeline's and the sink's otherwise",
        ),
        OptionSpec::with_default("compression", OptionKind::Symbol(COMPRESSION), "none", "how messages are packed"),
        OptionSpec::with_default("linger", OptionKind::Duration, "5ms", "how long a message waits for others"),
        OptionSpec::with_default("max_message", OptionKind::Size, "1mb", "a larger message is rejected"),
    ];
    options.extend(kafka::registry());
    options.extend(kafka::connection());
    options
}

fn takes_changes(settings: &Settings) -> Changes {
    match settings.text("write") {
        Some("upsert") => Changes::ByKey(columns_of(settings, "key")),
        Some("changes") => Changes::Any,
        _ => Changes::AppendOnly,
    }
}

#[cfg(feature = "kafka")]
fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    writing::open(endpoint)
}

#[cfg(not(feature = "kafka"))]
fn open(_: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    Err(NotRunnable("sink `kafka` is not part of this build: build it with `--features kafka`".into()))
}
