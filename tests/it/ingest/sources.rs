//! Every source that things are pushed at, killed with rows in its log that no batch has had: they come again when the peer
//! is gone for good, each once and in order.

use std::any::Any;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, free_address, lines};
use crate::program::command;

/// How many rows a peer sends.
const ROWS: usize = 40;

/// What is kept open while the first run lives.
type Held = Box<dyn Any>;

fn write(folder: &Path, source: &dyn Fn(&str) -> String, every: &str, options: &str) {
    let text = format!(
        "pipeline p {{ every: {every}, checkpoint: \"state\" }}\nsource rows = {}\n\
         from rows |> into files(\"out\") {{ format: text }}\n",
        source(options)
    );
    fs::write(folder.join("p.stream"), text).unwrap();
}

fn start(folder: &Path) -> Child {
    let mut command = command(folder, &["run", "p.stream"]);
    let said = fs::File::options().create(true).append(true).open(folder.join("said")).unwrap();
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

fn until(what: &str, folder: &Path, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        let said = || fs::read_to_string(folder.join("said")).unwrap_or_default();
        assert!(
            started.elapsed() < PATIENCE,
            "{what} did not come to be; {:?}; {}",
            lines(&folder.join("out")),
            said()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether the log of the first source holds some text. What was killed cannot have it anywhere else.
fn is_logged(folder: &Path, text: &str) -> bool {
    let journal = folder.join("state/ingest/1/journal");
    let files = fs::read_dir(journal).into_iter().flatten().flatten();
    files.into_iter().any(|file| {
        let bytes = fs::read(file.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Lets a peer send rows to a run that takes one a batch, kills it when all are in the log, and once more behind that; then
/// the rest comes without the peer.
fn come_again(
    source: impl Fn(&str) -> String,
    send: impl FnOnce(&Path, &mut Child) -> Held,
    gone: impl FnOnce(&Path),
    expected: &[String],
) {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    write(path, &source, "200ms", "max_rows: 1");
    let mut child = start(path);
    let held = send(path, &mut child);
    until("the last row is in the log", path, || is_logged(path, "row39"));
    child.kill().unwrap();
    child.wait().unwrap();
    let had = lines(&path.join("out")).len();
    assert!(had < ROWS / 2, "{had} rows were out already: this tries nothing");
    drop(held);
    gone(path);
    let mut child = start(path);
    until("two rows more", path, || lines(&path.join("out")).len() > had + 2);
    child.kill().unwrap();
    child.wait().unwrap();
    write(path, &source, "20ms", "");
    let mut child = start(path);
    drop(child.stdin.take());
    until("all rows", path, || lines(&path.join("out")).len() >= expected.len());
    thread::sleep(Duration::from_millis(100));
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(path.join("said")).unwrap());
    assert_eq!(lines(&path.join("out")), expected);
}

fn rows() -> Vec<String> {
    (0..ROWS).map(|n| format!("row{n}")).collect()
}

fn text() -> String {
    rows().iter().fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{row}");
        text
    })
}

fn connect(address: &str) -> TcpStream {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(_) => assert!(started.elapsed() < PATIENCE),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn of_a_server_that_socket_connects_to() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    come_again(
        |options| format!("socket(\"{address}\") {{ {options} }}"),
        move |_, _| {
            let (mut peer, _) = server.accept().unwrap();
            peer.write_all(text().as_bytes()).unwrap();
            Box::new((server, peer))
        },
        |_| {},
        &rows(),
    );
}

#[test]
fn of_a_pipe() {
    come_again(
        |options| format!("stdin() {{ {options} }}"),
        |_, child| {
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(text().as_bytes()).unwrap();
            Box::new(pipe)
        },
        |_| {},
        &rows(),
    );
}

#[test]
fn of_a_program() {
    let program = |folder: &Path, body: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("program");
        let aside = folder.join("program.new");
        fs::write(&aside, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(aside, path).unwrap();
    };
    come_again(
        |options| format!("exec(\"./program\") {{ {options} }}"),
        |folder, child| {
            // It is there before the first batch looks for it, or is tried again.
            program(folder, "i=0; while [ $i -lt 40 ]; do echo row$i; i=$((i+1)); done; exec sleep 20");
            let _ = child;
            Box::new(())
        },
        |folder| program(folder, "exec sleep 20"),
        &rows(),
    );
}

#[test]
fn of_datagrams() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let to = address.clone();
    come_again(
        |options| format!("listen(\"{address}\") {{ protocol: udp, {options} }}"),
        move |folder, _| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(&to).unwrap();
            // Datagrams are lost while nobody listens: the first is sent until it is there.
            until("the first datagram", folder, || {
                let _ = socket.send(b"row0");
                thread::sleep(Duration::from_millis(50));
                is_logged(folder, "row0")
            });
            for row in &rows()[1..] {
                socket.send(row.as_bytes()).unwrap();
            }
            Box::new(socket)
        },
        |_| {},
        &rows(),
    );
}

/// A message of Fluentd's: events `{"n": "rowN"}`, to be acknowledged.
fn forwarded(rows: &[String]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(0xa0 | text.len() as u8);
        out.extend(text.as_bytes());
    };
    let mut out = vec![0x93];
    text(&mut out, "tag");
    out.extend([0xdc, 0, rows.len() as u8]);
    for row in rows {
        // A time of zero, and an object of one field.
        out.extend([0x92, 0, 0x81]);
        text(&mut out, "n");
        text(&mut out, row);
    }
    out.push(0x81);
    text(&mut out, "chunk");
    text(&mut out, "abc");
    out
}

#[test]
fn of_a_forwarder_that_was_told_that_they_were_taken_in() {
    let address = free_address();
    let to = address.clone();
    come_again(
        |options| {
            let format = "framing: forward, format: json, schema: { n: string }";
            format!("listen(\"{address}\") {{ {format}, {options} }} bad fail")
        },
        move |_, _| {
            let mut peer = connect(&to);
            peer.write_all(&forwarded(&rows())).unwrap();
            let mut answer = [0; 9];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer[5..], b"\xa3abc", "it is told once they are in the log");
            Box::new(peer)
        },
        |_| {},
        &rows(),
    );
}
