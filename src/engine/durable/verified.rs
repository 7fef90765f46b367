//! Reads everything a checkpoint holds, and says all that is wrong with it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::engine::durable::image::{Owned, Owner};
use crate::engine::durable::recovered::{Recovered, parts, snapshot};
use crate::engine::durable::{COMMIT, Checkpoint, CommitHead, DONE, DoneHead, PART, ingest, positions};
use crate::journal::{Disk, Entry, Journal, Reader, Snapshots, Trouble, as_trouble};

/// What came of it.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many records were read.
    pub records: usize,
    /// How many snapshots.
    pub snapshots: usize,
    /// How many batches they make.
    pub batches: usize,
    /// What is wrong, with file and place.
    pub wrong: Vec<String>,
    /// What is odd and does no harm.
    pub odd: Vec<String>,
}

impl Checkpoint {
    /// Reads and decodes every record and every snapshot, and puts together what they say.
    pub fn verify(disk: &Arc<dyn Disk>, folder: &Path) -> Verified {
        let mut found = Verified::default();
        match Journal::look(disk.clone(), folder) {
            Ok(reader) => {
                found.records(&reader);
                found.snapshots(&reader.snapshots());
                match reader.torn() {
                    Ok(Some((file, offset))) => found.odd.push(format!(
                        "`{}` goes on behind byte {offset} with what was never made durable: the next run cuts it off",
                        file.display()
                    )),
                    Ok(None) => {}
                    Err(trouble) => found.wrong(&trouble),
                }
                let all = (reader.entries(), reader.first());
                let whole = Recovered::of(all, &reader.records(), &reader.snapshots(), None);
                match whole.and_then(|mut whole| whole.but_operators(&mut |_| Ok(()))) {
                    Ok(owned) => found.missing_logs(disk, folder, &owned),
                    Err(trouble) => found.wrong(&trouble),
                }
            }
            Err(trouble) => {
                found.wrong(&trouble);
                match Journal::snapshots_of(disk.clone(), folder) {
                    Ok(Some(snapshots)) => found.snapshots(&snapshots),
                    Ok(None) => {}
                    Err(trouble) => found.wrong(&trouble),
                }
            }
        }
        for log in ingest::folders(&**disk, folder) {
            match Journal::look(disk.clone(), &log) {
                Ok(reader) => found.log(&reader),
                // It was taken away meanwhile.
                Err(trouble) if trouble.is_absent() => {}
                Err(trouble) => found.wrong(&trouble),
            }
        }
        found
    }
}

impl Verified {
    /// A log that was read from must be there.
    fn missing_logs(&mut self, disk: &Arc<dyn Disk>, folder: &Path, owned: &Owned) {
        let sources = owned.iter().filter(|(owner, _)| matches!(owner, Owner::Source(_)));
        for (_, (_, tables)) in sources {
            let known = positions::read(tables).map(|state| state.positions).unwrap_or_default();
            let read = known.iter().filter(|(split, at)| ingest::is_log(split) && !at.0.is_empty());
            for (split, _) in read {
                match Journal::look(disk.clone(), &folder.join(&split.id)) {
                    Err(trouble) if trouble.is_absent() => self.wrong(&trouble),
                    // What else is wrong with it is said of the log.
                    _ => {}
                }
            }
        }
    }

    /// What is in a log is its source's business.
    fn log(&mut self, reader: &Reader) {
        let records = reader.records();
        self.records += reader.entries().len();
        for entry in reader.entries() {
            if let Err(trouble) = records.read(entry) {
                self.wrong(&trouble);
            }
        }
    }

    fn records(&mut self, reader: &Reader) {
        let (entries, records) = (reader.entries(), reader.records());
        self.records = entries.len();
        let mut start = 0;
        for (i, entry) in entries.iter().enumerate() {
            let read = match entry.kind {
                PART => continue,
                COMMIT => {
                    self.batches += 1;
                    parts::<CommitHead>(&entries[start..=i], &records).map(drop)
                }
                DONE => parts::<DoneHead>(std::slice::from_ref(entry), &records).map(drop),
                _ => records.read(entry).map(drop),
            };
            if let Err(trouble) = read {
                self.wrong(&trouble);
            }
            start = i + 1;
        }
        self.unfinished(&entries[start..], reader);
    }

    fn unfinished(&mut self, left: &[Entry], reader: &Reader) {
        if let Some(first) = left.first() {
            let (file, offset) = reader.records().place(Some(first));
            let (file, offset) = (file.display(), offset.unwrap_or_default());
            self.odd.push(format!("`{file}` has a batch at byte {offset} that was not committed: it is not counted"));
        }
    }

    fn snapshots(&mut self, snapshots: &Snapshots) {
        match snapshots.list() {
            Ok(numbers) => {
                self.snapshots = numbers.len();
                for number in numbers {
                    let sound = bytes(snapshots, number)
                        .and_then(|()| snapshot(snapshots, number))
                        .and_then(|mut found| found.each(&mut |_| Ok(())));
                    if let Err(trouble) = sound {
                        self.wrong(&trouble);
                    }
                }
            }
            Err(trouble) => self.wrong(&trouble),
        }
    }

    /// The same is said once.
    fn wrong(&mut self, trouble: &Trouble) {
        let mut said: BTreeSet<String> = self.wrong.drain(..).collect();
        said.insert(trouble.to_string());
        self.wrong = said.into_iter().collect();
    }
}

/// Whether a snapshot's sums are right; where not, the place is told better than by who decodes it.
fn bytes(snapshots: &Snapshots, number: u64) -> Result<(), Trouble> {
    let copied = io::copy(&mut snapshots.read(number)?, &mut io::sink());
    copied.map(drop).map_err(|error| as_trouble(&snapshots.path(number), error))
}
