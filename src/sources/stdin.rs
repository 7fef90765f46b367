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
        conflicts: |_| Vec::new(),
        sample: None,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::connect::tests::{ALL, Reading};
    use crate::plan::catalog::{Endpoint, EndpointEntry, FormatCall};
    use crate::plan::seams::Source;
    use crate::plan::{OptionValue, Settings};

    /// A source that reads a pipe as if it were the standard input.
    fn reading(input: PipeReader, buffer: u64) -> Reading {
        let mut settings = Settings::default();
        settings.set("buffer", OptionValue::Size(buffer), millstream_dsl::Span::default());
        let text = crate::formats::text::entry();
        let columns = (text.columns)(&Settings::default()).unwrap();
        let endpoint = Endpoint {
            name: "lines".into(),
            word: "stdin".into(),
            entry: EndpointEntry::Source(entry().into()),
            settings,
            format: Some(FormatCall { entry: text.into(), settings: Settings::default() }),
            schema: crate::model::Schema::new(columns),
            changes: false,
            pipeline: "p".into(),
            base: Path::new(".").into(),
        };
        let mut input = Some(input);
        let start = move |feed| Ok(read_beside(feed, input.take().unwrap()).unwrap());
        let source: Box<dyn Source> = Receiver::open(&endpoint, Once::WaitsForTheEnd, start).unwrap();
        Reading::start(source, ALL)
    }

    #[test]
    fn a_pipe_is_read_while_it_is_open_and_ends_with_it() {
        let (read, mut write) = io::pipe().unwrap();
        let mut reading = reading(read, 1000);
        write.write_all(b"one\ntw").unwrap();
        assert_eq!(reading.until(1).rows, ["one"]);
        write.write_all(b"o").unwrap();
        drop(write);
        reading.finish().unwrap();
        assert_eq!(reading.rows, ["one", "two"]);
    }

    #[test]
    fn the_thread_ends_with_the_source_whether_it_waits_for_input_or_for_room() {
        let (read, write) = io::pipe().unwrap();
        drop(reading(read, 1000));
        drop(write);
        let (read, mut write) = io::pipe().unwrap();
        let reading = reading(read, 10);
        write.write_all(&[b'\n'; 60]).unwrap();
        while reading.source.backlog().bytes == Some(0) {
            std::thread::yield_now();
        }
        drop(reading);
        assert!(write.write_all(b"x").is_err(), "nobody reads the pipe any more");
    }
}
