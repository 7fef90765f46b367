//! Files that were found and not read to their end, in the order in which they will be.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, Metadata};
use std::path::Path;

use crate::plan::Settings;
use crate::plan::seams::{Backlog, Limits, Positions, Split};
use crate::sources::files::listing::Found;
use crate::sources::files::place::{Place, changed};

/// At most so many files a batch where `max_files` does not say otherwise: a batch must not be a million files.
const MOST: usize = 10_000;

/// So many files are looked at for their size; with more, how much there is to read is not told in bytes.
const WEIGHED: usize = 20_000;

/// What waits.
pub(super) struct Waiting {
    by_time: bool,
    max_files: usize,
    /// All there are by path, with their numbers.
    all: Found,
    queue: VecDeque<File>,
    /// So many at the front were handed out last.
    handed: usize,
    /// How many places were known when it was last looked.
    known: usize,
}

/// A file that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    /// When it was last changed, and its size; none where that was not asked.
    about: Option<(i64, u64)>,
}

impl Waiting {
    pub(super) fn new(settings: &Settings) -> Self {
        let max_files = settings.integer("max_files").and_then(|n| usize::try_from(n).ok());
        Waiting {
            by_time: settings.text("order") == Some("time"),
            max_files: max_files.unwrap_or(MOST),
            all: Found::new(),
            queue: VecDeque::new(),
            handed: 0,
            known: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether places were forgotten, so that everything is to be read again.
    pub(super) fn is_stale(&self, known: &Positions) -> bool {
        known.len() < self.known
    }

    /// Drops what was read to its end. Only what was handed out can be.
    pub(super) fn forget_done(&mut self, known: &Positions) {
        let handed: Vec<File> = self.queue.drain(..self.handed.min(self.queue.len())).collect();
        for file in handed.into_iter().rev() {
            let place = known.get(&Split { id: file.path.clone() });
            if place.is_none_or(|place| !Place::read(place).done) {
                self.queue.push_front(file);
            }
        }
        self.handed = 0;
    }

    /// The names there are.
    pub(super) fn names(&mut self, found: Found) {
        self.all = found;
    }

    /// By name.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Takes in what was found (none: the same as before); gives what is left out, with the reason. `keeps`: files stay
    /// where they are, so what has a name that was read is not read.
    pub(super) fn found(
        &mut self,
        found: Option<Found>,
        known: &Positions,
        base: &Path,
        keeps: bool,
    ) -> Vec<(String, &'static str)> {
        let same = found.is_none() && !self.is_stale(known);
        self.all = found.unwrap_or_else(|| std::mem::take(&mut self.all));
        self.known = known.len();
        if same {
            return Vec::new();
        }
        let before: HashMap<String, File> = self.queue.drain(..).map(|file| (file.path.clone(), file)).collect();
        let mut left_out = Vec::new();
        // Both are in the order of names.
        let mut places = known.iter().peekable();
        for (path, inode) in &self.all {
            while places.next_if(|(split, place)| split.id < *path && note_gone(place, split, &mut left_out)).is_some()
            {
            }
            let place = places.next_if(|(split, _)| split.id == *path).map(|(_, place)| Place::read(place));
            match place {
                Some(place) if place.done => {
                    if keeps && place.file.is_known() && place.file.inode != *inode {
                        left_out.push((path.clone(), "another file of this name was read before"));
                    }
                }
                _ => {
                    let file = before.get(path).cloned();
                    self.queue.push_back(file.unwrap_or_else(|| File { path: path.clone(), about: None }));
                }
            }
        }
        places.for_each(|(split, place)| {
            note_gone(place, split, &mut left_out);
        });
        if self.queue.len() <= WEIGHED || self.by_time {
            for file in self.queue.iter_mut().filter(|file| file.about.is_none()) {
                file.look(base);
            }
        }
        self.sort();
        left_out
    }

    /// The paths of files that were read before and are there.
    pub(super) fn read_before(&self, known: &Positions) -> Vec<String> {
        let done = |path: &&String| {
            let place = known.get(&Split { id: (*path).clone() });
            place.is_some_and(|place| Place::read(place).done)
        };
        self.all.keys().filter(done).cloned().collect()
    }

    /// A file that is to be read although its name is known.
    pub(super) fn add(&mut self, path: String, about: &Metadata) {
        if !self.queue.iter().any(|file| file.path == path) {
            self.queue.push_back(File { path, about: Some((changed(about), about.len())) });
            self.sort();
        }
    }

    fn sort(&mut self) {
        let files = self.queue.make_contiguous();
        if self.by_time {
            files.sort_by(|a, b| (a.about.map(|a| a.0), &a.path).cmp(&(b.about.map(|b| b.0), &b.path)));
        }
    }

    /// What a batch is to read, and what it never will because it was changed too early. A file that may still be
    /// written holds nobody else up.
    pub(super) fn next(
        &mut self,
        base: &Path,
        since: i64,
        settle: i64,
        limits: &Limits,
        held: &dyn Fn(&str) -> bool,
    ) -> (Vec<Split>, Vec<String>) {
        let most = self.max_files.min(self.queue.len());
        let (mut ready, mut early, mut behind) = (VecDeque::new(), Vec::new(), Vec::new());
        while ready.len() < most {
            let Some(mut file) = self.queue.pop_front() else { break };
            if since > i64::MIN || settle > 0 {
                let time =
                    if settle > 0 { file.look(base) } else { file.about.map(|a| a.0).or_else(|| file.look(base)) };
                if time.is_some_and(|time| time < since) {
                    early.push(file.path);
                    continue;
                }
                if settle > 0 && !limits.drain && file.may_be_written(limits.now, settle) {
                    behind.push(file);
                    continue;
                }
            }
            if held(&file.path) { behind.push(file) } else { ready.push_back(file) }
        }
        self.handed = ready.len();
        let splits = ready.iter().map(|file| Split { id: file.path.clone() }).collect();
        for file in behind.into_iter().rev() {
            self.queue.push_front(file);
        }
        for file in ready.into_iter().rev() {
            self.queue.push_front(file);
        }
        (splits, early)
    }

    pub(super) fn backlog(&self) -> Backlog {
        let bytes = self.queue.iter().map(|file| file.about.map(|about| about.1));
        Backlog { rows: None, bytes: bytes.sum(), pieces: Some(self.queue.len() as u64) }
    }
}

impl File {
    fn look(&mut self, base: &Path) -> Option<i64> {
        self.about = fs::metadata(base.join(&self.path)).ok().map(|about| (changed(&about), about.len()));
        self.about.map(|about| about.0)
    }

    /// Whether somebody may be writing it: it is empty, or was changed a moment ago. One that was changed long after the
    /// time of the batch is in another time than the run, which is none of its business.
    fn may_be_written(&self, now: i64, settle: i64) -> bool {
        self.about.is_some_and(|(changed, size)| size == 0 || now.saturating_sub(changed).abs() < settle)
    }
}

/// A file that is gone before it was read to its end.
fn note_gone(place: &crate::plan::seams::Position, split: &Split, left_out: &mut Vec<(String, &'static str)>) -> bool {
    if !Place::read(place).done && !split.id.starts_with("/start/") {
        left_out.push((split.id.clone(), "it went away before it was read to its end"));
    }
    true
}
