//! Options of everything that talks over a network: TLS, and how a lost peer is found again.

use crate::plan::{OptionKind, OptionSpec};

/// TLS of a client.
pub fn client_tls() -> Vec<OptionSpec> {
    vec![
        OptionSpec::with_default("tls", OptionKind::Bool, "false", "whether the connection is encrypted"),
        OptionSpec::optional("tls_ca", OptionKind::Path, "the certificates to trust instead of the system's, in PEM"),
        OptionSpec::optional("tls_cert", OptionKind::Path, "the certificate to show to the server, in PEM"),
        OptionSpec::optional("tls_key", OptionKind::Secret, "the key of `tls_cert`, in PEM"),
    ]
}

/// TLS of a server.
pub fn server_tls() -> Vec<OptionSpec> {
    vec![
        OptionSpec::optional("tls_cert", OptionKind::Path, "the certificate to show to clients, in PEM; turns TLS on"),
        OptionSpec::optional("tls_key", OptionKind::Secret, "the key of `tls_cert`, in PEM"),
        OptionSpec::optional(
            "tls_client_ca",
            OptionKind::Path,
            "clients must show a certificate signed by one of these",
        ),
    ]
}

/// How a lost peer is found again.
pub fn reconnecting() -> Vec<OptionSpec> {
    vec![
        OptionSpec::with_default(
            "backoff",
            OptionKind::Duration,
            "1s",
            "how long it waits before the second try; doubles with each",
        ),
        OptionSpec::with_default("max_backoff", OptionKind::Duration, "30s", "the longest wait between two tries"),
    ]
}

/// How long a record may be.
pub fn records(longest: &'static str) -> OptionSpec {
    OptionSpec::with_default("max_record", OptionKind::Size, longest, "a longer record is a bad row")
}

/// What is taken in while a batch is being worked on.
pub fn receiving() -> Vec<OptionSpec> {
    vec![
        OptionSpec::with_default(
            "block_interval",
            OptionKind::Duration,
            "200ms",
            "how often what came in is cut into a block",
        ),
        OptionSpec::with_default(
            "buffer",
            OptionKind::Size,
            "64mb",
            "how much may wait for the next batch before the sender is held back",
        ),
    ]
}
