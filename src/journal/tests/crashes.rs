//! A journal on a disk that loses what was not synced, held against a plain list.
//!
//! What was synced is there after a crash, nothing is altered, nothing invented, and of what was not synced no more than
//! the first so many records. The long form: `JOURNAL_SEED=1 JOURNAL_CRASHES=1000000 cargo test --release --lib
//! journal::tests::crashes -- --nocapture`; a seed that fails is printed, and `JOURNAL_SEED` begins there.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what was found is told to whoever runs it by hand")]

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;

use crate::journal::simulated::{Fault, SimulatedDisk};
use crate::journal::{About, Entry, Journal, Trouble, Tuning};

const FOLDER: &str = "/checkpoint";

type Row = (u64, u8, Vec<u8>);

#[test]
fn crashes_lose_alter_and_invent_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (from, wanted) = (number("JOURNAL_SEED").unwrap_or(1), number("JOURNAL_CRASHES").unwrap_or(1500));
    let (begun, mut seed, mut crashes) = (Instant::now(), from, 0);
    while crashes < wanted {
        let life = std::panic::catch_unwind(|| Life::new(seed).live());
        match life {
            Ok(more) => crashes += more,
            Err(panic) => {
                eprintln!("JOURNAL_SEED={seed} fails");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
    }
    println!("{crashes} crashes, seeds {from} to {}, {:?}", seed - 1, begun.elapsed());
}

/// What must, and what may, be found.
#[derive(Default)]
struct Model {
    durable: Vec<Row>,
    /// Appended since the last sync.
    branch: Vec<Row>,
    /// So many of them the disk may have.
    handed: usize,
    /// So many of them the system has for certain.
    written: usize,
    /// What the disk may have instead: records that were given up.
    past: Vec<Vec<Row>>,
    /// Records from here on are not to be trimmed.
    needed: u64,
    /// Records before this one were trimmed for good.
    first: u64,
    /// What each snapshot may hold; `None` where it may be absent.
    snapshots: BTreeMap<u64, Vec<Option<Vec<u8>>>>,
    /// The folder of the snapshots failed to be synced: names that are seen need not be durable, and nobody can tell.
    names_unsure: bool,
}

struct Life {
    rng: Rng,
    disk: SimulatedDisk,
    tuning: Tuning,
    model: Model,
    crashes: u64,
}

/// Why a process ended.
struct Ended;

impl Life {
    fn new(seed: u64) -> Life {
        let mut rng = Rng::with_seed(seed);
        let tuning = Tuning { segment_bytes: [1, 150, 600, 2500][rng.usize(..4)] };
        let disk = SimulatedDisk::new(seed);
        Life { rng, disk, tuning, model: Model { needed: 1, first: 1, ..Model::default() }, crashes: 0 }
    }

    fn live(mut self) -> u64 {
        for _ in 0..self.rng.u8(2..12) {
            let journal = self.open();
            if self.rng.u8(..4) > 0 {
                self.fail(80);
            }
            self.process(journal);
        }
        self.open();
        self.crashes
    }

    /// Opens the journal, with crashes on the way, and compares what is found.
    fn open(&mut self) -> Journal {
        let mut power_was_cut = self.end();
        loop {
            let faulty = self.rng.u8(..4) == 0;
            if faulty {
                self.fail(50);
            }
            let about = About { pipeline: "orders".into() };
            let opened = Journal::open(self.disk.arc(), Path::new(FOLDER), &about, self.tuning);
            let failed = self.disk.failed();
            match opened {
                Ok(journal) => {
                    self.recovered(&journal, power_was_cut);
                    return journal;
                }
                Err(trouble) => {
                    assert!(faulty && failed, "{trouble}");
                    assert!(is_of_a_fault(&trouble), "{trouble}");
                    if matches!(&trouble, Trouble::Broken { file, .. } if file.ends_with("snapshots")) {
                        self.model.names_unsure = true;
                    }
                    power_was_cut |= self.end();
                }
            }
        }
    }

    fn fail(&mut self, before: u64) {
        let fault = match self.rng.u8(..4) {
            0 => Fault::Error(io::Error::from_raw_os_error(5).kind()),
            1 => Fault::Error(io::ErrorKind::StorageFull),
            _ => Fault::Death,
        };
        self.disk.fail(self.rng.u64(..before), self.rng.u64(1..4), fault);
    }

    /// Ends the process; says whether the power was cut as well.
    fn end(&mut self) -> bool {
        self.crashes += 1;
        let power = self.rng.bool();
        match power {
            true => self.disk.crash(self.rng.u64(..)),
            false => self.disk.kill(),
        }
        power
    }

    fn recovered(&mut self, journal: &Journal, power_was_cut: bool) {
        let found = rows(journal.entries(), |entry| journal.read(entry)).unwrap();
        let model = &mut self.model;
        let first = journal.first();
        assert!(model.first <= first && first <= model.needed, "{} {first} {}", model.first, model.needed);
        model.first = first;
        model.durable.retain(|row| row.0 >= first);
        assert!(found.starts_with(&model.durable), "{found:?}\n{:?}", model.durable);
        let more = &found[model.durable.len()..];
        let kept: Vec<Row> = model.branch[..model.handed].iter().filter(|row| row.0 >= first).cloned().collect();
        let known = kept.starts_with(more) || model.past.iter().any(|past| past.starts_with(more));
        assert!(known, "{more:?}\n{kept:?}\n{:?}", model.past);
        let written = &model.branch[..model.written];
        assert!(power_was_cut || more.starts_with(written), "{more:?}\n{written:?}");
        model.durable = found;
        (model.handed, model.written) = (0, 0);
        model.branch.clear();
        model.past.clear();
        self.compare_snapshots(journal, power_was_cut);
        self.model.names_unsure &= !power_was_cut;
    }

    fn compare_snapshots(&mut self, journal: &Journal, power_was_cut: bool) {
        let snapshots = journal.snapshots();
        let listed = snapshots.list().unwrap();
        assert!(listed.iter().all(|number| self.model.snapshots.contains_key(number)), "{listed:?}");
        for (number, may) in &mut self.model.snapshots {
            let found = listed.contains(number).then(|| {
                let mut bytes = Vec::new();
                snapshots.read(*number).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            });
            let lengths: Vec<Option<usize>> = may.iter().map(|may| may.as_ref().map(Vec::len)).collect();
            assert!(may.contains(&found), "{number}: {:?}, {lengths:?}", found.map(|found| found.len()));
            if power_was_cut || !self.model.names_unsure {
                *may = vec![found];
            }
        }
    }

    fn process(&mut self, mut journal: Journal) {
        for _ in 0..self.rng.u8(1..50) {
            if self.step(&mut journal).is_err() {
                return;
            }
        }
        if self.rng.bool() {
            self.model.handed = self.model.branch.len();
            match journal.close() {
                Ok(()) => self.model.synced(None),
                Err(trouble) => assert!(is_of_a_fault(&trouble), "{trouble}"),
            }
        }
    }

    fn step(&mut self, journal: &mut Journal) -> Result<(), Ended> {
        match self.rng.u8(..20) {
            0..8 => self.append(journal),
            8..13 => {
                self.model.handed = self.model.branch.len();
                let synced = journal.sync();
                if synced.is_ok() {
                    self.model.synced(Some(journal));
                }
                self.went(synced, journal)
            }
            13 | 14 => {
                self.model.handed = self.model.branch.len();
                let written = journal.write();
                if written.is_ok() {
                    self.model.written = self.model.branch.len();
                }
                self.went(written, journal)
            }
            15 => {
                let back = self.rng.u64(..4);
                let sequence = journal.next().saturating_sub(back);
                journal.give_up(sequence);
                self.model.gave_up(sequence);
                Ok(())
            }
            16 => {
                let rows = &self.model.durable;
                let before = if rows.is_empty() { 1 } else { rows[self.rng.usize(..rows.len())].0 };
                self.model.needed = self.model.needed.max(before);
                self.model.handed = self.model.branch.len();
                let trimmed = journal.trim(before);
                self.went(trimmed, journal)
            }
            17 => self.snapshot(journal),
            18 => self.compare(journal),
            _ => self.look(),
        }
    }

    fn append(&mut self, journal: &mut Journal) -> Result<(), Ended> {
        // Often the same length, so that records can take each other's place.
        let length = match self.rng.u8(..10) {
            0 => self.rng.usize(..3000),
            1..5 => self.rng.usize(..60),
            _ => 20,
        };
        let payload: Vec<u8> = (0..length).map(|_| self.rng.u8(..)).collect();
        let kind = self.rng.u8(..240);
        let (left, right) = payload.split_at(self.rng.usize(..=length));
        // Records that were gathered before may be handed to the system first.
        self.model.handed = self.model.branch.len();
        let appended = journal.append(kind, &[left, right]);
        if let Ok(sequence) = appended {
            self.model.branch.push((sequence, kind, payload));
        }
        self.went(appended.map(drop), journal)
    }

    fn snapshot(&mut self, journal: &mut Journal) -> Result<(), Ended> {
        let number = self.rng.u64(..4);
        let snapshots = journal.snapshots();
        let may = self.model.snapshots.entry(number).or_insert_with(|| vec![None]);
        let done = if self.rng.u8(..3) == 0 {
            may.push(None);
            snapshots.forget(number)
        } else {
            let bytes: Vec<u8> = (0..self.rng.usize(..1500)).map(|_| self.rng.u8(..)).collect();
            may.push(Some(bytes.clone()));
            let mut fill = |to: &mut dyn io::Write| {
                to.write_all(&bytes[..bytes.len() / 2])?;
                to.flush()?;
                to.write_all(&bytes[bytes.len() / 2..])
            };
            let written = snapshots.write(number, &mut fill).map(drop);
            if written.is_ok() {
                *may = vec![Some(bytes)];
            }
            written
        };
        match done {
            Err(trouble) if matches!(trouble, Trouble::Broken { .. }) => {
                assert!(self.disk.failed(), "{trouble}");
                // What could not be given its name for good has none, and the one before it has gone.
                may.push(None);
                self.model.names_unsure = true;
                Ok(())
            }
            done => self.went(done, journal),
        }
    }

    /// While nothing goes wrong, the journal shows what was put in.
    fn compare(&mut self, journal: &mut Journal) -> Result<(), Ended> {
        let found = rows(journal.entries(), |entry| journal.read(entry));
        if let Ok(found) = &found {
            let all: Vec<&Row> = self.model.durable.iter().chain(&self.model.branch).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), all);
        }
        self.went(found.map(drop), journal)
    }

    fn look(&mut self) -> Result<(), Ended> {
        let looked = Journal::look(self.disk.arc(), Path::new(FOLDER));
        let found = looked.and_then(|reader| rows(reader.entries(), |entry| reader.read(entry)));
        let Ok(found) = found else { return Ok(()) };
        let model = &self.model;
        let all: Vec<&Row> = model.durable.iter().chain(&model.branch[..model.handed]).collect();
        let past = model.past.iter().map(|past| model.durable.iter().chain(past).collect());
        let known = std::iter::once(all).chain(past).any(|all: Vec<&Row>| {
            // What was trimmed is not shown; nothing else is left out at the beginning.
            let skipped = all.iter().take_while(|row| found.first().is_some_and(|first| row.0 < first.0)).count();
            found.iter().zip(&all[skipped..]).all(|(found, row)| found == *row) && found.len() <= all.len() - skipped
        });
        assert!(known, "{found:?}");
        let written = model.durable.len() + model.written;
        assert!(found.len() >= written.min(1) || model.needed > 1);
        Ok(())
    }

    /// What went wrong must be what was made to go wrong.
    fn went(&mut self, done: Result<(), Trouble>, journal: &mut Journal) -> Result<(), Ended> {
        let Err(trouble) = done else { return Ok(()) };
        assert!(is_of_a_fault(&trouble), "{trouble}");
        if matches!(trouble, Trouble::Broken { .. }) {
            assert!(matches!(journal.append(1, &[]), Err(Trouble::Broken { .. })));
            assert!(matches!(journal.write(), Err(Trouble::Broken { .. })));
            assert!(matches!(journal.sync(), Err(Trouble::Broken { .. })));
            return Err(Ended);
        }
        let ended = trouble.to_string().contains("the process has ended");
        if ended { Err(Ended) } else { Ok(()) }
    }
}

impl Model {
    fn synced(&mut self, journal: Option<&Journal>) {
        self.durable.append(&mut self.branch);
        (self.handed, self.written) = (0, 0);
        self.past.clear();
        if let Some(journal) = journal {
            assert!(journal.first() <= self.needed);
            self.first = journal.first();
            self.durable.retain(|row| row.0 >= self.first);
        }
    }

    fn gave_up(&mut self, sequence: u64) {
        let at = self.branch.partition_point(|row| row.0 < sequence);
        if at < self.handed {
            self.past.push(self.branch[..self.handed].to_vec());
        }
        self.branch.truncate(at);
        self.handed = self.handed.min(at);
        self.written = self.written.min(at);
    }
}

fn is_of_a_fault(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Full { .. } | Trouble::Broken { .. } | Trouble::Io { .. })
}

fn rows(entries: &[Entry], read: impl Fn(&Entry) -> Result<Vec<u8>, Trouble>) -> Result<Vec<Row>, Trouble> {
    entries.iter().map(|entry| Ok((entry.sequence, entry.kind, read(entry)?))).collect()
}
