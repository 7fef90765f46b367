//! Options of PostgreSQL's source, table and sink alike.

use crate::plan::{OptionKind, OptionSpec};

const TLS: &[(&str, &str)] = &[
    ("disable", "never encrypted"),
    ("prefer", "encrypted where the server can"),
    ("require", "encrypted, whoever the server is"),
    ("verify", "encrypted, and the server's certificate is checked"),
];

/// The server and how it is spoken to.
pub fn connection() -> Vec<OptionSpec> {
    vec![
        OptionSpec::required("url", OptionKind::Secret, "`postgres://user:password@host:port/database`"),
        OptionSpec::with_default("tls", OptionKind::Symbol(TLS), "prefer", "whether the connection is encrypted"),
        OptionSpec::optional("tls_ca", OptionKind::Path, "the certificates to trust instead of the system's, in PEM"),
        OptionSpec::with_default("connect_timeout", OptionKind::Duration, "10s", "how long a connection may take"),
        OptionSpec::with_default("statement_timeout", OptionKind::Duration, "1m", "how long one statement may take"),
    ]
}
