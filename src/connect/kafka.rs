//! Options of Kafka's source and sink alike, and the cargo feature both need.

#[cfg(feature = "kafka")]
mod client;

use crate::connect::net;
use crate::plan::catalog::Feature;
use crate::plan::{OptionKind, OptionSpec};

#[cfg(feature = "kafka")]
pub(crate) use client::{WAIT, config, failed};

/// What brings the client.
pub const FEATURE: Feature = Feature { name: "kafka", built: cfg!(feature = "kafka") };

const SECURITY: &[(&str, &str)] = &[
    ("plaintext", "neither encrypted nor authenticated"),
    ("ssl", "encrypted"),
    ("sasl_plaintext", "authenticated, not encrypted"),
    ("sasl_ssl", "authenticated and encrypted"),
];

const SASL: &[(&str, &str)] = &[
    ("plain", "user and password as they are"),
    ("scram_sha_256", "user and password, never sent"),
    ("scram_sha_512", "user and password, never sent"),
    ("oauthbearer", "a token fetched from `token_url`"),
];

/// The brokers and how they are spoken to.
pub fn connection() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::required(
            "brokers",
            OptionKind::List(Box::new(OptionKind::Address)),
            "where to find the cluster; one broker is enough",
        ),
        OptionSpec::with_default(
            "security",
            OptionKind::Symbol(SECURITY),
            "plaintext",
            "how the brokers are spoken to",
        ),
        OptionSpec::optional("sasl", OptionKind::Symbol(SASL), "how this side proves who it is"),
        OptionSpec::optional("user", OptionKind::Text, "the user for `sasl`"),
        OptionSpec::optional("password", OptionKind::Secret, "the password for `sasl`"),
        OptionSpec::optional("token_url", OptionKind::Text, "where `oauthbearer` fetches its token"),
        OptionSpec::optional("kafka.*", passed_on(), "a setting of the client library, passed on as it is"),
    ];
    options.extend(net::client_tls().into_iter().filter(|o| o.name != "tls"));
    options
}

/// A schema registry.
pub fn registry() -> Vec<OptionSpec> {
    vec![
        OptionSpec::optional(
            "registry",
            OptionKind::Text,
            "the URL of a schema registry; values then start with a schema's number",
        ),
        OptionSpec::optional("registry_user", OptionKind::Text, "the registry's user"),
        OptionSpec::optional("registry_password", OptionKind::Secret, "the registry's password"),
    ]
}

fn passed_on() -> OptionKind {
    let whole = OptionKind::Integer { min: i64::MIN, max: i64::MAX };
    OptionKind::AnyOf(vec![OptionKind::Secret, whole, OptionKind::Bool])
}
