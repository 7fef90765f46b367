//! `http`: sends batches to an HTTP endpoint.

use crate::connect::{COUNT, net};
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::{shared, takes_anything};

const METHOD: &[(&str, &str)] = &[("post", "POST"), ("put", "PUT"), ("patch", "PATCH")];
const BODY: &[(&str, &str)] =
    &[("lines", "an object a line"), ("array", "one array of objects"), ("single", "a request for each row")];

/// The entry.
pub fn entry() -> SinkEntry {
    let mut options = vec![
        OptionSpec::with_default("method", OptionKind::Symbol(METHOD), "post", "the method"),
        OptionSpec::with_default("body", OptionKind::Symbol(BODY), "lines", "how the rows of a request are written"),
        OptionSpec::optional("headers", OptionKind::Map(Box::new(OptionKind::Secret)), "further headers"),
        OptionSpec::optional("token", OptionKind::Secret, "sent as `Authorization: Bearer TOKEN`"),
        OptionSpec::with_default(
            "idempotency_header",
            OptionKind::Text,
            "\"Idempotency-Key\"",
            "the header that says which batch and part a request is",
        ),
        OptionSpec::with_default("batch_rows", COUNT, "1000", "at most so many rows a request"),
        OptionSpec::with_default("batch_bytes", OptionKind::Size, "1mb", "at most so many bytes a request"),
        OptionSpec::with_default("timeout", OptionKind::Duration, "30s", "how long an answer may take"),
    ];
    options.extend(net::reconnecting());
    options.extend(net::client_tls().into_iter().filter(|o| o.name != "tls"));
    SinkEntry {
        doc: Doc::new("http", "sends every batch to an HTTP endpoint", "http(\"URL\") { OPTIONS }")
            .details("A request that fails with 408, 429 or 5xx is sent again; one that is refused with another 4xx is rejected.")
            .example("from orders |> into http(\"https://example.org/orders\") { token: secret(\"orders/token\") }"),
        args: vec![OptionSpec::required("url", OptionKind::Text, "the endpoint")],
        options,
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |_| "at least once (with an idempotency key)".into(),
        target: shared,
        feature: None,
        open: SinkEntry::by(|_| Err(NotRunnable::not_yet("sink", "http"))),
    }
}
