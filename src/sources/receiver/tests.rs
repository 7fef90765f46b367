//! A source with a log that crashes again and again: what batches had in the end is what the messages that outlived the
//! crashes say, each row once and in their order.

use std::path::Path;
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use super::blocks::Blocks;
use super::inbox::Numbered;
use super::*;
use crate::connect::tests::{ALL, source_endpoint, texts};
use crate::connect::waiting::runtime;
use crate::plan::seams::BadRow;

/// A log in memory. Copies are the same.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// All there ever were, from the first.
    messages: Vec<Vec<u8>>,
    /// So many of them were let go of, and so many are safe.
    gone: usize,
    synced: usize,
    told: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Memory {
    /// Brings so many more to the disk.
    fn sync(&self, most: usize) {
        let mut kept = self.0.lock().unwrap();
        kept.synced = kept.messages.len().min(kept.synced.saturating_add(most));
        let told = kept.told.clone();
        drop(kept);
        told.iter().for_each(|told| told());
    }

    /// Some of what was not safe is lost.
    fn crash(&self, rng: &mut Rng) -> Memory {
        let kept = self.0.lock().unwrap();
        let there = rng.usize(kept.synced..=kept.messages.len());
        let messages = kept.messages[..there].to_vec();
        Memory(Arc::new(Mutex::new(Kept { messages, gone: kept.gone, synced: there, told: None })))
    }
}

impl IngestLog for Memory {
    fn name(&self) -> &str {
        "ingest/1"
    }

    fn append(&self, message: Vec<u8>) -> u64 {
        let mut kept = self.0.lock().unwrap();
        kept.messages.push(message);
        kept.messages.len() as u64
    }

    fn unsynced(&self) -> Result<u64, TaskError> {
        Ok(self.0.lock().unwrap().synced as u64 + 1)
    }

    fn tell(&self, whom: Box<dyn Fn() + Send + Sync>) {
        self.0.lock().unwrap().told = Some(Arc::from(whom));
    }

    fn read(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, TaskError> {
        let kept = self.0.lock().unwrap();
        let from = from.max(1);
        assert!(from > kept.gone as u64, "{from} is needed and was let go of");
        Ok((from..).zip(kept.messages[from as usize - 1..].iter().cloned()).collect())
    }

    fn trim(&self, before: u64) {
        let mut kept = self.0.lock().unwrap();
        kept.gone = kept.gone.max(before as usize - 1);
        assert!(kept.gone <= kept.synced, "what is not safe cannot have been used");
    }
}

/// What batches had, or would have.
#[derive(Debug, Default, PartialEq, Clone)]
struct Had {
    rows: Vec<String>,
    bad: Vec<BadRow>,
}

impl Had {
    fn add(&mut self, read: Read) {
        self.rows.extend(read.blocks.iter().flat_map(texts));
        self.bad.extend(read.bad);
    }
}

/// What runs from one crash to the next.
struct Life {
    source: Box<dyn Source>,
    feed: Feed,
    peers: Vec<(Peer, Vec<u8>)>,
    split: Split,
    at: Position,
}

impl Life {
    fn begin(endpoint: &Endpoint, log: &Memory, at: Position) -> Life {
        let handed = Arc::new(Mutex::new(None));
        let hand = Arc::clone(&handed);
        let mut source = Receiver::open(endpoint, Once::TakesWhatCame, move |feed| {
            *hand.lock().unwrap() = Some(feed);
            Ok(Working::until(|| {}))
        })
        .unwrap();
        source.keep(Box::new(log.clone()));
        let known = Positions::from([(Split { id: "ingest/1".into() }, at.clone())]);
        let split = source.discover(&known, &ALL).unwrap().remove(0);
        let feed = handed.lock().unwrap().take().unwrap();
        Life { source, feed, peers: Vec::new(), split, at }
    }

    /// One of the things that may happen outside.
    fn happens(&mut self, rng: &mut Rng, line: &mut u64, header: &str) {
        let next = |rng: &mut Rng, line: &mut u64| {
            *line += 1;
            let long = match rng.u8(0..12) {
                0 => rng.usize(0..30_000),
                1 => 70_000,
                _ => 0,
            };
            format!("{line}{}", "x".repeat(long))
        };
        match rng.u8(0..10) {
            0 => self.peers.push((self.feed.peer(&format!("p{line}")), header.into())),
            1 if !self.peers.is_empty() => drop(self.peers.swap_remove(rng.usize(..self.peers.len()))),
            2 if header.is_empty() => {
                let place: Arc<str> = "single".into();
                let text = format!("{header}{}\n", next(rng, line));
                assert!(runtime().unwrap().block_on(self.feed.record(&place, *line, text.into_bytes())));
            }
            3 => assert!(runtime().unwrap().block_on(self.feed.bad("single", 7, next(rng, line), "bad".into()))),
            _ if !self.peers.is_empty() => {
                let of = rng.usize(..self.peers.len());
                let (peer, rest) = &mut self.peers[of];
                for _ in 0..rng.u8(0..4) {
                    rest.extend(format!("{}\n", next(rng, line)).bytes());
                }
                let piece: Vec<u8> = rest.drain(..rng.usize(0..=rest.len().min(20_000))).collect();
                assert!(runtime().unwrap().block_on(peer.give(&piece)));
            }
            _ => {}
        }
    }

    fn read(&mut self, limits: &Limits) -> Read {
        let read = self.source.read(&self.split, &self.at, limits).unwrap();
        self.at = read.to.clone();
        read
    }
}

/// What all messages that are safe say.
fn expected(endpoint: &Endpoint, log: &Memory) -> Had {
    let codec = cutter::codec(endpoint, &endpoint.schema).unwrap();
    let mut blocks = Blocks::new(codec, endpoint.settings.size("max_record").unwrap(), BUFFER);
    let all = log.0.lock().unwrap();
    let messages = (1..).zip(all.messages.iter().map(|bytes| kept::read(bytes).unwrap()));
    blocks.cut(messages.collect::<Numbered>()).unwrap();
    let (mut had, mut read) = (Had::default(), Read::default());
    blocks.take(usize::MAX, u64::MAX, &mut read);
    had.add(read);
    had
}

fn crashes(seed: u64, format: &str, header: &str) {
    let text = format!("source x = stdin() {{ max_record: 60kb, block_interval: 1ms, {format} }} bad drop");
    let endpoint = source_endpoint(&text, Path::new("."));
    let mut rng = Rng::with_seed(seed);
    let (mut log, mut committed, mut line) = (Memory::default(), (Had::default(), Position::default()), 0);
    for _ in 0..6 {
        let mut had = committed.0.clone();
        let mut life = Life::begin(&endpoint, &log, committed.1.clone());
        for _ in 0..rng.u32(5..80) {
            life.happens(&mut rng, &mut line, header);
            if rng.u8(0..3) == 0 {
                log.sync(rng.usize(0..9));
            }
            if rng.u8(0..4) == 0 {
                let limits = Limits { rows: rng.usize(1..8), ..ALL };
                had.add(life.read(&limits));
                if rng.bool() {
                    committed = (had.clone(), life.at.clone());
                    if rng.bool() {
                        life.source.ack(&life.split, &life.at).unwrap();
                    }
                }
            }
        }
        let crashed = log.crash(&mut rng);
        drop(life);
        log = crashed;
    }
    let mut life = Life::begin(&endpoint, &log, committed.1);
    log.sync(usize::MAX);
    let mut had = committed.0;
    loop {
        let read = life.read(&Limits { rows: 7, ..ALL });
        if blocks::taken(&read) == 0 {
            break;
        }
        had.add(read);
    }
    let expected = expected(&endpoint, &log);
    assert_eq!(had.rows.len(), expected.rows.len(), "rows of seed {seed}, {format}");
    assert!(had.rows == expected.rows, "other rows of seed {seed}, {format}");
    assert_eq!(had.bad, expected.bad, "seed {seed}, {format}");
}

#[test]
fn whatever_is_lost_with_a_crash_batches_have_every_row_that_is_in_the_log_once_and_in_order() {
    let seeds: u64 = std::env::var("INGEST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        crashes(seed, "", "");
        crashes(seed, "format: csv, schema: { a: string }", "a\n");
    }
}

#[test]
fn a_record_that_stays_unfinished_does_not_hold_the_log() {
    let endpoint = source_endpoint("source x = stdin() { max_record: 60kb }", Path::new("."));
    let log = Memory::default();
    let mut life = Life::begin(&endpoint, &log, Position::default());
    let slow = life.feed.peer("slow");
    let fast = life.feed.peer("fast");
    let give = |peer: &Peer, bytes: &[u8]| assert!(runtime().unwrap().block_on(peer.give(bytes)));
    give(&slow, &[b'a'; 20_000]);
    let line = [&[b'b'; 50_000][..], b"\n"].concat();
    let mut had = Had::default();
    for _ in 0..1_500 {
        give(&fast, &line);
        log.sync(usize::MAX);
        had.add(life.read(&ALL));
        life.source.ack(&life.split, &life.at).unwrap();
    }
    let kept = {
        let kept = log.0.lock().unwrap();
        kept.messages.len() - kept.gone
    };
    assert!(kept < 10, "{kept} messages are kept");
    let at = life.at.clone();
    let next = log.crash(&mut Rng::with_seed(1));
    drop((life, slow, fast));
    let mut life = Life::begin(&endpoint, &next, at);
    next.sync(usize::MAX);
    let rest = life.read(&ALL);
    assert_eq!(rest.blocks.iter().flat_map(texts).collect::<Vec<_>>(), ["a".repeat(20_000)]);
}
