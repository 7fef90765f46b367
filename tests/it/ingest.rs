//! Rows that are pushed at a pipeline with a checkpoint, which is killed again and again while they come.

mod edits;
mod loss;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::command;

/// How often it is killed.
const KILLS: u64 = 8;

/// How long something may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(60);

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn start(folder: &Path) -> Child {
    let mut command = command(folder, &["run", "p.stream"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn end(mut child: Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Kills it a few times after a while, then lets it end what it has.
fn kill_again_and_again(folder: &Path) {
    for kill in 0..KILLS {
        let mut child = start(folder);
        thread::sleep(Duration::from_millis(700 + kill * 173 % 400));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The lines of all files that readers see.
fn lines(folder: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            files.push(entry.path());
        }
    }
    files.sort();
    files
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Sends lines on a connection at a time, numbered from 0 on each; how many were handed to the system.
fn send(client: usize, address: &str, over: &AtomicBool) -> Vec<u64> {
    let mut lives: Vec<u64> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let (life, mut number) = (lives.len(), 0);
        // Lines are cut where it comes, so that some are on their way when it is killed.
        while !over.load(Ordering::Relaxed) {
            let line = format!("{client}:{life}:{number}:end\n");
            let (front, back) = line.split_at(line.len() / 2);
            if stream.write_all(front.as_bytes()).and_then(|()| stream.write_all(back.as_bytes())).is_err() {
                break;
            }
            number += 1;
            if number % 10 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        lives.push(number);
    }
    lives
}

#[test]
fn lines_of_clients_are_there_once_but_for_the_last_moment_before_each_crash() {
    let folder = TempDir::new().unwrap();
    let address = free_address();
    let text = format!(
        "pipeline p {{ every: 20ms, checkpoint: \"state\" }}\nsource lines = listen(\"{address}\") {{ max_rows: 300 }}\n\
         from lines |> into files(\"out\") {{ format: text }}\n"
    );
    fs::write(folder.path().join("p.stream"), text).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|client| {
            let (address, over) = (address.clone(), Arc::clone(&over));
            thread::spawn(move || send(client, &address, &over))
        })
        .collect();
    kill_again_and_again(folder.path());
    let child = start(folder.path());
    thread::sleep(Duration::from_secs(1));
    over.store(true, Ordering::Relaxed);
    let sent: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    thread::sleep(Duration::from_secs(1));
    end(child);
    let (lives, all) = there_once(&lines(&folder.path().join("out")), &sent, KILLS as usize);
    assert!(lives > KILLS as usize && all > 1_000, "too little came: {lives} lives, {all} lines");
}

/// Holds what came against what clients sent; gives how many lives of clients there were, and how many lines.
fn there_once(lines: &[String], sent: &[Vec<u64>], kills: usize) -> (usize, usize) {
    let mut there: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    let mut cut = 0;
    for line in lines {
        let parts: Vec<&str> = line.split(':').collect();
        let [client, life, number, "end"] = parts[..] else {
            cut += 1;
            continue;
        };
        let of = there.entry((client.to_owned(), life.to_owned())).or_default();
        assert!(of.insert(number.parse().unwrap()), "{line} is there twice");
    }
    assert!(cut <= sent.len() * kills, "each client is cut off once a crash");
    for ((client, life), numbers) in &there {
        let first = numbers.first().unwrap();
        assert_eq!(*first, 0, "client {client} begins anew in life {life}");
        assert_eq!(numbers.last().unwrap() + 1, numbers.len() as u64, "life {life} of client {client} has a gap");
    }
    // What was sent after the last crash is there to the last line.
    for (client, lives) in sent.iter().enumerate() {
        let (life, count) = lives.iter().enumerate().next_back().unwrap();
        let had = there.get(&(client.to_string(), life.to_string())).map_or(0, BTreeSet::len);
        assert_eq!(had as u64, *count, "the last life of client {client}");
    }
    let all: usize = there.values().map(BTreeSet::len).sum();
    (there.len(), all)
}

/// Posts a body; whether it was taken in.
fn post(address: &str, body: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(stream, "POST /rows HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 204"))
}

#[test]
fn a_body_that_was_answered_is_there_once_whatever_crashes() {
    let folder = TempDir::new().unwrap();
    let address = free_address();
    let text = format!(
        "pipeline p {{ every: 30ms, checkpoint: \"state\" }}\n\
         source rows = http_in(\"{address}\", \"/rows\") {{ schema: {{ id: int64, part: int64 }} }} bad fail\n\
         from rows |> into files(\"out\") {{ format: json }}\n"
    );
    fs::write(folder.path().join("p.stream"), text).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Mutex::new(BTreeSet::new()));
    let clients: Vec<_> = (0..4_u64)
        .map(|client| {
            let (address, over, answered) = (address.clone(), Arc::clone(&over), Arc::clone(&answered));
            thread::spawn(move || {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = client * 1_000_000 + n;
                    let body: String = (0..3).map(|part| format!("{{\"id\":{id},\"part\":{part}}}\n")).collect();
                    match post(&address, &body) {
                        Ok(true) => drop(answered.lock().unwrap().insert(id)),
                        _ => thread::sleep(Duration::from_millis(2)),
                    }
                }
            })
        })
        .collect();
    kill_again_and_again(folder.path());
    over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let child = start(folder.path());
    thread::sleep(Duration::from_secs(1));
    end(child);
    let mut there: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for line in lines(&folder.path().join("out")) {
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (id, part) = (row["id"].as_u64().unwrap(), row["part"].as_u64().unwrap());
        assert!(there.entry(id).or_default().insert(part), "{id} is there twice");
    }
    let answered = answered.lock().unwrap();
    assert!(answered.len() > 100, "too few were answered: {}", answered.len());
    for id in &*answered {
        assert_eq!(there.get(id).map_or(0, BTreeSet::len), 3, "{id} was answered and is not there");
    }
    assert!(there.values().all(|parts| parts.len() == 3), "a body is there as a whole");
}

#[test]
fn what_a_program_was_sent_before_it_was_killed_comes_without_the_peer() {
    let folder = TempDir::new().unwrap();
    let address = free_address();
    // The first batch is due long after it is killed.
    let text = |every: &str| {
        format!(
            "pipeline p {{ every: {every}, checkpoint: \"state\" }}\nsource lines = listen(\"{address}\")\n\
             from lines |> into files(\"out\") {{ format: text }}\n"
        )
    };
    fs::write(folder.path().join("p.stream"), text("1h")).unwrap();
    let mut child = start(folder.path());
    let started = Instant::now();
    thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(folder.path().join("p.stream"), text("50ms")).unwrap();
    let child = start(folder.path());
    let mut stream = loop {
        match TcpStream::connect(&address) {
            Ok(stream) => break stream,
            Err(_) => assert!(started.elapsed() < PATIENCE),
        }
    };
    stream.write_all(b"one\ntwo\nhal").unwrap();
    while lines(&folder.path().join("out")).len() < 2 {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    let mut child = child;
    child.kill().unwrap();
    child.wait().unwrap();
    let child = start(folder.path());
    while lines(&folder.path().join("out")).len() < 3 {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    end(child);
    assert_eq!(lines(&folder.path().join("out")), ["one", "two", "hal"]);
}
