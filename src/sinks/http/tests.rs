//! Against a server that answers what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::connect::tests::{free_address, rows, sink, texts};

/// A request as it came.
#[derive(Debug)]
struct Came {
    head: String,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server that gives these answers, one to each request.
fn server(answers: &'static [&'static str]) -> (String, Receiver<Came>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/rows", server.local_addr().unwrap());
    let (to, came) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let mut stream = server.accept().unwrap().0;
            to.send(request(&stream)).unwrap();
            if answer.is_empty() {
                continue;
            }
            let (status, text) = answer.split_once('|').unwrap_or((answer, ""));
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            stream.write_all((head + text).as_bytes()).unwrap();
        }
    });
    (url, came)
}

fn request(stream: &TcpStream) -> Came {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0);
    }
    let came = Came { head, body: String::new() };
    let mut body = vec![0; came.header("Content-Length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Came { body: String::from_utf8(body).unwrap(), ..came }
}

fn to(url: &str, options: &str, base: &Path) -> Box<dyn Sink> {
    sink(&format!("into http(\"{url}\") {{ {options} }}"), base).unwrap()
}

const BATCH: BatchTime = BatchTime { number: 4, micros: 5_000_000 };

fn three() -> [RecordBatch; 2] {
    [rows(&[(1, Some("a")), (2, None)]), rows(&[(3, Some("c"))])]
}

fn refused(delivered: &Delivered) -> Vec<(Vec<String>, &str)> {
    delivered.rejected.iter().map(|(rows, reason)| (texts(rows), reason.as_str())).collect()
}

#[test]
fn a_batch_is_sent_in_parts_with_keys_headers_and_a_token() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/token"), "sesame\n").unwrap();
    let (url, came) = server(&["200 OK", "204 No Content"]);
    let options = "token: secret(\"token\"), headers: { `X-Who`: env(\"PATH\") }, batch_rows: 2, method: put";
    let mut sink = to(&url, options, folder.path());
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    assert_eq!(artifact.rows, 3);
    assert!(sink.deliver(&BATCH, &artifact).unwrap().rejected.is_empty());
    let (first, second) = (came.recv().unwrap(), came.recv().unwrap());
    assert!(first.head.starts_with("PUT /rows HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(first.body, "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n");
    assert_eq!(second.body, "{\"id\":3,\"name\":\"c\"}\n");
    assert_eq!(first.header("Authorization"), Some("Bearer sesame"));
    assert_eq!(first.header("X-Who"), Some(std::env::var("PATH").unwrap().as_str()));
    assert_eq!(first.header("Content-Type"), Some("application/x-ndjson"));
    let key = |came: &Came| came.header("Idempotency-Key").unwrap().to_owned();
    assert!(key(&first).starts_with("p/x/4-5000000/0-") && key(&second).starts_with("p/x/4-5000000/1-"));
}

#[test]
fn rows_can_be_sent_as_an_array_or_one_by_one_and_never_in_bodies_that_are_too_large() {
    let (url, came) = server(&["200 OK", "200 OK", "200 OK", "200 OK", "200 OK", "200 OK", "200 OK"]);
    for options in ["body: array", "body: single", "batch_bytes: 45b", "format: csv"] {
        let mut sink = to(&url, options, Path::new("."));
        let artifact = sink.stage(&BATCH, &three()).unwrap();
        sink.deliver(&BATCH, &artifact).unwrap();
    }
    let bodies: Vec<_> = came.iter().map(|came| came.body).collect();
    let [one, two, three] = ["{\"id\":1,\"name\":\"a\"}", "{\"id\":2,\"name\":null}", "{\"id\":3,\"name\":\"c\"}"];
    let expected = [
        format!("[{one},{two},{three}]"),
        one.to_owned(),
        two.to_owned(),
        three.to_owned(),
        format!("{one}\n"),
        format!("{two}\n{three}\n"),
        "id,name\n1,a\n2,\n3,c\n".to_owned(),
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn what_fails_for_now_is_sent_again_with_the_same_key_and_nothing_else() {
    let answers = &["200 OK", "503 Busy\r\nRetry-After: 7|later", "", "200 OK"];
    let (url, came) = server(answers);
    let mut sink = to(&url, "batch_rows: 2", Path::new("."));
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    let failed = sink.deliver(&BATCH, &artifact).unwrap_err();
    assert_eq!(failed, TaskError::Retry(format!("`{url}` answered 503 Service Unavailable: later")));
    assert_eq!((sink.asked_to_wait(), sink.asked_to_wait()), (Some(Duration::from_secs(7)), None));
    assert!(matches!(sink.deliver(&BATCH, &artifact), Err(TaskError::Retry(_))), "the connection was closed");
    sink.deliver(&BATCH, &artifact).unwrap();
    let came: Vec<_> = came.iter().collect();
    let keys: Vec<_> = came.iter().map(|came| came.header("Idempotency-Key").unwrap()).collect();
    assert!(keys[0] != keys[1] && keys[1] == keys[2] && keys[2] == keys[3], "{keys:?}");
    let gone = to(&format!("http://{}/", free_address()), "", Path::new(".")).deliver(&BATCH, &artifact);
    assert!(matches!(gone, Err(TaskError::Retry(_))));
}

#[test]
fn rows_that_are_refused_come_back_with_the_reason() {
    let (url, _came) = server(&["200 OK", "422 No|id 2  is\n taken", "200 OK"]);
    let mut sink = to(&url, "body: single", Path::new("."));
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    let delivered = sink.deliver(&BATCH, &artifact).unwrap();
    let row = vec!["{\"id\":2}".to_owned()];
    assert_eq!(refused(&delivered), [(row, "422 Unprocessable Entity: id 2 is taken")]);
}

#[test]
fn what_was_refused_before_a_failure_is_not_forgotten() {
    let (url, _came) = server(&["400 No", "500 Oh", "404 Gone|nothing here"]);
    let mut sink = to(&url, "batch_rows: 2", Path::new("."));
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    assert!(sink.deliver(&BATCH, &artifact).is_err());
    let delivered = sink.deliver(&BATCH, &artifact).unwrap();
    let reasons: Vec<_> = refused(&delivered).into_iter().map(|(rows, reason)| (rows.len(), reason)).collect();
    assert_eq!(reasons, [(2, "400 Bad Request"), (1, "404 Not Found: nothing here")]);
}

#[test]
fn an_endpoint_that_has_moved_stops_the_pipeline() {
    let (url, _came) = server(&["308 Moved\r\nLocation: https://example.org/new"]);
    let mut sink = to(&url, "", Path::new("."));
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    let failed = sink.deliver(&BATCH, &artifact).unwrap_err();
    assert!(matches!(&failed, TaskError::Stop(why) if why.contains("points to `https://example.org/new`")), "{failed}");
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sink = to(&format!("http://{}/", server.local_addr().unwrap()), "timeout: 50ms", Path::new("."));
    let artifact = sink.stage(&BATCH, &three()).unwrap();
    assert!(matches!(sink.deliver(&BATCH, &artifact), Err(TaskError::Retry(_))));
}

#[test]
fn the_peer_of_http_in_takes_it_over_tls_with_certificates_on_both_sides() {
    use crate::connect::tests::{ALL, Reading, certificates, source};
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let address = free_address();
    let options = "tls_cert: \"server.pem\", tls_key: secret(\"server.key\"), tls_client_ca: \"ca.pem\"";
    let schema = "schema: { id: int64, name: string? }";
    let text = format!("source x = http_in(\"{address}\") {{ {options}, {schema} }} bad drop");
    let mut reading = Reading::start(source(&text, folder.path()).unwrap(), ALL);
    let url = format!("https://{address}/");
    let mut stranger = to(&url, "tls_ca: \"ca.pem\"", folder.path());
    let artifact = stranger.stage(&BATCH, &three()).unwrap();
    assert!(matches!(stranger.deliver(&BATCH, &artifact), Err(TaskError::Retry(_))));
    let options = "tls_ca: \"ca.pem\", tls_cert: \"client.pem\", tls_key: secret(\"client.key\")";
    to(&url, options, folder.path()).deliver(&BATCH, &artifact).unwrap();
    assert_eq!(reading.until(3).rows[2], "{\"id\":3,\"name\":\"c\"}");
}
