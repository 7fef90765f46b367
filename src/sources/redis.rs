//! `redis`: streams and channels of a Redis or Valkey server, and its keys as a table.

use crate::connect::{COUNT, net, texts};
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

const READ: &[(&str, &str)] = &[
    ("stream", "the entries of a stream, by their number"),
    ("group", "the entries of a stream, as a member of a consumer group"),
    ("channel", "what is published to a channel; cannot be read again"),
    ("keys", "hashes whose key matches; what a table does"),
];
const START: &[(&str, &str)] =
    &[("earliest", "with the oldest entry that is kept"), ("latest", "with entries that come after the start")];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::required("url", OptionKind::Secret, "`redis://user:password@host:port/database`"),
        OptionSpec::with_default("read", OptionKind::Symbol(READ), "stream", "what is read"),
        OptionSpec::with_default("start", OptionKind::Symbol(START), "earliest", "where reading a stream starts"),
        OptionSpec::optional("group", OptionKind::Text, "the consumer group for `read: group`"),
        OptionSpec::optional("consumer", OptionKind::Text, "the name within the group; the host's otherwise"),
        OptionSpec::with_default("cluster", OptionKind::Bool, "false", "whether the server is a node of a cluster"),
        OptionSpec::with_default("cache", OptionKind::Duration, "1m", "how long a table remembers what it looked up"),
        OptionSpec::with_default("cache_rows", COUNT, "100000", "how much a table remembers"),
    ];
    options.extend(net::reconnecting());
    SourceEntry {
        doc: Doc::new(
            "redis",
            "reads streams or channels of a Redis server",
            "redis(\"KEY\") { url: SECRET, schema: TYPE, OPTIONS }",
        )
        .details("An entry's fields are the columns of the same names. Valkey is spoken to in the same way.")
        .example(
            "source clicks = redis(\"clicks\") { url: env(\"REDIS_URL\"), schema: { user_id: string, page: string } }",
        )
        .alias("valkey"),
        args: vec![OptionSpec::required("keys", texts(), "streams, channels, or a pattern of keys")],
        options,
        rows: RowsFrom::Schema { default: None, extra: nothing_extra },
        rewinds: true,
        table: true,
        mode: appends,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(|_| Err(NotRunnable::not_yet("source", "redis"))),
    }
}
