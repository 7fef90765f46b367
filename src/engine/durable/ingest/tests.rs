//! A log on a disk that loses what was not synced, held against a plain list of what was told to be on it.
//!
//! Long: `LOG_SEED=1 LOG_CRASHES=1000000 cargo test --release --lib durable::ingest -- --nocapture`.
#![expect(clippy::print_stdout, reason = "what was found is told to whoever runs it by hand")]

use fastrand::Rng;

use super::*;
use crate::journal::simulated::{Fault, SimulatedDisk};

const CHECKPOINT: &str = "/checkpoint";

fn folder() -> PathBuf {
    Path::new(CHECKPOINT).join(FOLDER).join("1")
}

fn about() -> About {
    About { pipeline: "p".into() }
}

/// What was added, and what of it must be there.
#[derive(Default)]
struct Model {
    /// All messages from the first on, as they must be, or may be.
    messages: Vec<Vec<u8>>,
    /// So many are on the disk.
    synced: u64,
    /// Messages before it may be gone.
    needed: u64,
}

impl Model {
    /// What a log was found to hold: all that was told to be there, as it was, and of the rest the first so many.
    fn holds(&mut self, log: &Log) {
        let from = self.needed.max(1);
        let found = log.read(if self.needed == 0 { 0 } else { from }).unwrap();
        let first = found.first().map_or(log.shared.state().next, |(number, _)| *number);
        assert!(first <= from, "message {from} is needed, and the first is {first}");
        for (place, (number, bytes)) in found.iter().enumerate() {
            assert_eq!(*number, first + place as u64, "numbers go up by one");
            assert!(bytes == &self.messages[*number as usize - 1], "message {number} is another one");
        }
        let next = first + found.len() as u64;
        assert_eq!(next, log.shared.state().next, "it goes on behind the last one");
        assert!(next > self.synced, "{} were on the disk, and {next} is the next", self.synced);
        assert!(next <= self.messages.len() as u64 + 1, "nothing was added that is not known");
        self.messages.truncate(next as usize - 1);
        self.synced = next - 1;
    }
}

/// One life after the other, on a disk that fails; gives how often it ended.
fn lives(seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let disk = SimulatedDisk::new(seed);
    let tuning = || Tuning { segment_bytes: 800 };
    let (mut model, mut crashes) = (Model::default(), 0);
    for _ in 0..rng.u32(3..12) {
        let fails = rng.u8(0..4) > 0;
        if fails {
            disk.fail(rng.u64(0..60), rng.u64(1..4), fault(&mut rng));
        }
        match Log::found(disk.arc(), &folder(), &about(), tuning(), "ingest/1".into()) {
            Ok((log, writer)) => {
                disk.failed();
                model.holds(&log);
                if fails {
                    disk.fail(rng.u64(0..60), rng.u64(1..4), fault(&mut rng));
                }
                work(&mut rng, &disk, &mut model, log, writer);
            }
            Err(trouble) => assert!(is_of_the_disk(&trouble) && fails, "LOG_SEED={seed}: {trouble}"),
        }
        if rng.bool() {
            disk.kill()
        } else {
            disk.crash(rng.u64(..))
        }
        disk.set_room(None);
        crashes += 1;
    }
    let (log, _) = Log::found(disk.arc(), &folder(), &about(), tuning(), "ingest/1".into()).unwrap();
    model.holds(&log);
    crashes
}

fn fault(rng: &mut Rng) -> Fault {
    match rng.u8(0..4) {
        0 => Fault::Error(std::io::Error::from_raw_os_error(5).kind()),
        1 => Fault::Error(ErrorKind::StorageFull),
        _ => Fault::Death,
    }
}

/// What a disk may say; never that somebody else has changed what was written.
fn is_of_the_disk(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Full { .. } | Trouble::Broken { .. } | Trouble::Io { .. })
}

/// Messages come, are brought to the disk and used up, until something fails or it is enough.
fn work(rng: &mut Rng, disk: &SimulatedDisk, model: &mut Model, log: Log, mut writer: Writer) {
    for _ in 0..rng.u32(1..60) {
        match rng.u8(0..12) {
            0..6 => {
                let length = [rng.usize(0..40), rng.usize(0..200), rng.usize(0..1_500)][rng.usize(0..3)];
                let message: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                model.messages.push(message.clone());
                assert_eq!(log.append(message), model.messages.len() as u64);
            }
            6..10 => {
                match writer.turn(&log.shared) {
                    Ok(()) => assert_eq!(log.unsynced().unwrap(), model.messages.len() as u64 + 1, "all is there"),
                    Err(trouble) => {
                        assert!(is_of_the_disk(&trouble), "{trouble}");
                        model.synced = model.synced.max(log.unsynced().unwrap() - 1);
                        if !matches!(trouble, Trouble::Full { .. }) {
                            return;
                        }
                    }
                }
                model.synced = model.synced.max(log.unsynced().unwrap() - 1);
            }
            10 => {
                // Batches have had some of what is there.
                let to = rng.u64(model.needed.max(1)..=model.synced + 1);
                model.needed = model.needed.max(to);
                log.trim(to);
            }
            _ => disk.set_room(rng.bool().then(|| rng.u64(0..3_000))),
        }
    }
    if rng.bool() && writer.turn(&log.shared).is_ok() {
        model.synced = log.unsynced().unwrap() - 1;
        let _ = writer.journal.close();
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn what_was_told_to_be_in_a_log_is_there_whatever_the_disk_loses() {
    let (most, first) = (number("LOG_CRASHES", 2_000), number("LOG_SEED", 1));
    let (mut crashes, mut seed, begun) = (0, first, Instant::now());
    while crashes < most {
        let life = std::panic::catch_unwind(|| lives(seed));
        crashes += life.unwrap_or_else(|panic| {
            println!("LOG_SEED={seed} fails");
            std::panic::resume_unwind(panic)
        });
        seed += 1;
    }
    println!("{crashes} crashes, seeds {first} to {}, {:?}", seed - 1, begun.elapsed());
}

#[test]
fn a_log_whose_messages_are_used_up_takes_no_more_room_than_a_few_segments() {
    let disk = SimulatedDisk::new(1);
    let tuning = Tuning { segment_bytes: 2_000 };
    let (log, mut writer) = Log::found(disk.arc(), &folder(), &about(), tuning, "ingest/1".into()).unwrap();
    for n in 1..2_000 {
        assert_eq!(log.append(vec![7; 100]), n);
        writer.turn(&log.shared).unwrap();
        log.trim(n);
        let bytes: usize = disk.files().iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes < 20_000, "{bytes} bytes for message {n}");
    }
}

#[test]
fn numbers_go_on_when_nothing_is_left() {
    let disk = SimulatedDisk::new(1);
    let open =
        || Log::found(disk.arc(), &folder(), &about(), Tuning { segment_bytes: 300 }, "ingest/1".into()).unwrap();
    let mut next = 1;
    for life in 0..20 {
        let (log, mut writer) = open();
        assert_eq!(log.read(next).unwrap(), Vec::new());
        for _ in 0..life % 5 {
            assert_eq!(log.append(vec![1; 200]), next);
            next += 1;
            writer.turn(&log.shared).unwrap();
            log.trim(next);
            writer.turn(&log.shared).unwrap();
        }
        drop((log, writer));
        disk.crash(life);
    }
}

#[test]
fn a_log_that_was_used_up_makes_room_while_the_disk_is_full() {
    let disk = SimulatedDisk::new(1);
    let tuning = Tuning { segment_bytes: 2_000 };
    let (log, mut writer) = Log::found(disk.arc(), &folder(), &about(), tuning, "ingest/1".into()).unwrap();
    for _ in 0..40 {
        log.append(vec![7; 500]);
        writer.turn(&log.shared).unwrap();
    }
    disk.set_room(Some(400));
    let waits = log.append(vec![8; 1_000]);
    let full = (0..3).all(|_| matches!(writer.turn(&log.shared), Err(Trouble::Full { .. })));
    assert!(full && log.unsynced().unwrap() == waits, "it waits, and nobody is told that it is there");
    log.trim(waits);
    let turns = (0..5).take_while(|_| writer.turn(&log.shared).is_err()).count();
    assert!(turns < 5, "what batches have had is let go of, so there is room");
    assert_eq!(log.unsynced().unwrap(), waits + 1);
}

#[test]
fn a_message_that_is_missing_is_said_and_not_passed_over() {
    let disk = SimulatedDisk::new(1);
    let tuning = || Tuning { segment_bytes: 2_000 };
    let open = || Log::found(disk.arc(), &folder(), &about(), tuning(), "ingest/1".into()).unwrap();
    let (log, mut writer) = open();
    log.append(vec![1]);
    log.append(vec![2]);
    writer.turn(&log.shared).unwrap();
    drop((log, writer));
    let (log, writer) = open();
    assert_eq!(log.read(2).unwrap(), [(2, vec![2])]);
    assert_eq!(log.read(3).unwrap(), []);
    let why = log.read(4).unwrap_err().to_string();
    assert!(why.contains("message 4 is missing; put back a copy"), "{why}");
    drop((log, writer));
}

#[test]
fn logs_of_sources_that_are_gone_are_taken_away_and_their_numbers_are_not_given_again() {
    let disk = SimulatedDisk::new(1);
    let logs = || Logs::of(disk.arc(), Path::new(CHECKPOINT), about()).unwrap();
    let split = |number: u64| Split { id: format!("{FOLDER}/{number}") };
    let at = |number| Positions::from([(split(number), crate::plan::seams::Position::default())]);
    let new = |logs: &mut Logs| logs.open(&Positions::new()).unwrap().0.name().to_owned();
    let mut all = logs();
    assert_eq!([new(&mut all), new(&mut all), new(&mut all)], ["ingest/1", "ingest/2", "ingest/3"]);
    let there = || folders(&*disk.arc(), Path::new(CHECKPOINT)).len();
    assert_eq!(there(), 3);
    all.keep_only([split(2), Split { id: "a file".into() }].iter()).unwrap();
    assert_eq!(there(), 1);
    drop(all.open(&at(2)).unwrap());
    // Behind a restart as well.
    let mut all = logs();
    assert_eq!(new(&mut all), "ingest/4");
    all.keep_only([].iter()).unwrap();
    all.keep_only([].iter()).unwrap();
    assert_eq!(there(), 0);
    assert_eq!(new(&mut logs()), "ingest/5");
}

#[test]
fn taking_a_log_away_can_be_cut_short_anywhere() {
    for (power, calls) in (0..40).flat_map(|calls| [(false, calls), (true, calls)]) {
        let disk = SimulatedDisk::new(calls);
        let logs = || Logs::of(disk.arc(), Path::new(CHECKPOINT), about());
        for _ in 0..2 {
            let (log, _) = logs().unwrap().open(&Positions::new()).unwrap();
            log.append(vec![1; 5_000]);
        }
        disk.fail(calls, 1, Fault::Death);
        let done = logs().and_then(|mut logs| logs.keep_only([].iter()));
        if power {
            disk.crash(calls)
        } else {
            disk.kill()
        }
        // What is left is a log that nobody asks for, or none, and never a damaged one.
        for log in folders(&*disk.arc(), Path::new(CHECKPOINT)) {
            Journal::look(disk.arc(), &log).unwrap();
        }
        logs().unwrap().keep_only([].iter()).unwrap();
        assert!(folders(&*disk.arc(), Path::new(CHECKPOINT)).is_empty(), "{done:?}");
        assert_eq!(logs().unwrap().next, 3);
    }
}
