//! Clients of every kind, over real sockets.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::connect::tests::{ALL, Reading, certificates, free_address, source};
use crate::connect::tls;
use crate::plan::operator::TaskError;
use crate::plan::seams::Positions;

fn listening(options: &str, base: &Path) -> (Reading, String) {
    let address = free_address();
    let source = source(&format!("source x = listen(\"{address}\") {{ {options} }} bad drop"), base).unwrap();
    (Reading::start(source, ALL), address)
}

fn here() -> &'static Path {
    Path::new(".")
}

fn send(address: &str, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(bytes).unwrap();
    client
}

#[test]
fn lines_of_different_clients_never_mix_and_bad_rows_say_whose_they_are() {
    let (mut reading, address) = listening("format: json, schema: { id: int64 }", here());
    let mut one = send(&address, b"{\"id\": 1}\n{\"id\"");
    let two = send(&address, b"{\"id\": 2}\nrubbish\n{\"id\": 3}");
    let whose = two.local_addr().unwrap().to_string();
    drop(two);
    reading.until(4);
    one.write_all(b": 4}\n").unwrap();
    reading.until(5);
    let mut rows = reading.rows.clone();
    rows.sort();
    assert_eq!(rows, ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}", "{\"id\":4}"]);
    assert_eq!((reading.bad[0].place.as_str(), reading.bad[0].line), (whose.as_str(), 2));
}

#[test]
fn a_port_is_free_again_at_once_and_clients_are_let_go() {
    let (mut reading, address) = listening("", here());
    let mut client = send(&address, b"one\n");
    reading.until(1);
    drop(reading);
    let again = source(&format!("source x = listen(\"{address}\")"), here()).unwrap();
    let mut again = Reading::start(again, ALL);
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0, "the old connection is closed");
    send(&address, b"two\n");
    assert_eq!(again.until(1).rows, ["two"]);
}

#[test]
fn who_hangs_up_keeps_what_was_received() {
    let (mut reading, address) = listening("buffer: 100b", here());
    let text: String = (0..2000).map(|n| format!("{n}\n")).collect();
    let _client = send(&address, text.as_bytes());
    reading.limits.rows = 1;
    reading.until(1);
    reading.source.hang_up();
    reading.limits.rows = usize::MAX;
    reading.finish().unwrap();
    assert!(reading.rows.len() > 20, "what a task had in hand comes although there was no room for it");
    assert!(reading.rows.iter().enumerate().all(|(n, row)| text.lines().nth(n).unwrap().starts_with(row.as_str())));
    assert!(std::net::TcpListener::bind(&address).is_ok());
}

#[test]
fn an_address_that_is_taken_is_tried_again() {
    let (_reading, address) = listening("", here());
    let mut second = source(&format!("source x = listen(\"{address}\")"), here()).unwrap();
    let refused = second.discover(&Positions::new(), &ALL).unwrap_err();
    assert!(matches!(&refused, TaskError::Retry(why) if why.starts_with("cannot listen on `")), "{refused}");
}

#[test]
fn no_threads_are_left_behind() {
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default())
            .filter(|name| name.starts_with("network") || name.starts_with("stdin"))
            .count()
    };
    let runtime = crate::connect::waiting::runtime().unwrap();
    for _ in 0..20 {
        let (mut reading, address) = listening("block_interval: 1ms", here());
        let _client = send(&address, b"one\n");
        reading.until(1);
    }
    let alive = || runtime.metrics().num_alive_tasks();
    // Other tests of this process have tasks of their own; twenty servers and clients would show.
    assert!(alive() < 20, "{} tasks", alive());
    assert!(threads() < 20, "{} threads", threads());
}

#[test]
fn a_client_is_held_back_while_the_buffer_is_full_and_nothing_is_lost() {
    let (mut reading, address) = listening("buffer: 4kb", here());
    let client = std::thread::spawn(move || {
        let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        send(&address, lines.as_bytes());
    });
    reading.limits.rows = 1000;
    let mut most = 0;
    for count in (1000..=100_000).step_by(1000) {
        reading.until(count);
        most = most.max(reading.source.backlog().bytes.unwrap());
    }
    client.join().unwrap();
    assert!(most <= 4_000, "{most} bytes waited");
    assert!(reading.rows.iter().enumerate().all(|(n, row)| *row == n.to_string()));
}

#[test]
fn a_monstrous_line_is_a_bad_row_and_costs_no_more_than_the_limit() {
    let (mut reading, address) = listening("max_record: 1kb, block_interval: 1ms", here());
    let client = std::thread::spawn(move || {
        let mut client = send(&address, b"before\n");
        for _ in 0..200 {
            client.write_all(&[b'x'; 10_000]).unwrap();
        }
        client.write_all(b"\nbehind\n").unwrap();
    });
    reading.until(3);
    client.join().unwrap();
    assert_eq!(reading.rows, ["before", "behind"]);
    assert_eq!((reading.bad[0].reason.as_str(), reading.bad[0].line), ("longer than 1000 bytes", 2));
    assert!(reading.bad[0].text.len() < 3000);
}

#[test]
fn more_clients_than_allowed_are_turned_away_and_told_of() {
    let (mut reading, address) = listening("max_clients: 1", here());
    let first = send(&address, b"one\n");
    reading.until(1);
    let mut second = TcpStream::connect(&address).unwrap();
    assert_eq!(second.read(&mut [0; 8]).unwrap_or(0), 0);
    let told = reading.source.left_out();
    assert_eq!((told.len(), told[0].reason.as_str()), (1, "more than 1 clients at once"));
    drop(first);
}

#[test]
fn datagrams_are_records() {
    let (mut reading, address) =
        listening("protocol: udp, max_record: 20, format: json, schema: { id: int64 }", here());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for text in ["{\"id\": 1}", "{\"id\": \"a gift\"}", "{\"id\": 100000000000000}", "{\"id\": 2}\n"] {
        client.send_to(text.as_bytes(), &address).unwrap();
    }
    reading.until(4);
    assert_eq!(reading.rows, ["{\"id\":1}", "{\"id\":2}"]);
    let bad: Vec<_> = reading.bad.iter().map(|bad| (bad.reason.contains("a gift"), bad.line)).collect();
    assert_eq!(bad, [(true, 2), (false, 3)], "{:?}", reading.bad);
    assert!(reading.bad.iter().all(|bad| bad.place == client.local_addr().unwrap().to_string()));
}

#[test]
fn a_unix_socket_is_there_while_the_source_is_and_a_dead_one_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let text = "source x = listen(\"in.sock\") { protocol: unix }";
    let mut reading = Reading::start(source(text, folder.path()).unwrap(), ALL);
    UnixStream::connect(&path).unwrap().write_all(b"one\ntwo").unwrap();
    assert_eq!(reading.until(2).rows, ["one", "two"]);
    drop(reading);
    assert!(!path.exists());
}

#[test]
fn syslog_comes_counted_and_in_lines() {
    let (mut reading, address) = listening("framing: syslog", here());
    send(&address, b"5 <1>ab6 <2>c\nd<3>e\n<4>f");
    assert_eq!(reading.until(4).rows, ["<1>ab", "<2>c#012d", "<3>e", "<4>f"]);
}

#[test]
fn forwarded_events_are_acknowledged() {
    let columns = "schema: { tag: string, time: timestamp, n: int64 }";
    let (mut reading, address) = listening(&format!("framing: forward, format: json, {columns}"), here());
    let mut client = send(&address, b"\x94\xa3app\x05\x81\xa1n\x07\x81\xa5chunk\xa2id");
    let mut answer = [0; 8];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x81\xa3ack\xa2id");
    assert_eq!(reading.until(1).rows, ["{\"tag\":\"app\",\"time\":\"1970-01-01T00:00:05Z\",\"n\":7}"]);
}

#[test]
fn clients_can_be_made_to_show_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let options = "tls_cert: \"server.pem\", tls_key: secret(\"server.key\"), tls_client_ca: \"ca.pem\"";
    let (mut reading, address) = listening(options, folder.path());
    let client = |shown: &str| {
        let text = format!("into tcp(\"{address}\") {{ tls: true, tls_ca: \"ca.pem\" {shown} }}");
        let endpoint = crate::connect::tests::sink_endpoint(&text, folder.path());
        let config = tls::ClientTls::of(&endpoint).unwrap().config().unwrap();
        let name = tls::server_name(&address).unwrap();
        let connection = rustls::ClientConnection::new(config, name).unwrap();
        rustls::StreamOwned::new(connection, TcpStream::connect(&address).unwrap())
    };
    let mut stranger = client("");
    // The server's answer to the missing certificate comes when something is read.
    let _ = stranger.write_all(b"stranger\n");
    assert!(stranger.read(&mut [0; 8]).is_err());
    let mut known = client(", tls_cert: \"client.pem\", tls_key: secret(\"client.key\")");
    known.write_all(b"known\n").unwrap();
    assert_eq!(reading.until(1).rows, ["known"]);
}

#[test]
fn a_certificate_that_is_none_is_refused_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let text = "source x = listen(\"127.0.0.1:0\") { tls_cert: \"ca.key\", tls_key: secret(\"server.key\") }";
    assert!(source(text, folder.path()).err().unwrap().0.contains("cannot read"));
}
