//! Sources that bytes are pushed at: a thread of their own takes them in, up to a bound, and a batch takes what is
//! there. What was taken cannot be read again.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver as Queue, RecvError, SyncSender, TryRecvError, sync_channel};

use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Limits, Position, Positions, Read, Source, Split};
use crate::sources::cutter::{self, Cutter};

/// The largest piece that is queued.
const PIECE: u64 = 64 * 1024;

/// What the thread hands over.
enum Message {
    Bytes(Vec<u8>),
    /// The peer is done; another stream may follow.
    EndOfStream,
    Failed(String),
}

/// The thread's end.
pub(super) struct Feed {
    to: SyncSender<Message>,
    drains: bool,
}

impl Feed {
    /// Hands bytes over, waiting while too much is queued; false when nobody wants them any more.
    pub(super) fn give(&self, bytes: &[u8]) -> bool {
        self.to.send(Message::Bytes(bytes.to_vec())).is_ok()
    }

    /// A stream is over: what is left of it is its last record. False when nobody wants another.
    pub(super) fn end_of_stream(&self) -> bool {
        self.to.send(Message::EndOfStream).is_ok()
    }

    /// It cannot go on.
    pub(super) fn fail(&self, why: String) {
        // Nobody is left to be told where this fails.
        let _ = self.to.send(Message::Failed(why));
    }

    /// Whether the run takes what there is and then ends.
    pub(super) fn drains(&self) -> bool {
        self.drains
    }
}

type Start = Box<dyn FnOnce(Feed) + Send>;

/// The source's end.
pub(super) struct Receiver {
    name: String,
    codec: std::sync::Arc<dyn crate::plan::seams::FormatCodec>,
    cutter: Cutter,
    buffer: u64,
    start: Option<Start>,
    queue: Option<Mutex<Queue<Message>>>,
    /// The thread is done and the queue empty.
    over: bool,
}

impl Receiver {
    /// A source whose thread runs `start`, from the first batch on.
    pub(super) fn open(
        endpoint: &Endpoint,
        start: impl FnOnce(Feed) + Send + 'static,
    ) -> Result<Box<dyn Source>, NotRunnable> {
        let codec = cutter::codec(endpoint, &endpoint.schema)?;
        Ok(Box::new(Receiver {
            name: endpoint.name.clone(),
            cutter: Cutter::new(codec.clone()),
            codec,
            buffer: endpoint.settings.size("buffer").unwrap_or(64_000_000),
            start: Some(Box::new(start)),
            queue: None,
            over: false,
        }))
    }

    fn begin(&mut self, start: Start, drains: bool) -> Result<(), TaskError> {
        let pieces = usize::try_from(self.buffer / PIECE).unwrap_or(usize::MAX).clamp(1, 1 << 16);
        let (to, from) = sync_channel(pieces);
        let spawned = std::thread::Builder::new().name(self.name.clone()).spawn(move || start(Feed { to, drains }));
        spawned.map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))?;
        self.queue = Some(Mutex::new(from));
        Ok(())
    }

    /// The next message; none where there is none at this moment, or ever.
    fn next(&mut self, wait: bool) -> Result<Option<Message>, TaskError> {
        let Some(queue) = &self.queue else { return Ok(None) };
        let queue = queue.lock().map_err(|e| TaskError::Bug(e.to_string()))?;
        let next = if wait { queue.recv().map_err(|RecvError| TryRecvError::Disconnected) } else { queue.try_recv() };
        match next {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                self.over = true;
                Ok(None)
            }
        }
    }

    fn cut(&mut self, last: bool, limits: &Limits, read: &mut Read) -> Result<(), TaskError> {
        let room = limits.rows.saturating_sub(rows_of(read)).max(1);
        let cut = self.cutter.cut(last, room, 1)?;
        read.bytes += cut.used as u64;
        self.cutter.hand_on(cut.decoded, &self.name, read);
        Ok(())
    }

    /// The stream is over: everything left is a record, and another stream starts anew.
    fn finish(&mut self, limits: &Limits, read: &mut Read) -> Result<(), TaskError> {
        while !self.cutter.pending().is_empty() {
            let before = self.cutter.pending().len();
            self.cut(true, limits, read)?;
            if self.cutter.pending().len() == before {
                break;
            }
        }
        self.cutter = Cutter::new(self.codec.clone());
        Ok(())
    }
}

fn rows_of(read: &Read) -> usize {
    cutter::count(&read.blocks) + read.bad.len()
}

impl Source for Receiver {
    fn discover(&mut self, _: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        if let Some(start) = self.start.take() {
            self.begin(start, limits.drain)?;
        }
        Ok(vec![Split { id: self.name.clone() }])
    }

    fn read(&mut self, _: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let mut read = Read::default();
        self.cut(false, limits, &mut read)?;
        while rows_of(&read) < limits.rows && read.bytes < limits.bytes {
            match self.next(limits.drain)? {
                Some(Message::Bytes(bytes)) => {
                    self.cutter.pending().extend(bytes);
                    self.cut(false, limits, &mut read)?;
                }
                Some(Message::EndOfStream) => self.finish(limits, &mut read)?,
                Some(Message::Failed(why)) => return Err(TaskError::Stop(why)),
                None => {
                    read.exhausted = true;
                    break;
                }
            }
        }
        let taken = from.0.as_slice().try_into().map_or(0, u64::from_le_bytes) + rows_of(&read) as u64;
        read.to = if rows_of(&read) == 0 { from.clone() } else { Position(taken.to_le_bytes().to_vec()) };
        Ok(read)
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }

    fn ended(&self) -> bool {
        self.over && self.start.is_none()
    }
}
