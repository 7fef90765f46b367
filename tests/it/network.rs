//! Pipelines between real peers: the binary takes rows in over sockets, HTTP and from programs, and hands them on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{command, millstream_in};

/// How long something may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pipeline that runs until it is dropped.
struct Running {
    folder: TempDir,
    child: Child,
}

impl Running {
    fn start(pipeline: &str, files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("p.stream"), format!("pipeline p {{ every: 20ms }}\n{pipeline}\n")).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if text.starts_with("#!") {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
        Running { folder, child }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as Ctrl-C does; gives back its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String, String) {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Waits until something is there.
fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn connect(address: &str) -> TcpStream {
    soon("the server", || TcpStream::connect(address).ok())
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A server that takes every post and hands on its body and idempotency key.
fn service() -> (String, Receiver<(String, String)>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/revenue", server.local_addr().unwrap());
    let (to, posts) = channel();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut key) = (0, String::new());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap()
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => key = value.to_owned(),
                    None if line.trim().is_empty() => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if to.send((String::from_utf8(body).unwrap(), key)).is_err() {
                return;
            }
        }
    });
    (url, posts)
}

#[test]
fn what_is_posted_is_worked_on_and_posted_on() {
    let (url, posts) = service();
    let address = free_address();
    let pipeline = format!(
        "source orders = http_in(\"{address}\", \"/orders\") {{ token: secret(\"token\"), schema: {{ id: int64, amount: decimal(12, 2) }} }} bad to unread\n\
         stream large = from orders |> where amount > 5\n\
         from large |> into http(\"{url}\") {{ body: array, headers: {{ `X-Key`: env(\"PATH\") }} }}\n\
         from unread |> into files(\"unread\") {{ format: json }}"
    );
    let running = Running::start(&pipeline, &[("secrets/token", "sesame\n")]);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let post = |token: &str, body: &str| {
        let send = || {
            let request = agent.post(format!("http://{address}/orders"));
            request.header("Authorization", format!("Bearer {token}")).send(body).ok()
        };
        soon("the server", send).status().as_u16()
    };
    assert_eq!(post("sesame", "{\"id\": 1, \"amount\": 9.50}\nrubbish\n{\"id\": 2, \"amount\": 1}"), 204);
    assert_eq!(post("wrong", "{\"id\": 3, \"amount\": 9.50}"), 401);
    assert_eq!(post("sesame", "rubbish"), 400);
    let (body, key) = posts.recv_timeout(PATIENCE).unwrap();
    assert_eq!(body, "[{\"id\":1,\"amount\":9.50}]");
    assert!(key.starts_with("p/large/"), "{key}");
    assert_eq!(post("sesame", "{\"id\": 4, \"amount\": 6}"), 204);
    let unread = || {
        let mut files = fs::read_dir(running.path().join("unread")).ok()?.flatten();
        files.find(|file| !file.file_name().to_string_lossy().starts_with('.')).map(|file| text_of(&file.path()))
    };
    let unread = soon("the bad row", || unread().filter(|text| !text.is_empty()));
    assert!(unread.contains("rubbish") && unread.contains("\"_line\":2"), "{unread}");
    let (code, _, err) = running.end();
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(posts.recv_timeout(PATIENCE).unwrap().0, "[{\"id\":4,\"amount\":6.00}]", "what was taken in comes out");
}

#[test]
fn lines_of_many_clients_go_to_another_server() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (from, to) = (free_address(), server.local_addr().unwrap());
    let pipeline = format!(
        "source lines = listen(\"{from}\")\n\
         from lines |> select upper(line) as line |> into tcp(\"{to}\") {{ format: text }}"
    );
    let running = Running::start(&pipeline, &[]);
    let clients = (0..20).map(|n| {
        let from = from.clone();
        std::thread::spawn(move || {
            let mut client = connect(&from);
            for piece in format!("from {n}\n").as_bytes().chunks(2) {
                client.write_all(piece).unwrap();
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.join().unwrap());
    let lines = BufReader::new(server.accept().unwrap().0).lines().map(Result::unwrap);
    let mut came: Vec<_> = lines.take(20).collect();
    came.sort();
    let mut expected: Vec<_> = (0..20).map(|n| format!("FROM {n}")).collect();
    expected.sort();
    assert_eq!(came, expected);
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn rows_come_from_a_program_and_go_to_one_and_both_end_with_the_run() {
    let pipeline = "source ticks = exec(\"./ticks.sh\")\n\
                    from ticks |> into exec(\"sh\") { args: [\"-c\", \"cat >> taken; echo $MILLSTREAM_BATCH >> batches\"], format: text }";
    let script =
        "#!/bin/sh\necho $$ > id\nsleep 1000 & echo $! > child\necho one; echo two; echo nothing more >&2\nwait\n";
    let folder = [("ticks.sh", script)];
    let running = Running::start(pipeline, &folder);
    let taken = running.path().join("taken");
    soon("the rows", || (text_of(&taken) == "one\ntwo\n").then_some(()));
    let ids = ["id", "child"].map(|name| text_of(&running.path().join(name)).trim().to_owned());
    let (code, _, err) = running.end();
    assert_eq!(code, Some(0), "{err}");
    for id in ids {
        let gone = || {
            let status = text_of(&Path::new("/proc").join(&id).join("stat"));
            (status.is_empty() || status.contains(") Z ")).then_some(())
        };
        soon("the program's end", gone);
    }
}

#[test]
fn a_secret_that_is_missing_is_said_before_anything_starts_and_never_shown() {
    let folder = TempDir::new().unwrap();
    let pipeline = "pipeline p { every: 1s }\nsource lines = stdin()\n\
                    from lines |> into http(\"http://127.0.0.1:1/\") { token: secret(\"a/b\"), headers: { X: env(\"NOT_THERE\") } }\n";
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once"], "one\n");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("env(\"NOT_THERE\"): there is no such variable"), "{}", ran.err);
    let pipeline = pipeline.replace(", headers: { X: env(\"NOT_THERE\") }", "");
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once"], "one\n");
    assert!(ran.err.contains("a secret is looked for in `") && ran.err.contains("secrets/a/b`: "), "{}", ran.err);
    let kept = TempDir::new().unwrap();
    fs::create_dir(kept.path().join("a")).unwrap();
    fs::write(kept.path().join("a/b"), "sesame").unwrap();
    let mut run = command(folder.path(), &["run", "p.stream", "--once"]);
    let mut child = run.env("MILLSTREAM_SECRETS", kept.path()).env("RUST_LOG", "trace").spawn().unwrap();
    drop(child.stdin.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && !said.contains("sesame"), "{said}");
}

#[test]
fn a_server_with_once_takes_what_has_come_and_does_not_wait() {
    let folder = TempDir::new().unwrap();
    let pipeline = format!(
        "pipeline p {{ every: 1s }}\nsource lines = listen(\"{}\")\nfrom lines |> into console\n",
        free_address()
    );
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once"], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
}

#[test]
fn ctrl_c_ends_a_run_that_waits_for_the_end_of_a_pipe_with_what_it_received() {
    let folder = TempDir::new().unwrap();
    let pipeline = "pipeline p { every: 1s }\nsource lines = stdin()\n\
                    from lines |> aggregate count() as n per batch |> into console { format: json }\n";
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    let mut child = command(folder.path(), &["run", "p.stream", "--once"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than a pipe holds: it is being read when all is written.
    input.write_all(&b"line\n".repeat(50_000)).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert_eq!(ended.status.code(), Some(0), "{err}");
    let count = out.lines().find_map(|line| line.strip_prefix("{\"n\":")?.strip_suffix('}')?.parse::<u64>().ok());
    assert!(count.is_some_and(|n| n > 30_000), "{out}{err}");
    drop(input);
}
