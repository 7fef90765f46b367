//! PostgreSQL's source, table and sink alike: options, the server as its URL names it, and a session with it that speaks
//! the protocol of version 3 over the connections that everything else here uses.

mod decode;
mod encode;
mod login;
mod session;
mod types;
mod url;

use std::time::Duration;

use crate::connect::backoff;
use crate::connect::secrets::Secret;
use crate::connect::tls::ClientTls;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::{Conflict, OptionKind, OptionSpec, Settings};

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
pub(crate) use session::{Session, Trouble};
pub(crate) use types::{Target, fits, made, staged};

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

/// What of these does not go together.
pub(crate) fn conflicts(settings: &Settings) -> Option<Conflict> {
    let idle = settings.is_written("tls_ca") && settings.text("tls") != Some("verify");
    idle.then(|| {
        let message = "`tls_ca` means nothing without `tls: verify`";
        Conflict::between("tls_ca", message, "have the certificate checked:\n  tls: verify")
    })
}

/// When a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    Verify,
}

/// A server that sessions are made with, each time with the secrets as they are then.
#[derive(Debug)]
pub(crate) struct Server {
    url: Secret,
    mode: Mode,
    tls: ClientTls,
    connect: Duration,
    statement: Duration,
}

impl Server {
    /// As the options say.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let settings = &endpoint.settings;
        let url = Secret::of(endpoint, "url")?.ok_or_else(|| NotRunnable("`url` is missing".into()))?;
        url::Place::read(&url.value()).map_err(NotRunnable)?;
        let mode = match settings.text("tls") {
            Some("disable") => Mode::Disable,
            Some("require") => Mode::Require,
            Some("verify") => Mode::Verify,
            _ => Mode::Prefer,
        };
        let time = |name, otherwise| backoff::time(settings, name).unwrap_or(Duration::from_secs(otherwise));
        Ok(Server {
            url,
            mode,
            tls: ClientTls::of(endpoint)?,
            connect: time("connect_timeout", 10),
            statement: time("statement_timeout", 60),
        })
    }
}

/// A name as SQL takes it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it.
pub(crate) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

/// `table`, or `schema.table`, as SQL takes it.
pub(crate) fn table(name: &str) -> String {
    name.splitn(2, '.').map(quoted).collect::<Vec<_>>().join(".")
}

/// What trouble means for a batch.
pub(crate) fn failed(doing: &str, trouble: &Trouble) -> TaskError {
    let why = format!("cannot {doing}: {trouble}");
    if trouble.passes() { TaskError::Retry(why) } else { TaskError::Stop(why) }
}
