//! Options of Redis' sources and sinks alike, the connection both use, and what its errors mean for a batch.

use std::path::PathBuf;
use std::time::Duration;

use redis::{Client, ClientTlsConfig, Connection, ConnectionAddr, IntoConnectionInfo, RedisError, TlsCertificates};

use crate::connect::backoff;
use crate::connect::net;
use crate::connect::secrets::Secret;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::{Conflict, OptionKind, OptionSpec, Settings};

/// The server and how it is spoken to.
pub fn connection() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::required(
            "url",
            OptionKind::Secret,
            "`redis://user:password@host:port/database`, or `rediss://` with TLS",
        ),
        OptionSpec::with_default("timeout", OptionKind::Duration, "30s", "how long connecting or an answer may take"),
    ];
    options.extend(net::client_tls().into_iter().filter(|o| o.name != "tls"));
    options.extend(net::reconnecting());
    options
}

/// A certificate without its key, or a key without its certificate.
pub(crate) fn conflicts(settings: &Settings) -> Vec<Conflict> {
    crate::connect::tls::client_conflicts(settings)
}

/// A server that connections are made to, each time with the secrets and certificates as they are then.
#[derive(Debug)]
pub(crate) struct Server {
    url: Secret,
    timeout: Duration,
    trusted: Option<PathBuf>,
    shown: Option<(PathBuf, Secret)>,
}

impl Server {
    /// As the options say.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let path = |option: &str| endpoint.settings.text(option).map(|path| endpoint.base.join(path));
        let url = Secret::of(endpoint, "url")?.ok_or_else(|| NotRunnable("`url` is missing".into()))?;
        let server = Server {
            url,
            timeout: backoff::time(&endpoint.settings, "timeout").unwrap_or(Duration::from_secs(30)),
            trusted: path("tls_ca"),
            shown: path("tls_cert").zip(Secret::of(endpoint, "tls_key")?),
        };
        server.client(None).map_err(NotRunnable)?;
        Ok(server)
    }

    /// Connects, to another node of the same cluster where one is named.
    pub(crate) fn connect(&self, node: Option<(&str, u16)>) -> Result<Connection, TaskError> {
        let client = self.client(node).map_err(TaskError::Stop)?;
        let connection =
            client.get_connection_with_timeout(self.timeout).map_err(|e| failed("connect to redis", &e))?;
        let timed = connection.set_read_timeout(Some(self.timeout));
        timed.and_then(|()| connection.set_write_timeout(Some(self.timeout))).map_err(|e| failed("use redis", &e))?;
        Ok(connection)
    }

    fn client(&self, node: Option<(&str, u16)>) -> Result<Client, String> {
        let url = self.url.value();
        // What is wrong with a URL is said without the URL, which holds a password.
        let info = url.as_str().into_connection_info();
        let mut info = info.map_err(|e| format!("`url` is no address of a redis server: {}", e.category()))?;
        if let Some((host, port)) = node {
            let addr = match info.addr().clone() {
                ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                    ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params }
                }
                _ => ConnectionAddr::Tcp(host.to_owned(), port),
            };
            info = info.set_addr(addr);
        }
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Client::open(info).map_err(|e| e.to_string());
        }
        let read = |path: &PathBuf| std::fs::read(path).map_err(|e| format!("cannot read `{}`: {e}", path.display()));
        let shown = self.shown.as_ref().map(|(certificate, key)| {
            Ok::<_, String>(ClientTlsConfig { client_cert: read(certificate)?, client_key: key.value().into_bytes() })
        });
        let tls =
            TlsCertificates { client_tls: shown.transpose()?, root_cert: self.trusted.as_ref().map(read).transpose()? };
        Client::build_with_tls(info, tls).map_err(|e| e.to_string())
    }
}

/// What an error means for the batch: most pass by, but nobody gets in with a wrong password.
pub(crate) fn failed(doing: &str, error: &RedisError) -> TaskError {
    let why = format!("cannot {doing}: {error}");
    let code = error.code().unwrap_or_default();
    let lasts = matches!(error.kind(), redis::ErrorKind::AuthenticationFailed | redis::ErrorKind::InvalidClientConfig)
        || matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM" | "WRONGTYPE");
    if lasts { TaskError::Stop(why) } else { TaskError::Retry(why) }
}
