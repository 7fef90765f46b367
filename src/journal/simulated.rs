//! A disk in memory that keeps apart what the system shows and what is durable, and loses the difference: for tests of
//! the journal and of what stands on it.
//!
//! [`SimulatedDisk::kill`] ends the process: locks are free, files that were open are not, all that was written is
//! there. [`SimulatedDisk::crash`] cuts the power: of what was not synced each sector of 512 bytes is there, or not, or
//! in part; a file has any length it had since its last sync; each name that was made, changed or removed since its
//! folder was synced is so, or not. [`SimulatedDisk::fail`] lets some of the next calls fail, or lets the process die
//! in the middle of one. A sync that fails makes some of the sectors durable and forgets that the others are not, as
//! Linux does: what is read stays as it was, until the power is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use crate::journal::{Disk, DiskBytes, DiskFile, Lock};

const SECTOR: u64 = 512;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails; what it was to write is there in part.
    Error(io::ErrorKind),
    /// The process ends in the middle of it: perhaps it was done, perhaps in part, perhaps not. All that follows fails
    /// until the disk is told of [`SimulatedDisk::kill`] or [`SimulatedDisk::crash`].
    Death,
}

/// See above. Copies are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    contents: BTreeMap<u64, Contents>,
    next_number: u64,
    folders: BTreeSet<PathBuf>,
    /// What the system shows.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// What lies between the two, in order.
    renamings: Vec<Naming>,
    locked: BTreeSet<PathBuf>,
    /// Counts processes: what one opened is closed when it ends.
    process: u64,
    dead: bool,
    /// After so many calls so many fail.
    fault: Option<(u64, u64, Fault)>,
    /// So many bytes can be written in all.
    room: Option<u64>,
    /// Calls so far.
    calls: u64,
}

/// A file. Its number and not its name is what an open file knows.
#[derive(Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What lies between the two, in order.
    changes: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

enum Naming {
    Made(PathBuf, u64),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf, u64),
}

impl SimulatedDisk {
    /// An empty disk. The same seed and the same calls give the same disk.
    pub(crate) fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk(Arc::new(Mutex::new(State {
            rng: Rng::with_seed(seed),
            contents: BTreeMap::new(),
            next_number: 1,
            folders: BTreeSet::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamings: Vec::new(),
            locked: BTreeSet::new(),
            process: 1,
            dead: false,
            fault: None,
            room: None,
            calls: 0,
        })))
    }

    /// The same disk, as the journal takes it.
    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Ends the process.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.process += 1;
        state.dead = false;
        state.fault = None;
        state.locked.clear();
    }

    /// Cuts the power.
    pub(crate) fn crash(&self, seed: u64) {
        self.kill();
        let mut state = self.state();
        let state = &mut *state;
        let mut rng = Rng::with_seed(seed);
        state.names = names_after_crash(&state.durable_names, &state.renamings, &mut rng);
        state.durable_names = state.names.clone();
        state.renamings.clear();
        let kept: BTreeSet<u64> = state.names.values().copied().collect();
        state.contents.retain(|number, _| kept.contains(number));
        for contents in state.contents.values_mut() {
            contents.settle(&mut rng);
            contents.seen.clone_from(&contents.durable);
        }
    }

    /// Lets so many calls fail after so many others.
    pub(crate) fn fail(&self, after: u64, times: u64, fault: Fault) {
        self.state().fault = Some((after, times.max(1), fault));
    }

    /// Takes back [`SimulatedDisk::fail`]; says whether it has come to pass.
    pub(crate) fn failed(&self) -> bool {
        !matches!(self.state().fault.take(), Some((1.., ..)))
    }

    /// Limits what can be written from now on, in bytes.
    pub(crate) fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// All files and what the system shows of them.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        state.names.iter().map(|(path, number)| (path.clone(), state.contents[number].seen.clone())).collect()
    }

    /// Puts a file there, durable, in the place of what was there.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        let contents = Contents { seen: bytes.to_vec(), durable: bytes.to_vec(), changes: Vec::new() };
        state.contents.insert(number, contents);
        state.names.insert(path.to_owned(), number);
        state.durable_names.insert(path.to_owned(), number);
        state.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test goes on after a panic")
    }

    /// Begins a call.
    fn call(&self) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        let process = state.process;
        let fault = state.begin(process)?;
        Ok((state, fault))
    }

    fn open_number(&self, file: &Path) -> io::Result<(u64, u64, u64)> {
        let (state, fault) = self.call()?;
        refuse(fault)?;
        let number = *state.names.get(file).ok_or(io::ErrorKind::NotFound)?;
        Ok((number, state.contents[&number].seen.len() as u64, state.process))
    }
}

fn refuse(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(Fault::Error(kind)) => Err(kind.into()),
        Some(Fault::Death) => Err(dead()),
        None => Ok(()),
    }
}

fn dead() -> io::Error {
    io::Error::other("the process has ended")
}

impl State {
    fn begin(&mut self, process: u64) -> io::Result<Option<Fault>> {
        if self.dead || process != self.process {
            return Err(dead());
        }
        self.calls += 1;
        match &mut self.fault {
            Some((0, times, fault)) => {
                let fault = *fault;
                *times -= 1;
                if *times == 0 {
                    self.fault = None;
                }
                self.dead = fault == Fault::Death;
                Ok(Some(fault))
            }
            Some((after, ..)) => {
                *after -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// There is room for what a file takes that is about to go.
    fn free(&mut self, file: &Path) {
        let length = self.names.get(file).map_or(0, |number| self.contents[number].seen.len() as u64);
        if let Some(room) = &mut self.room {
            *room += length;
        }
    }

    /// Whether a call that changes names takes place. One that fails with an error does not.
    fn takes_place(&mut self, fault: Option<Fault>) -> bool {
        fault.is_none() || fault == Some(Fault::Death) && self.rng.bool()
    }
}

impl Contents {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        put_at(&mut self.seen, offset, bytes);
        self.changes.push(Change::Write(offset, bytes.to_vec()));
    }

    fn cut(&mut self, length: u64) {
        self.seen.resize(length as usize, 0);
        self.changes.push(Change::Cut(length));
    }

    fn sync(&mut self) {
        for change in self.changes.drain(..) {
            match change {
                Change::Write(offset, bytes) => put_at(&mut self.durable, offset, &bytes),
                Change::Cut(length) => self.durable.resize(length as usize, 0),
            }
        }
    }

    /// Makes some of the changes durable and forgets the others.
    fn settle(&mut self, rng: &mut Rng) {
        if self.changes.is_empty() {
            return;
        }
        let mut lengths = vec![self.durable.len()];
        let mut seen = self.durable.len();
        // From nothing to all.
        let share = [0.0, 0.3, 0.5, 0.9, 1.0][rng.usize(..5)];
        for change in self.changes.drain(..) {
            match change {
                Change::Write(offset, bytes) => {
                    seen = seen.max(offset as usize + bytes.len());
                    write_sectors(&mut self.durable, offset, &bytes, share, rng);
                }
                Change::Cut(length) => {
                    seen = length as usize;
                    if rng.f64() < share {
                        self.durable.resize(seen, 0);
                    }
                }
            }
            lengths.push(seen);
        }
        match rng.u8(..4) {
            0 => self.durable.resize(self.durable.len().max(seen), 0),
            1 => {
                let length = lengths[rng.usize(..lengths.len())];
                self.durable.truncate(length);
            }
            _ => {}
        }
    }
}

fn put_at(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    if file.len() < to {
        file.resize(to, 0);
    }
    file[from..to].copy_from_slice(bytes);
}

fn write_sectors(file: &mut Vec<u8>, mut offset: u64, mut bytes: &[u8], share: f64, rng: &mut Rng) {
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at(((SECTOR - offset % SECTOR) as usize).min(bytes.len()));
        if rng.f64() < share {
            // Now and then a sector is torn itself, or holds what was there before the file was.
            match rng.u8(..16) {
                0 => put_at(file, offset, &sector[..rng.usize(..=sector.len())]),
                1 if share < 1.0 => {
                    let noise: Vec<u8> = sector.iter().map(|_| rng.u8(..)).collect();
                    put_at(file, offset, &noise);
                }
                _ => put_at(file, offset, sector),
            }
        }
        offset += sector.len() as u64;
        bytes = rest;
    }
}

fn names_after_crash(durable: &BTreeMap<PathBuf, u64>, since: &[Naming], rng: &mut Rng) -> BTreeMap<PathBuf, u64> {
    let mut names = durable.clone();
    for naming in since {
        if rng.bool() {
            naming.apply(&mut names);
        }
    }
    names
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Naming::Made(path, number) => drop(names.insert(path.clone(), *number)),
            Naming::Removed(path) => drop(names.remove(path)),
            Naming::Renamed(from, to, number) => {
                if names.get(from) == Some(number) {
                    names.remove(from);
                }
                names.insert(to.clone(), *number);
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        let (Naming::Made(path, _) | Naming::Removed(path) | Naming::Renamed(path, ..)) = self;
        path.parent()
    }
}

impl Disk for SimulatedDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut state, fault) = self.call()?;
        if state.takes_place(fault) {
            state.folders.extend(folder.ancestors().map(Path::to_owned));
        }
        refuse(fault)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (state, fault) = self.call()?;
        refuse(fault)?;
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.names.keys().chain(&state.folders).filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (mut state, fault) = self.call()?;
        if state.names.contains_key(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !file.parent().is_some_and(|folder| state.folders.contains(folder)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let number = state.next_number;
        if state.takes_place(fault) {
            state.next_number += 1;
            state.contents.insert(number, Contents::default());
            state.names.insert(file.to_owned(), number);
            state.renamings.push(Naming::Made(file.to_owned(), number));
        }
        refuse(fault)?;
        Ok(Box::new(OpenFile { disk: self.clone(), number, length: 0, process: state.process }))
    }

    fn reopen(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (number, length, process) = self.open_number(file)?;
        Ok(Box::new(OpenFile { disk: self.clone(), number, length, process }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskBytes>> {
        let (number, length, process) = self.open_number(file)?;
        Ok(Box::new(OpenFile { disk: self.clone(), number, length, process }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut state, fault) = self.call()?;
        let number = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if state.takes_place(fault) {
            state.free(to);
            let naming = Naming::Renamed(from.to_owned(), to.to_owned(), number);
            naming.apply(&mut state.names);
            state.renamings.push(naming);
        }
        refuse(fault)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        let (mut state, fault) = self.call()?;
        if !state.names.contains_key(file) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.takes_place(fault) {
            state.free(file);
            state.names.remove(file);
            state.renamings.push(Naming::Removed(file.to_owned()));
        }
        refuse(fault)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut state, fault) = self.call()?;
        if state.names.keys().any(|name| name.parent() == Some(folder)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        // As with making one: no crash brings it back.
        if state.takes_place(fault) && !state.folders.remove(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        refuse(fault)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut state, fault) = self.call()?;
        let state = &mut *state;
        if fault == Some(Fault::Death) && state.rng.bool() {
            return Err(dead());
        }
        let failed = matches!(fault, Some(Fault::Error(_)));
        for naming in state.renamings.extract_if(.., |naming| naming.folder() == Some(folder)) {
            // After a failure, each may be durable or not, and nobody tries again.
            if !failed || state.rng.bool() {
                naming.apply(&mut state.durable_names);
            }
        }
        refuse(fault)
    }

    fn lock(&self, file: &Path) -> io::Result<Lock> {
        let (mut state, fault) = self.call()?;
        refuse(fault)?;
        if !state.locked.insert(file.to_owned()) {
            return Ok(Lock::Taken("1".into()));
        }
        let (disk, file, process) = (self.clone(), file.to_owned(), state.process);
        Ok(Lock::Held(Box::new(Held { disk, file, process })))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let (mut state, fault) = self.call()?;
        refuse(fault)?;
        Ok(state.rng.u128(..).to_be_bytes())
    }
}

struct Held {
    disk: SimulatedDisk,
    file: PathBuf,
    process: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut state) = self.disk.0.lock()
            && state.process == self.process
        {
            state.locked.remove(&self.file);
        }
    }
}

struct OpenFile {
    disk: SimulatedDisk,
    number: u64,
    length: u64,
    process: u64,
}

impl DiskFile for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (taken, done) = self.write(bytes);
        self.length += taken as u64;
        done
    }

    fn write_ahead(&mut self, bytes: u64) {
        let _ = self.write(&vec![0; bytes as usize]);
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let state = &mut *state;
        let fault = state.begin(self.process)?;
        let contents = state.contents.entry(self.number).or_default();
        match fault {
            Some(Fault::Error(_)) => contents.settle(&mut state.rng),
            Some(Fault::Death) if state.rng.bool() => {}
            _ => contents.sync(),
        }
        refuse(fault)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let state = &mut *state;
        let fault = state.begin(self.process)?;
        if state.takes_place(fault) {
            let contents = state.contents.entry(self.number).or_default();
            let freed = (contents.seen.len() as u64).saturating_sub(length);
            contents.cut(length);
            if let Some(room) = &mut state.room {
                *room += freed;
            }
            self.length = length;
        }
        refuse(fault)
    }
}

impl OpenFile {
    /// Writes as much as there is room for, and says how much.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut state = self.disk.state();
        let state = &mut *state;
        let mut fault = match state.begin(self.process) {
            Ok(fault) => fault,
            Err(error) => return (0, Err(error)),
        };
        // A file without a name can be written until it is closed, also after a crash has taken it from the model.
        let contents = state.contents.entry(self.number).or_default();
        let there = (contents.seen.len() as u64).saturating_sub(self.length);
        let mut taken = bytes.len();
        if let Some(room) = &mut state.room {
            // What is there already takes no more room.
            taken = taken.min((there + *room) as usize);
            *room -= (taken as u64).saturating_sub(there);
        }
        if taken < bytes.len() {
            fault = fault.or(Some(Fault::Error(io::ErrorKind::StorageFull)));
        } else if fault.is_some() {
            taken = state.rng.usize(..=bytes.len());
        }
        contents.write(self.length, &bytes[..taken]);
        (taken, refuse(fault))
    }
}

impl DiskBytes for OpenFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        refuse(state.begin(self.process)?)?;
        let Some(contents) = state.contents.get(&self.number) else { return Ok(0) };
        let rest = contents.seen.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
