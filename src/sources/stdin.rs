//! `stdin`: what is piped into the program.

use std::io::{self, PipeReader, Write as _};
use std::os::fd::AsFd;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::runtime::Runtime;

use crate::connect::net;
use crate::connect::waiting::{Working, runtime};
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::TaskError;
use crate::plan::{Doc, SourceEntry};
use crate::sources::receiver::{Feed, Once, Receiver};
use crate::sources::{appends, nothing_extra};

/// What rows from it have as their place.
const NAME: &str = "the standard input";

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![net::records("16mb")];
    options.extend(net::receiving());
    SourceEntry {
        doc: Doc::new("stdin", "reads what is piped into the program", "stdin() { OPTIONS }")
            .example("source lines = stdin()")
            .example("source events = stdin() { format: json, schema: { user_id: string, ts: timestamp }, time: ts }"),
        args: Vec::new(),
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(|endpoint| Receiver::open(endpoint, Once::WaitsForTheEnd, start)),
    }
}

fn start(feed: Feed) -> Result<Working, TaskError> {
    read_beside(feed, io::stdin()).map_err(|e| TaskError::Stop(format!("cannot read {NAME}: {e}")))
}

/// Reads in a thread of its own until it is told to end: whatever a pipe is, it can be waited for.
fn read_beside(feed: Feed, input: impl AsFd + io::Read + Send + 'static) -> io::Result<Working> {
    let (told, mut tell) = io::pipe()?;
    let runtime = runtime()?;
    let reading = thread::Builder::new().name("stdin".into()).spawn(move || forward(&feed, input, &told, runtime))?;
    Ok(Working::until(move || {
        // Who has ended already need not be told.
        let _ = tell.write_all(b"!");
        let _ = reading.join();
    }))
}

fn forward(feed: &Feed, mut input: impl AsFd + io::Read, told: &PipeReader, runtime: &Runtime) {
    let peer = feed.peer(NAME);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match wait(&input, told).and_then(|there| if there { input.read(&mut buffer).map(Some) } else { Ok(None) }) {
            Ok(Some(0) | None) => return,
            Ok(Some(count)) if runtime.block_on(peer.give(&buffer[..count])) => {}
            Ok(Some(_)) => return,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return feed.fail(TaskError::Stop(format!("cannot read {NAME}: {e}"))),
        }
    }
}

/// Waits until there is something to read; false where it is to end instead.
fn wait(input: &impl AsFd, told: &PipeReader) -> io::Result<bool> {
    let mut ends = [PollFd::new(input, PollFlags::IN), PollFd::new(told, PollFlags::IN)];
    poll(&mut ends, None)?;
    Ok(ends[1].revents().is_empty())
}
