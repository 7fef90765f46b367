//! `http`: sends batches to an HTTP endpoint.

mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use arrow::array::RecordBatch;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::connect::secrets::Secret;
use crate::connect::tls::{self, ClientTls};
use crate::connect::{COUNT, backoff, net};
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, Sink};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, OptionValue, Settings, SinkEntry};
use crate::sinks::{shared, takes_anything};

use parts::{Part, Staged, Writing};

const METHOD: &[(&str, &str)] = &[("post", "POST"), ("put", "PUT"), ("patch", "PATCH")];
const BODY: &[(&str, &str)] =
    &[("lines", "an object a line"), ("array", "one array of objects"), ("single", "a request for each row")];

/// How much of an answer is told.
const TOLD: u64 = 1_000;

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
            .details(
                "A batch is sent in as many requests as it takes. One that is answered with 408, 429 or 5xx, or not at \
                 all, is sent again, after the time that `Retry-After` gives; the ones before it are not. Rows that are \
                 refused with another 4xx are rejected, with the answer's text as the reason. The idempotency key names \
                 pipeline, stream, batch and part, and is the same whenever a request is sent again, also after a \
                 restart from a checkpoint.",
            )
            .example("from orders |> into http(\"https://example.org/orders\") { token: secret(\"orders/token\") }")
            .example(
                "from orders |> into http(\"https://example.org/orders\") { body: array, batch_rows: 100, headers: { \
                 \"X-Key\": secret(\"orders/key\") } } rejected to refused",
            ),
        args: vec![OptionSpec::required("url", OptionKind::Text, "the endpoint")],
        options,
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |_| "at least once (with an idempotency key)".into(),
        target: shared,
        feature: None,
        conflicts,
        open: SinkEntry::by(open),
    }
}

fn uri(settings: &Settings) -> Result<Uri, Conflict> {
    let url = settings.text("url").unwrap_or_default();
    let parsed: Option<Uri> = url.parse().ok();
    let uri = parsed.filter(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
    uri.ok_or_else(|| {
        let help = "for example:\n  http(\"https://example.org/orders\")";
        Conflict::value("url", format!("`{url}` is no URL"), help)
    })
}

fn header(option: &'static str, name: &str) -> Result<HeaderName, Conflict> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        let help = "a header's name consists of letters, digits and `-`:\n  \"X-Key\"";
        Conflict::value(option, format!("`{name}` cannot name a header"), help)
    })
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let mut found = tls::client_conflicts(settings);
    match uri(settings) {
        Ok(uri) if uri.scheme_str() == Some("http") => {
            found = tls::idle(
                settings,
                "`https://`",
                "what is sent in the clear shows no certificates; write:\n  https://",
            );
        }
        Ok(_) => {}
        Err(wrong) => found.push(wrong),
    }
    if let Some(OptionValue::Map(headers)) = settings.get("headers") {
        found.extend(headers.keys().filter_map(|name| header("headers", name).err()));
    }
    found.extend(header("idempotency_header", idempotency_header(settings)).err());
    found.extend(parts::conflict(endpoint));
    found
}

fn idempotency_header(settings: &Settings) -> &str {
    settings.text("idempotency_header").unwrap_or("Idempotency-Key")
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let refused = |conflict: Conflict| NotRunnable(conflict.message);
    let headers = Secret::map_of(endpoint, "headers")?.into_iter();
    let sink = Http {
        writing: Writing::of(endpoint)?,
        uri: uri(settings).map_err(refused)?,
        method: match settings.text("method") {
            Some("put") => Method::PUT,
            Some("patch") => Method::PATCH,
            _ => Method::POST,
        },
        headers: headers
            .map(|(name, value)| Ok((header("headers", &name).map_err(refused)?, value)))
            .collect::<Result<_, _>>()?,
        token: Secret::of(endpoint, "token")?,
        key_header: header("idempotency_header", idempotency_header(settings)).map_err(refused)?,
        key: format!("{}/{}", endpoint.pipeline, endpoint.name),
        timeout: backoff::time(settings, "timeout").unwrap_or(Duration::from_secs(30)),
        tls: ClientTls::of(endpoint)?,
        agent: None,
        progress: Progress::default(),
        wait: None,
    };
    Ok(Box::new(sink))
}

struct Http {
    writing: Writing,
    uri: Uri,
    method: Method,
    headers: Vec<(HeaderName, Secret)>,
    token: Option<Secret>,
    key_header: HeaderName,
    /// What the key of every request starts with.
    key: String,
    timeout: Duration,
    tls: ClientTls,
    /// Keeps connections; made anew after a failure, with the certificates as they are then.
    agent: Option<Agent>,
    progress: Progress,
    /// How long the endpoint asked to be left alone.
    wait: Option<Duration>,
}

/// How far a batch was delivered before a request failed.
#[derive(Default)]
struct Progress {
    batch: BatchTime,
    /// So many parts need not be sent again.
    done: usize,
    rejected: Vec<(RecordBatch, String)>,
}

impl Sink for Http {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        Ok(Artifact { bytes: self.writing.stage(rows)?, rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let staged = Staged::read(&artifact.bytes).ok_or_else(|| TaskError::Bug("a staged batch is cut off".into()))?;
        if self.progress.batch != *batch {
            self.progress = Progress { batch: *batch, ..Progress::default() };
        }
        let mut first_row = 0;
        for (number, part) in staged.parts.iter().enumerate() {
            if number >= self.progress.done {
                if let Some(reason) = self.send(batch, number, part)? {
                    let rows = staged.rows(first_row, part.rows).map_err(|e| TaskError::Bug(e.to_string()))?;
                    self.progress.rejected.push((rows, reason));
                }
                self.progress.done = number + 1;
            }
            first_row += part.rows;
        }
        let progress = std::mem::take(&mut self.progress);
        Ok(Delivered { rejected: progress.rejected })
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }

    fn asked_to_wait(&mut self) -> Option<Duration> {
        self.wait.take()
    }
}

impl Http {
    /// Sends a part; gives back why it was refused, if it was.
    fn send(&mut self, batch: &BatchTime, number: usize, part: &Part<'_>) -> Result<Option<String>, TaskError> {
        let request = self.request(batch, number, part)?;
        let agent = match self.agent.take() {
            Some(agent) => agent,
            None => self.connect().map_err(|why| TaskError::Retry(format!("cannot send to `{}`: {why}", self.uri)))?,
        };
        let answer = agent.run(request);
        let mut answer = answer.map_err(|e| TaskError::Retry(format!("cannot send to `{}`: {e}", self.uri)))?;
        let status = answer.status();
        let text = told(&mut answer);
        self.agent = Some(agent);
        if status.is_success() {
            return Ok(None);
        }
        let said = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
        let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if again || status.is_server_error() {
            self.wait = answer.headers().get(RETRY_AFTER).and_then(seconds);
            return Err(TaskError::Retry(format!("`{}` answered {said}", self.uri)));
        }
        if status.is_client_error() {
            return Ok(Some(said));
        }
        let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        Err(TaskError::Stop(format!("`{}` answered {status} and points to `{to}`: write that address", self.uri)))
    }

    fn request(&self, batch: &BatchTime, number: usize, part: &Part<'_>) -> Result<Request<Vec<u8>>, TaskError> {
        let mut headers = BTreeMap::new();
        let stop = |name: &HeaderName| TaskError::Stop(format!("header `{name}` holds what no header can hold"));
        let mut put = |name: &HeaderName, text: &str| {
            let value = HeaderValue::from_str(text).map_err(|_| stop(name))?;
            headers.insert(name.as_str().to_owned(), value);
            Ok(())
        };
        put(&CONTENT_TYPE, self.writing.content_type())?;
        let digest = twox_hash::XxHash3_64::oneshot(part.body);
        // The time tells runs apart, the digest two sinks of one stream.
        let key = format!("{}/{}-{}/{number}-{digest:016x}", self.key, batch.number, batch.micros);
        put(&self.key_header, &key)?;
        if let Some(token) = &self.token {
            put(&AUTHORIZATION, &format!("Bearer {}", token.value()))?;
        }
        self.headers.iter().try_for_each(|(name, secret)| put(name, &secret.value()))?;
        let mut request = Request::builder().method(self.method.clone()).uri(self.uri.clone());
        for (name, mut value) in headers {
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        request.body(part.body.to_vec()).map_err(|e| TaskError::Bug(e.to_string()))
    }

    fn connect(&self) -> Result<Agent, String> {
        let trusted = self.tls.trusted()?;
        let roots: Vec<_> = trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        let shown = match self.tls.shown_in_pem()? {
            Some((certificates, key)) => {
                let chain: Vec<_> = certificates.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
                let key = PrivateKey::from_pem(key.as_bytes()).map_err(|e| format!("`tls_key`: {e}"))?;
                Some(ClientCert::new_with_certs(&chain, key))
            }
            None => None,
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).client_cert(shown).build();
        let config = Agent::config_builder().tls_config(tls).timeout_global(Some(self.timeout));
        let config = config.http_status_as_error(false).max_redirects(0).max_redirects_will_error(false);
        Ok(config.user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION"))).build().new_agent())
    }
}

/// The front of what is said, on one line.
fn told(answer: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is not told; the status says enough.
    let _ = answer.body_mut().as_reader().take(TOLD).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn seconds(header: &HeaderValue) -> Option<Duration> {
    header.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
