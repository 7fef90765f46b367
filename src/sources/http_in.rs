//! `http_in`: an HTTP server whose clients post rows.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Read;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::connect::net;
use crate::connect::secrets::Secret;
use crate::connect::tls::{self, ServerTls};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::NotRunnable;
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Source};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::clients::{self, Door, Server};
use crate::sources::receiver::{Feed, Once, Receiver, Reserved, whole};
use crate::sources::{appends, cutter, nothing_extra};

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many reasons a client is told.
const TOLD: usize = 10;

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::optional("token", OptionKind::Secret, "clients must send it as `Authorization: Bearer TOKEN`"),
        OptionSpec::with_default("max_body", OptionKind::Size, "16mb", "a larger body is refused with 413"),
        clients::option(),
    ];
    options.extend(net::receiving());
    options.extend(net::server_tls());
    SourceEntry {
        doc: Doc::new(
            "http_in",
            "takes in the bodies of POST requests",
            "http_in(\"HOST:PORT\", \"/PATH\") { OPTIONS }",
        )
        .details(
            "Each body is read as a file of the format; it may be packed with gzip. The answers:\n\n\
             - 204: the rows are taken in; those of them that could not be read are bad rows.\n\
             - 400: none could be read, and the reasons why. Nothing is taken in.\n\
             - 401, 404, 405, 413, 415: the token, path, method, length or packing is wrong.\n\
             - 429: `buffer` is full; `Retry-After` says when to come again.\n\
             - 503: the pipeline ends, or cannot write its checkpoint.\n\n\
             Where the pipeline has a checkpoint, a body that was answered with 204 is in it: no crash loses or repeats \
             its rows.\n\n\
             There is no `--once` for a server: such a run takes what has come until then.",
        )
        .example("source orders = http_in(\"127.0.0.1:8080\", \"/orders\") { schema: { id: string, amount: float64 } }")
        .example(
            "source orders = http_in(\"0.0.0.0:8443\", \"/orders\") { token: secret(\"orders/token\"), tls_cert: \
             \"server.pem\", tls_key: secret(\"server.key\"), schema: { id: string, amount: float64 } } bad drop",
        ),
        args: vec![
            OptionSpec::required("address", OptionKind::Address, "where it listens"),
            OptionSpec::with_default("path", OptionKind::Text, "\"/\"", "the path that clients post to"),
        ],
        options,
        rows: RowsFrom::Format { default: "json", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        conflicts,
        sample: None,
        open: SourceEntry::by(open),
    }
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let path = endpoint.settings.text("path").filter(|path| !path.starts_with('/'));
    let path = path.map(|path| {
        let help = format!("a path starts at the root:\n  \"/{path}\"");
        Conflict::value("path", format!("`{path}` is no path of a URL"), help)
    });
    path.into_iter().chain(tls::server_conflicts(&endpoint.settings)).collect()
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let address = settings.text("address").unwrap_or_default().to_owned();
    let path = settings.text("path").unwrap_or("/");
    let codec = cutter::codec(endpoint, &endpoint.schema)?;
    let desk = Arc::new(Desk {
        codec: Arc::clone(&codec),
        path: path.to_owned(),
        token: Secret::of(endpoint, "token")?,
        longest: settings.size("max_body").unwrap_or(u64::MAX),
    });
    let tls = ServerTls::of(endpoint)?.map(Arc::new);
    let most = Server::most(settings);
    Ok(Receiver::reading(endpoint, codec, Once::TakesWhatCame, move |feed| {
        let door = Door::tcp(&address)?;
        let server = Server { door, tls: tls.clone(), most, feed: feed.clone() };
        let desk = Arc::clone(&desk);
        server.serve(move |stream, name, mut told| {
            let (desk, feed) = (Arc::clone(&desk), feed.clone());
            async move {
                let name: Arc<str> = name.into();
                let service = service_fn(|request| {
                    let (desk, feed, name) = (Arc::clone(&desk), feed.clone(), Arc::clone(&name));
                    async move { Ok::<_, Infallible>(desk.answer(request, &name, &feed).await) }
                });
                let connection =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let ended = match told.or(connection.as_mut()).await {
                    Some(ended) => ended,
                    // The request at hand is still answered.
                    None => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(e) = ended {
                    tracing::debug!(client = %name, %e, "the connection is lost");
                }
            }
        })
    }))
}

/// What answers requests.
struct Desk {
    codec: Arc<dyn FormatCodec>,
    path: String,
    token: Option<Secret>,
    longest: u64,
}

/// An answer other than that all went well.
struct Refusal {
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    text: String,
}

fn refuse(status: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal { status, header: None, text: text.into() }
}

impl Refusal {
    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Refusal { header: Some((name, HeaderValue::from_static(value))), ..self }
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text + "\n"));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.headers_mut().extend(self.header);
        response
    }
}

impl Desk {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, client: &str, feed: &Feed) -> Response<Body> {
        match self.take(request, client, feed).await {
            Ok(()) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Err(refusal) => refusal.response(),
        }
    }

    async fn take(self: Arc<Self>, request: Request<Incoming>, client: &str, feed: &Feed) -> Result<(), Refusal> {
        if request.uri().path() != self.path {
            return Err(refuse(StatusCode::NOT_FOUND, format!("post to {}", self.path)));
        }
        if let Some(token) = &self.token
            && !shows(&request, &token.value())
        {
            let refusal = refuse(StatusCode::UNAUTHORIZED, "send the token as Authorization: Bearer TOKEN");
            return Err(refusal.with(WWW_AUTHENTICATE, "Bearer"));
        }
        if request.method() != Method::POST {
            return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "send rows with POST").with(ALLOW, "POST"));
        }
        let packed = match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(_) => return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body is sent as it is or with gzip")),
        };
        let read = self.body(request.into_body(), feed);
        let late = |_| refuse(StatusCode::REQUEST_TIMEOUT, "the body takes too long");
        let (bytes, room) = tokio::time::timeout(PATIENCE, read).await.map_err(late)??;
        let desk = Arc::clone(&self);
        let decoded = tokio::task::spawn_blocking(move || desk.decode(bytes, packed)).await;
        let (decoded, bytes) =
            decoded.map_err(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be read"))??;
        if decoded.blocks.iter().all(|block| block.num_rows() == 0) && !decoded.bad.is_empty() {
            return Err(refuse(StatusCode::BAD_REQUEST, reasons(&decoded.bad)));
        }
        if room.give(client, bytes, decoded).await {
            return Ok(());
        }
        let full = refuse(StatusCode::SERVICE_UNAVAILABLE, "nothing is taken in any more; come again later");
        Err(full.with(RETRY_AFTER, "1"))
    }

    /// The whole body, while there is room for it.
    async fn body(&self, mut body: Incoming, feed: &Feed) -> Result<(Vec<u8>, Reserved), Refusal> {
        let longest = self.longest.min(feed.capacity());
        let too_long = || refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {longest} bytes"));
        if body.size_hint().lower() > longest {
            return Err(too_long());
        }
        let (mut bytes, mut room) = (Vec::new(), feed.room());
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("the body is cut off: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if (bytes.len() + data.len()) as u64 > longest {
                return Err(too_long());
            }
            if !room.more(data.len() as u64) {
                let full = refuse(StatusCode::TOO_MANY_REQUESTS, "too much is waiting; come again later");
                return Err(full.with(RETRY_AFTER, "1"));
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, room))
    }

    /// The rows, and the body unpacked.
    fn decode(&self, bytes: Vec<u8>, packed: bool) -> Result<(Decoded, Vec<u8>), Refusal> {
        let bytes = if packed { self.unpacked(&bytes)? } else { bytes };
        match whole(self.codec.as_ref(), &bytes) {
            Ok(decoded) => Ok((decoded, bytes)),
            Err(e) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())),
        }
    }

    fn unpacked(&self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut out = Vec::new();
        let read = MultiGzDecoder::new(bytes).take(self.longest.saturating_add(1)).read_to_end(&mut out);
        read.map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("the body is not gzip: {e}")))?;
        if out.len() as u64 > self.longest {
            let text = format!("a body has at most {} bytes, unpacked", self.longest);
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(out)
    }
}

/// Whether a request shows the token. How long that takes tells nothing of how much of it is right.
fn shows(request: &Request<Incoming>, token: &str) -> bool {
    let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, shown)) = header.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && same(shown, token.as_bytes())
}

fn same(shown: &[u8], token: &[u8]) -> bool {
    let differs = shown.iter().enumerate().fold(u8::from(shown.len() != token.len()), |differs, (i, byte)| {
        differs | (byte ^ token.get(i % token.len().max(1)).copied().unwrap_or_default())
    });
    std::hint::black_box(differs) == 0 && !token.is_empty()
}

/// Why no row could be read, a line each.
fn reasons(bad: &[BadRow]) -> String {
    let mut lines: Vec<String> =
        bad.iter().take(TOLD).map(|bad| format!("line {}: {}", bad.line + 1, bad.reason)).collect();
    if bad.len() > TOLD {
        lines.push(format!("and {} more", bad.len() - TOLD));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use crate::connect::tests::{ALL, Reading, certificates, free_address, source};

    fn serving(options: &str, base: &Path) -> (Reading, String) {
        let address = free_address();
        let text =
            format!("source x = http_in(\"{address}\", \"/rows\") {{ schema: {{ id: int64 }}, {options} }} bad drop");
        (Reading::start(source(&text, base).unwrap(), ALL), format!("http://{address}/rows"))
    }

    fn here() -> &'static Path {
        Path::new(".")
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().new_agent()
    }

    /// The status, and what is said.
    fn said(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
        let mut response = response.unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    fn post(url: &str, body: &str) -> (u16, String) {
        said(agent().post(url).send(body))
    }

    #[test]
    fn bodies_are_rows_and_bad_ones_among_them_say_whose_they_are() {
        let (mut reading, url) = serving("", here());
        assert_eq!(post(&url, "{\"id\": 1}\nrubbish\n{\"id\": 2}"), (204, String::new()));
        assert_eq!(post(&url, ""), (204, String::new()));
        reading.until(3);
        assert_eq!(reading.rows, ["{\"id\":1}", "{\"id\":2}"]);
        assert!(reading.bad[0].place.starts_with("127.0.0.1:") && reading.bad[0].line == 2, "{:?}", reading.bad);
    }

    #[test]
    fn a_body_without_a_row_is_refused_with_the_reasons() {
        let (mut reading, url) = serving("", here());
        let (status, text) = post(&url, "{\"id\": null}\nrubbish");
        assert_eq!(status, 400);
        assert!(text.starts_with("line 1: field `id` is missing or null\nline 2: not JSON"), "{text}");
        assert_eq!(reading.read().unwrap(), 0);
        assert_eq!(reading.source.backlog().bytes, Some(0));
    }

    #[test]
    fn path_method_token_and_length_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        std::fs::write(folder.path().join("secrets/token"), "sesame\n").unwrap();
        let (mut reading, url) = serving("token: secret(\"token\"), max_body: 20b", folder.path());
        assert_eq!(post(&format!("{url}/no"), "").0, 404);
        assert_eq!(post(&url, "{\"id\": 1}").0, 401);
        let with = |token: &str, body: &str| {
            said(agent().post(&url).header("Authorization", &format!("Bearer {token}")).send(body))
        };
        for wrong in ["sesam", "sesamesesame", "sesamf", ""] {
            assert_eq!(with(wrong, "{\"id\": 1}").0, 401, "{wrong}");
        }
        assert_eq!(said(agent().get(&url).header("Authorization", "Bearer sesame").call()).0, 405);
        assert_eq!(with("sesame", "{\"id\": 1}           {\"id\"").0, 413);
        assert_eq!(with("sesame", "{\"id\": 1}").0, 204);
        std::fs::write(folder.path().join("secrets/token"), "changed").unwrap();
        assert_eq!(with("sesame", "{\"id\": 1}").0, 401, "a token that was changed holds at once");
        assert_eq!(with("changed", "{\"id\": 2}").0, 204);
        assert_eq!(reading.until(2).rows, ["{\"id\":1}", "{\"id\":2}"]);
    }

    #[test]
    fn who_comes_when_it_is_full_is_told_to_come_again() {
        let (mut reading, url) = serving("buffer: 15b", here());
        assert_eq!(post(&url, "{\"id\": 1}").0, 204);
        let full = agent().post(&url).send("{\"id\": 2}").unwrap();
        assert_eq!((full.status().as_u16(), full.headers()["Retry-After"].to_str().unwrap()), (429, "1"));
        assert_eq!(post(&url, "{\"id\": 1234567890}").0, 413, "what could never be taken in is not put off");
        reading.until(1);
        assert_eq!(post(&url, "{\"id\": 3}").0, 204);
        assert_eq!(reading.until(2).rows, ["{\"id\":1}", "{\"id\":3}"]);
    }

    #[test]
    fn bodies_may_be_packed_but_no_bombs() {
        let (mut reading, url) = serving("max_body: 1kb", here());
        let pack = |text: &str| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap()
        };
        let send = |how: &str, body: &[u8]| said(agent().post(&url).header("Content-Encoding", how).send(body)).0;
        assert_eq!(send("gzip", &pack("{\"id\": 1}")), 204);
        assert_eq!(send("gzip", &pack(&" ".repeat(100_000))), 413);
        assert_eq!(send("gzip", b"no gzip"), 400);
        assert_eq!(send("br", b""), 415);
        assert_eq!(reading.until(1).rows, ["{\"id\":1}"]);
    }

    #[test]
    fn it_speaks_tls() {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let (mut reading, url) = serving("tls_cert: \"server.pem\", tls_key: secret(\"server.key\")", folder.path());
        let authority = std::fs::read(folder.path().join("ca.pem")).unwrap();
        let roots = ureq::tls::RootCerts::new_with_certs(&[ureq::tls::Certificate::from_pem(&authority).unwrap()]);
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent = ureq::Agent::config_builder().tls_config(tls).build().new_agent();
        let answer = agent.post(url.replace("http:", "https:")).send("{\"id\": 1}").unwrap();
        assert_eq!(answer.status().as_u16(), 204);
        assert_eq!(reading.until(1).rows, ["{\"id\":1}"]);
    }
}
