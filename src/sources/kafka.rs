//! `kafka`: topics, read by offset. Everything that `check` needs; the client comes with the feature.

#[cfg(feature = "kafka")]
mod direct;
#[cfg(feature = "kafka")]
mod messages;

use crate::connect::{COUNT, kafka, texts, tls};
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::NotRunnable;
use crate::plan::seams::Source;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SourceEntry};
use crate::sources::{appends, sole_records};

const START: &[(&str, &str)] =
    &[("earliest", "with the oldest message that is kept"), ("latest", "with messages that come after the start")];
const ISOLATION: &[(&str, &str)] = &[
    ("read_committed", "messages of transactions only once they are committed"),
    ("read_uncommitted", "all messages at once, those of aborted transactions too"),
];
const DATA_LOSS: &[(&str, &str)] = &[
    ("fail", "the pipeline stops"),
    ("skip", "it goes on with the oldest message there is and counts the missing ones"),
];
const READ: &[(&str, &str)] = &[
    ("direct", "by offset, every partition by this pipeline"),
    ("group", "as a member of the consumer group, sharing partitions with others"),
];
const TOMBSTONES: &[(&str, &str)] = &[
    ("skip", "counted and left out"),
    ("null", "a row whose nullable columns are null; a bad row where one is not nullable"),
    ("bad", "a bad row"),
];
const METADATA: &[(&str, &str)] = &[
    ("key", "`_key: bytes?`"),
    ("headers", "`_headers: map(string, bytes?)`"),
    ("topic", "`_topic: string`"),
    ("partition", "`_partition: int32`"),
    ("offset", "`_offset: int64`"),
    ("timestamp", "`_timestamp: timestamp`"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new("kafka", "reads topics of a Kafka cluster, each message once", "kafka(\"TOPIC\") { brokers: \"HOST:PORT\", OPTIONS }")
            .details(
                "The range of offsets of a batch is fixed before it is read and recorded with the batch's commit, so that a \
                 restart reads the same messages. Partitions and topics that appear while running are taken in.",
            )
            .example("source orders = kafka(\"orders\") { brokers: \"localhost:9092\", format: json, schema: { id: string, amount: float64 } }")
            .alias("createDirectStream"),
        args: vec![OptionSpec::optional("topics", texts(), "the topics; or give `pattern`")],
        options: options(),
        rows: RowsFrom::Format { default: "text", extra: metadata_columns },
        rewinds: true,
        table: false,
        mode: appends,
        feature: Some(kafka::FEATURE),
        conflicts: |endpoint| sole_records(endpoint).into_iter().chain(tls::client_conflicts(&endpoint.settings)).collect(),
        sample: None,
        open: SourceEntry::by(open),
    }
}

fn options() -> Vec<OptionSpec> {
    let whole = OptionKind::Integer { min: 0, max: i64::MAX };
    let offsets = OptionKind::Map(Box::new(whole.clone()));
    let start = OptionKind::AnyOf(vec![OptionKind::Symbol(START), OptionKind::Timestamp, offsets]);
    let metadata = OptionKind::List(Box::new(OptionKind::Symbol(METADATA)));
    let mut options = vec![
        OptionSpec::optional("pattern", OptionKind::Text, "a regular expression; every topic it matches is read"),
        OptionSpec::optional("partitions", OptionKind::List(Box::new(whole)), "only these partitions"),
        OptionSpec::with_default(
            "start",
            start,
            "earliest",
            "where reading starts: a word, a time, or an offset for each partition",
        ),
        OptionSpec::with_default(
            "isolation",
            OptionKind::Symbol(ISOLATION),
            "read_committed",
            "what becomes of messages in transactions",
        ),
        OptionSpec::with_default(
            "on_data_loss",
            OptionKind::Symbol(DATA_LOSS),
            "fail",
            "what happens when messages are gone that were not read",
        ),
        OptionSpec::with_default("read", OptionKind::Symbol(READ), "direct", "who decides which partitions are read"),
        OptionSpec::optional(
            "group",
            OptionKind::Text,
            "the group that offsets are committed to after delivery; the pipeline's name otherwise",
        ),
        OptionSpec::optional("max_rate_per_partition", COUNT, "at most so many messages a second of each partition"),
        OptionSpec::optional("min_rows", COUNT, "a batch waits for so many messages"),
        OptionSpec::with_default("max_delay", OptionKind::Duration, "15m", "the longest wait for `min_rows`"),
        OptionSpec::optional(
            "split_rows",
            COUNT,
            "a partition with more messages waiting is read in pieces of this size",
        ),
        OptionSpec::with_default(
            "tombstones",
            OptionKind::Symbol(TOMBSTONES),
            "skip",
            "what becomes of messages without a value",
        ),
        OptionSpec::optional("metadata", metadata, "columns about where a row comes from"),
    ];
    options.extend(kafka::registry());
    options.extend(kafka::connection());
    options
}

fn metadata_columns(settings: &Settings) -> Vec<Column> {
    let column = |word: &str| {
        let (name, slot) = match word {
            "key" => ("_key", Slot::nullable(Type::Bytes)),
            "headers" => {
                let value = Slot::nullable(Type::Bytes);
                ("_headers", Slot::required(Type::Map(Box::new(Type::String), Box::new(value))))
            }
            "topic" => ("_topic", Slot::required(Type::String)),
            "partition" => ("_partition", Slot::required(Type::Int32)),
            "offset" => ("_offset", Slot::required(Type::Int64)),
            "timestamp" => ("_timestamp", Slot::required(Type::Timestamp(None))),
            _ => return None,
        };
        Some(Column::new(name, slot))
    };
    settings.texts("metadata").into_iter().filter_map(column).collect()
}

#[cfg(feature = "kafka")]
use direct::Direct;

#[cfg(feature = "kafka")]
fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    Direct::open(endpoint)
}

#[cfg(not(feature = "kafka"))]
fn open(_: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    Err(NotRunnable("source `kafka` is not part of this build: build it with `--features kafka`".into()))
}
