//! The running half of `files`: finds, reads from a place on, and clears away what is done with.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Backlog, BadRow, Bell, LeftOut, Limits, Position, Positions, Read, Source, Split};
use crate::plan::{Conflict, OptionValue, Settings};
use crate::sources::cutter;
use crate::sources::files::after::After;
use crate::sources::files::columns::Columns;
use crate::sources::files::listing::Listing;
use crate::sources::files::opened::{Opened, Packed, Trouble};
use crate::sources::files::pattern::Pattern;
use crate::sources::files::place::{Head, Identity, Place, changed};
use crate::sources::files::tail::Tail;
use crate::sources::files::waiting::Waiting;
use crate::sources::files::watch::Watch;

/// The split that remembers when a source with `start: latest` started. No file has this name.
const START_SPLIT: &str = "/start/";

/// What of its options does not go together.
pub(super) fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let pattern = Pattern::conflict(settings.text("path").unwrap_or_default());
    let mut found: Vec<_> = pattern.into_iter().chain(After::conflict(settings)).collect();
    if !settings.flag("tail") {
        return found;
    }
    let mut refused = |option, why: &str| {
        let message = format!("`tail: true` follows files by whole lines, {why}");
        found.push(Conflict::between(option, message, "leave one of the two out"));
    };
    if matches!(settings.text("compression"), Some("gzip" | "zstd")) {
        refused("compression", "and files that are compressed have none before they are unpacked");
    }
    let lines = endpoint.format.as_ref().is_none_or(|format| (format.entry.records)(&format.settings).lines);
    if !lines {
        refused("tail", "and this format has none");
    }
    if matches!(settings.text("after"), Some("move" | "delete")) {
        refused("after", "so there is no moment when one was read");
    }
    found
}

pub(super) fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let path = settings.text("path").ok_or_else(|| NotRunnable("source `files` has no path".into()))?;
    let pattern = Pattern::new(path, &endpoint.base, settings.flag("recursive"))?;
    let root = endpoint.base.join(pattern.root());
    let after = After::of(settings, &endpoint.base, root);
    let columns = Columns::new(endpoint)?;
    let packed = Packed::of(settings);
    Ok(Box::new(Files {
        listing: Listing::new(pattern, endpoint.base.clone(), after.folder()),
        base: endpoint.base.clone(),
        waiting: Waiting::new(settings),
        tail: settings.flag("tail").then(Tail::default),
        start: Start::of(settings),
        settle: settings.duration("settle").unwrap_or(0),
        poll: settings.duration("poll").unwrap_or(0),
        longest: cutter::longest(endpoint),
        looked: None,
        watch: None,
        opened: None,
        refused: HashMap::new(),
        columns,
        packed,
        after,
    }))
}

pub(super) struct Files {
    pub(super) listing: Listing,
    pub(super) base: PathBuf,
    columns: Columns,
    waiting: Waiting,
    /// Files that grow are followed.
    tail: Option<Tail>,
    start: Start,
    settle: i64,
    poll: i64,
    longest: usize,
    /// None: by the name.
    packed: Option<Packed>,
    after: After,
    /// When it was last looked.
    looked: Option<i64>,
    watch: Option<Watch>,
    /// The file that the next batch goes on with, as it was left.
    opened: Option<(Split, Position, Opened)>,
    /// Files that cannot be read, and when that is tried again.
    refused: HashMap<String, i64>,
}

/// Which files count.
#[derive(Debug, Clone, Copy)]
enum Start {
    Earliest,
    /// Those changed since the first time it is asked.
    Latest,
    Since(i64),
}

impl Start {
    fn of(settings: &Settings) -> Self {
        match settings.get("start") {
            Some(OptionValue::Timestamp(micros)) => Start::Since(*micros),
            Some(OptionValue::Symbol(word)) if word == "latest" => Start::Latest,
            _ => Start::Earliest,
        }
    }
}

impl Source for Files {
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        self.columns.leave_out(unread);
        // It was opened for other columns.
        self.opened = None;
    }

    fn ring(&mut self, bell: &Bell) {
        self.watch = Watch::start(bell);
    }

    fn discover(&mut self, known: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        let since = match self.start(known, limits) {
            Ok(since) => since,
            Err(first) => return Ok(first),
        };
        if let Some(mut tail) = self.tail.take() {
            let due = self.is_due(limits, false);
            let found = tail.discover(self, known, (due, limits.drain), since);
            self.tail = Some(tail);
            return Ok(found);
        }
        self.waiting.forget_done(known);
        if self.is_due(limits, !self.waiting.is_empty()) || self.waiting.is_stale(known) {
            self.look(known, limits.now);
        }
        let held = |path: &str| self.refused.get(path).is_some_and(|until| limits.now < *until);
        let (ready, early) = self.waiting.next(&self.base, since, self.settle, limits, &held);
        for path in early {
            self.listing.leave_out(&path, "last changed before `start`");
        }
        Ok(ready)
    }

    fn read(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        if split.id == START_SPLIT {
            let to = Place { offset: limits.now.unsigned_abs(), ..Place::default() }.write();
            return Ok(Read { to, exhausted: true, ..Read::default() });
        }
        self.columns.now(limits.now);
        match self.read_file(split, from, limits) {
            Ok(read) => Ok(read),
            Err(Trouble::Task(e)) => Err(e),
            Err(Trouble::Io(e)) => self.not_read(split, from, limits, &e),
        }
    }

    fn ack(&mut self, split: &Split, position: &Position) -> Result<(), TaskError> {
        let place = Place::read(position);
        if !place.done || split.id == START_SPLIT {
            return Ok(());
        }
        if let Err(e) = self.after.clear(&self.base.join(&split.id), place.file) {
            tracing::warn!(file = %split.id, %e, "a file that was read cannot be cleared away");
            self.listing.leave_out(&split.id, "was read, but cannot be cleared away");
        }
        Ok(())
    }

    fn shown(&self, position: &Position) -> String {
        let place = Place::read(position);
        match place.done {
            true => "all".into(),
            false => format!("byte {}, line {}", place.offset, place.lines + place.given),
        }
    }

    fn backlog(&self) -> Backlog {
        match &self.tail {
            Some(tail) => tail.backlog(),
            None => self.waiting.backlog(),
        }
    }

    fn left_out(&mut self) -> Vec<LeftOut> {
        self.listing.left_out()
    }

    /// From the names, sizes and times of all files.
    fn version(&mut self) -> Option<u64> {
        if let Some(found) = self.listing.look(self.looked.unwrap_or(0)) {
            self.waiting.names(found);
        }
        let mut hash = DefaultHasher::new();
        for name in self.waiting.all() {
            let about = fs::metadata(self.base.join(name)).ok();
            (name, about.as_ref().map(Metadata::len), about.and_then(|a| a.modified().ok())).hash(&mut hash);
        }
        Some(hash.finish())
    }
}

impl Files {
    /// Since when files count. `Err`: what must be remembered first.
    fn start(&mut self, known: &Positions, limits: &Limits) -> Result<i64, Vec<Split>> {
        match self.start {
            Start::Earliest => Ok(i64::MIN),
            Start::Since(micros) => Ok(micros),
            Start::Latest => {
                let split = Split { id: START_SPLIT.into() };
                match known.get(&split).map(|position| Place::read(position).offset) {
                    Some(micros) => Ok(i64::try_from(micros).unwrap_or(i64::MAX)),
                    None => {
                        let mut first = vec![split];
                        if let Some(mut tail) = self.tail.take() {
                            first.extend(tail.start_at_ends(self));
                            self.tail = Some(tail);
                        }
                        let _ = limits;
                        Err(first)
                    }
                }
            }
        }
    }

    /// Looks no more often than `poll` says, unless something rang; a run that waits for nothing looks when it has read
    /// what it found.
    fn is_due(&mut self, limits: &Limits, waits: bool) -> bool {
        let rung = self.watch.as_ref().is_some_and(Watch::changed);
        let due = match self.looked {
            None => true,
            Some(_) if limits.drain => !waits,
            Some(when) => rung || limits.now < when || limits.now - when >= self.poll,
        };
        if due {
            self.looked = Some(limits.now);
        }
        due
    }

    /// The files there are now; none where they are those of before.
    pub(super) fn find(&mut self) -> Option<crate::sources::files::listing::Found> {
        let found = self.listing.look(self.looked.unwrap_or(0));
        if let (Some(watch), Some(_)) = (&mut self.watch, &found) {
            let root = self.listing.root();
            watch.folders(self.listing.folders().chain([root]).filter(|folder| folder.is_dir()));
        }
        found
    }

    fn look(&mut self, known: &Positions, now: i64) {
        let found = self.find();
        let keeps = matches!(self.after, After::Keep);
        self.refused.retain(|_, until| now < *until);
        for (path, seen) in self.waiting.found(found, known, &self.base, keeps) {
            self.listing.leave_out(&path, seen);
        }
        if let After::Keep = self.after {
            return;
        }
        // Read before, and still there: either it could not be cleared away, or another has its name.
        for path in self.waiting.read_before(known) {
            let full = self.base.join(&path);
            let place = known.get(&Split { id: path.clone() }).map(Place::read).unwrap_or_default();
            match fs::metadata(&full) {
                Ok(about) if Identity::exact(&about) == place.file => {
                    if self.after.clear(&full, place.file).is_err() {
                        self.listing.leave_out(&path, "was read, but cannot be cleared away");
                    }
                }
                Ok(about) => self.waiting.add(path, &about),
                Err(_) => {}
            }
        }
    }

    fn read_file(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, Trouble> {
        let mut place = Place::read(from);
        if self.tail.as_ref().is_some_and(|tail| tail.is_gone(split)) {
            return Ok(Read { to: Place::at_end(place.file).write(), exhausted: true, ..Read::default() });
        }
        if place.done {
            // Another file has the name of one that was read and cleared away.
            place = Place::default();
        }
        let path = self.tail.as_ref().and_then(|tail| tail.path(split)).unwrap_or_else(|| split.id.clone());
        let file = File::open(self.base.join(&path))?;
        let about = file.metadata()?;
        let exact = if matches!(self.after, After::Keep) { Identity::of(&about) } else { Identity::exact(&about) };
        if !about.is_file() {
            self.listing.leave_out(&path, "no plain file");
            return Ok(Read { to: Place::at_end(exact).write(), exhausted: true, ..Read::default() });
        }
        if let Some(tail) = &mut self.tail
            && tail.starts_at_end(split)
        {
            return Ok(Read { to: Tail::end_of(&file, &about)?.write(), exhausted: true, ..Read::default() });
        }
        let packed = match self.packed.unwrap_or_else(|| Packed::by_name(&path)) {
            _ if about.len() == 0 || self.tail.is_some() => Packed::No,
            packed => packed,
        };
        if let Some(why) = changed_since(&file, &about, place, packed) {
            tracing::warn!(file = %path, "{why}");
            self.opened = None;
            if self.tail.is_none() {
                self.listing
                    .leave_out(&path, "it is not what it was when its first part was read; the rest is left out");
                return Ok(Read { to: Place::at_end(exact).write(), exhausted: true, ..Read::default() });
            }
            if !place.file.is(Identity::of(&about)) {
                // Its name has gone to another file meanwhile; it is looked for when it is next listed.
                return Ok(Read { to: from.clone(), exhausted: true, ..Read::default() });
            }
            place = Place::default();
        }
        let of_file = match self.columns.of_file(&path, changed(&about))? {
            Ok(of_file) => of_file,
            Err(reason) => {
                let bad = vec![BadRow { text: String::new(), reason, place: path, line: 0, bytes: None }];
                return Ok(Read { bad, to: Place::at_end(exact).write(), exhausted: true, ..Read::default() });
            }
        };
        let mut opened = match self.opened.take() {
            Some((of, at, opened)) if of == *split && at == *from && self.tail.is_none() => opened,
            _ => Opened::open(file.try_clone()?, packed, &of_file.codec, place, self.longest)?,
        };
        let ends = self.tail.is_none() || limits.drain;
        let mut read = Read::default();
        let mut rows = 0;
        while rows < limits.rows && read.bytes < limits.bytes && !read.exhausted {
            let left = Limits { bytes: limits.bytes - read.bytes, ..*limits };
            let mut step = opened.step(limits.rows - rows, ends, &left)?;
            self.columns.complete(&of_file, &mut step.decoded, step.before)?;
            read.bytes += step.bytes;
            read.exhausted = step.end;
            let placed = |row: BadRow| BadRow { place: path.clone(), line: row.line + step.before + 1, ..row };
            read.bad.extend(step.decoded.bad.into_iter().map(placed));
            read.blocks.extend(step.decoded.blocks.into_iter().filter(|block| block.num_rows() > 0));
            rows = cutter::count(&read.blocks) + read.bad.len();
        }
        let mut to = opened.place();
        to.file = Identity::of(&about);
        match &mut self.tail {
            Some(tail) => {
                if read.exhausted {
                    tail.stands(split, &about);
                }
                to.head = Head::of(&file, to.offset)?;
            }
            None if read.exhausted => to = Place::at_end(exact),
            None if packed == Packed::No => to.head = Head::of(&file, to.offset)?,
            None => {}
        }
        read.to = to.write();
        if !read.exhausted {
            self.opened = Some((split.clone(), read.to.clone(), opened));
        }
        Ok(read)
    }

    /// What becomes of a file that the system does not give.
    fn not_read(&mut self, split: &Split, from: &Position, limits: &Limits, e: &io::Error) -> Result<Read, TaskError> {
        self.opened = None;
        match e.kind() {
            io::ErrorKind::NotFound if self.tail.is_some() => {
                Ok(Read { to: from.clone(), exhausted: true, ..Read::default() })
            }
            io::ErrorKind::NotFound => {
                self.listing.leave_out(&split.id, "it went away before it was read to its end");
                let to = Place::at_end(Place::read(from).file).write();
                Ok(Read { to, exhausted: true, ..Read::default() })
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                self.listing.leave_out(&split.id, "it may not be read");
                let wait = self.poll.max(1_000_000).saturating_mul(10);
                self.refused.insert(split.id.clone(), limits.now.saturating_add(wait));
                Ok(Read { to: from.clone(), exhausted: true, ..Read::default() })
            }
            _ => Err(TaskError::Retry(format!("cannot read `{}`: {e}", split.id))),
        }
    }
}

/// Why a file is not the one that a place is in; none where it is.
fn changed_since(file: &File, about: &Metadata, place: Place, packed: Packed) -> Option<&'static str> {
    if !place.file.is_known() {
        return None;
    }
    if !place.file.is(Identity::of(about)) {
        return Some("another file has its name");
    }
    if packed == Packed::No && (about.len() < place.offset || !place.head.fits(file)) {
        return Some("the file was cut short or written anew");
    }
    None
}

#[cfg(test)]
mod tests;
