//! Topics read by offset: every partition has a queue of its own, a batch's ranges are fixed before it is read, and where
//! they end follows from the broker, because marks of transactions take offsets too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use regex::Regex;

use crate::connect::kafka::{WAIT, config, failed};
use crate::plan::OptionValue;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Backlog, LeftOut, Limits, Position, Positions, Read, Source, Split};
use crate::sources::kafka::messages::{Decoding, Got};

/// A message is waited for so long at a time.
const MOMENT: Duration = Duration::from_millis(50);

/// Metadata is asked for anew so often.
const ANEW: Duration = Duration::from_secs(5);

/// Which topics are read.
enum Topics {
    Named(Vec<String>),
    Matching(Regex),
}

/// Where reading starts.
enum Start {
    Earliest,
    Latest,
    /// Milliseconds since 1970.
    At(i64),
    /// By partition; others at the earliest.
    Offsets(BTreeMap<i32, i64>),
}

/// The source.
pub(super) struct Direct {
    consumer: Arc<BaseConsumer>,
    topics: Topics,
    only: Option<BTreeSet<i32>>,
    start: Start,
    skips_loss: bool,
    /// Messages a second of each partition.
    rate: Option<u64>,
    decoding: Decoding,
    partitions: BTreeMap<String, Partition>,
    looked: Option<Instant>,
    /// The times of this batch and of the one before.
    times: (Option<i64>, Option<i64>),
    /// What is to be committed to the group.
    done: BTreeMap<(String, i32), i64>,
    left_out: Vec<LeftOut>,
}

/// A partition that is read.
struct Partition {
    topic: String,
    number: i32,
    queue: Option<PartitionQueue<DefaultConsumerContext>>,
    /// The offset that the queue gives next, where it is known.
    next: Option<i64>,
    /// The end of this batch's range.
    end: i64,
    low: i64,
}

impl Direct {
    pub(super) fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
        let settings = &endpoint.settings;
        for option in ["min_rows", "split_rows"] {
            if settings.is_written(option) {
                return Err(NotRunnable(format!("`{option}` can be checked, but not used yet: leave it out")));
            }
        }
        if settings.text("read") == Some("group") {
            return Err(NotRunnable("source `kafka` with `read: group` can be checked, but not run yet".into()));
        }
        let topics = match settings.text("pattern") {
            Some(pattern) => Topics::Matching(
                Regex::new(&format!("^(?:{pattern})$")).map_err(|e| NotRunnable(format!("`pattern`: {e}")))?,
            ),
            None => Topics::Named(settings.texts("topics").into_iter().map(str::to_owned).collect()),
        };
        if matches!(&topics, Topics::Named(names) if names.is_empty()) {
            return Err(NotRunnable("no topic is named: write kafka(\"TOPIC\"), or `pattern`".into()));
        }
        let start = match settings.get("start") {
            Some(OptionValue::Timestamp(micros)) => Start::At(micros.div_euclid(1000)),
            Some(OptionValue::Map(offsets)) => Start::Offsets(by_partition(offsets)?),
            Some(OptionValue::Symbol(word)) if word == "latest" => Start::Latest,
            _ => Start::Earliest,
        };
        let only = match settings.get("partitions") {
            Some(OptionValue::List(numbers)) => {
                let number = |value: &OptionValue| match value {
                    OptionValue::Integer(n) => i32::try_from(*n).ok(),
                    _ => None,
                };
                Some(numbers.iter().filter_map(number).collect())
            }
            _ => None,
        };
        let mut client = config(endpoint)?;
        client
            .set("group.id", settings.text("group").unwrap_or(&endpoint.pipeline))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", settings.text("isolation").unwrap_or("read_committed"))
            .set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer = client.create().map_err(|e| NotRunnable(format!("kafka: {e}")))?;
        Ok(Box::new(Direct {
            consumer: Arc::new(consumer),
            topics,
            only,
            start,
            skips_loss: settings.text("on_data_loss") == Some("skip"),
            rate: settings.integer("max_rate_per_partition").and_then(|n| u64::try_from(n).ok()),
            decoding: Decoding::of(endpoint)?,
            partitions: BTreeMap::new(),
            looked: None,
            times: (None, None),
            done: BTreeMap::new(),
            left_out: Vec::new(),
        }))
    }

    /// Which partitions there are, now and then.
    fn look(&mut self) -> Result<(), TaskError> {
        if self.looked.is_some_and(|when| when.elapsed() < ANEW) {
            return Ok(());
        }
        let one = match &self.topics {
            Topics::Named(names) if names.len() == 1 => names.first().map(String::as_str),
            _ => None,
        };
        let found = self.consumer.fetch_metadata(one, WAIT).map_err(|e| failed("ask kafka for its topics", &e))?;
        let mut missing: BTreeSet<&str> = match &self.topics {
            Topics::Named(names) => names.iter().map(String::as_str).collect(),
            Topics::Matching(_) => BTreeSet::new(),
        };
        let mut added = false;
        for topic in found.topics() {
            let wanted = match &self.topics {
                Topics::Named(names) => names.iter().any(|name| name == topic.name()),
                Topics::Matching(pattern) => pattern.is_match(topic.name()) && !topic.name().starts_with("__"),
            };
            if !wanted || topic.partitions().is_empty() {
                continue;
            }
            missing.remove(topic.name());
            for number in topic.partitions().iter().map(|partition| partition.id()) {
                let id = format!("{}/{number}", topic.name());
                if self.only.as_ref().is_some_and(|only| !only.contains(&number)) || self.partitions.contains_key(&id) {
                    continue;
                }
                let topic = topic.name().to_owned();
                self.partitions.insert(id, Partition { topic, number, queue: None, next: None, end: 0, low: 0 });
                added = true;
            }
        }
        if let Some(topic) = missing.first() {
            return Err(TaskError::Retry(format!("there is no topic `{topic}`")));
        }
        if added {
            tracing::debug!(partitions = self.partitions.len(), "partitions are read");
        }
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// The ranges of a batch: up to what is there now.
    fn fix(&mut self) -> Result<(), TaskError> {
        for partition in self.partitions.values_mut() {
            let ends = self.consumer.fetch_watermarks(&partition.topic, partition.number, WAIT);
            let (low, high) =
                ends.map_err(|e| failed(&format!("ask kafka for the end of `{}`", partition.topic), &e))?;
            (partition.low, partition.end) = (low, high);
        }
        Ok(())
    }

    /// Offsets of what is delivered, for whoever watches the group.
    fn commit(&mut self) {
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in std::mem::take(&mut self.done) {
            // Only told to others: what counts is in the checkpoint.
            let _ = offsets.add_partition_offset(&topic, partition, Offset::Offset(offset));
        }
        if offsets.count() > 0
            && let Err(why) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::warn!(%why, "offsets are not committed to the group");
        }
    }

    /// The offset where a partition is read that never was.
    fn first(&self, partition: &Partition) -> Result<i64, TaskError> {
        match &self.start {
            Start::Earliest => Ok(partition.low),
            Start::Latest => Ok(partition.end),
            Start::Offsets(offsets) => Ok(offsets.get(&partition.number).copied().unwrap_or(partition.low)),
            Start::At(millis) => {
                let mut asked = TopicPartitionList::new();
                let added = asked.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*millis));
                let found = added.and_then(|()| self.consumer.offsets_for_times(asked, WAIT));
                let found = found.map_err(|e| failed("ask kafka for the offset of a time", &e))?;
                match found.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset) {
                    Some(Offset::Offset(offset)) => Ok(offset),
                    _ => Ok(partition.end),
                }
            }
        }
    }

    /// Messages that were there and are not any more.
    fn lost(&mut self, id: &str, from: i64, to: i64) -> Result<i64, TaskError> {
        let why = format!("messages {from} to {} of `{id}` are gone", to - 1);
        if !self.skips_loss {
            return Err(TaskError::Stop(format!("{why}: `on_data_loss: skip` goes on without them")));
        }
        tracing::warn!("{why}");
        self.left_out.push(LeftOut { place: id.to_owned(), reason: why });
        Ok(to)
    }

    /// Has the partition's queue give the message of that offset next.
    fn seek(&mut self, id: &str, from: i64) -> Result<(), TaskError> {
        let Some(partition) = self.partitions.get_mut(id) else { return Ok(()) };
        if partition.next == Some(from) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let placed = list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(from));
        let known = partition.queue.take().is_some();
        let assigned = placed.and_then(|()| {
            if known {
                self.consumer.incremental_unassign(&list)?;
            }
            self.consumer.incremental_assign(&list)
        });
        assigned.map_err(|e| failed(&format!("read `{id}`"), &e))?;
        partition.queue = self.consumer.split_partition_queue(&partition.topic, partition.number);
        partition.next = Some(from);
        if partition.queue.is_none() {
            return Err(TaskError::Retry(format!("`{id}` has no queue")));
        }
        Ok(())
    }

    /// Messages of a range, as many as a batch may have.
    fn gather(&mut self, id: &str, from: i64, end: i64, limits: &Limits) -> Result<(Vec<Got>, i64), TaskError> {
        self.seek(id, from)?;
        // What concerns no partition is told here: brokers that are lost are looked for by the library itself.
        let _ = self.consumer.poll(Duration::ZERO);
        let Some(partition) = self.partitions.get_mut(id) else { return Ok((Vec::new(), from)) };
        let Some(queue) = &partition.queue else { return Ok((Vec::new(), from)) };
        let (mut got, mut at, mut bytes, mut heard) = (Vec::new(), from, 0, Instant::now());
        while at < end && got.len() < limits.rows && bytes < limits.bytes {
            match queue.poll(MOMENT) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if message.offset() < at {
                        continue;
                    }
                    if message.offset() >= end {
                        // It belongs to the next batch: the queue is asked for it again.
                        (at, partition.next) = (end, None);
                        return Ok((got, at));
                    }
                    at = message.offset() + 1;
                    let message = self.decoding.got(&message);
                    bytes += message.bytes();
                    got.push(message);
                }
                // All that is there was given: what is missing up to the end are marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => at = end,
                Some(Err(error)) => {
                    partition.next = None;
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
                        return Err(TaskError::Retry(format!("`{id}` has lost messages while it was read")));
                    }
                    return Err(failed(&format!("read `{id}`"), &error));
                }
                None if heard.elapsed() > WAIT => {
                    partition.next = None;
                    return Err(TaskError::Retry(format!("`{id}` gives no messages")));
                }
                None => {}
            }
        }
        partition.next = Some(at);
        Ok((got, at))
    }
}

impl Source for Direct {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        self.commit();
        self.look()?;
        self.fix()?;
        Ok(self.partitions.keys().map(|id| Split { id: id.clone() }).collect())
    }

    fn read(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let gone = || TaskError::Stop(format!("`{}` is no partition that is read", split.id));
        let partition = self.partitions.get(&split.id).ok_or_else(gone)?;
        let (low, end) = (partition.low, partition.end);
        let mut at = match <[u8; 8]>::try_from(from.0.as_slice()) {
            Ok(bytes) => i64::from_le_bytes(bytes),
            Err(_) => self.first(partition)?,
        };
        if at < low {
            at = self.lost(&split.id, at, low)?;
        }
        if at > end {
            // The topic was made anew, or its tail was lost: what has the old offsets now are other messages.
            let why = format!("`{}` ends at {end}, but was read up to {at}", split.id);
            if !self.skips_loss {
                return Err(TaskError::Stop(format!("{why}: `on_data_loss: skip` reads it from its start")));
            }
            self.left_out.push(LeftOut { place: split.id.clone(), reason: why });
            at = low;
        }
        let limits = Limits { rows: limits.rows.min(self.allowed(limits.now)), ..*limits };
        let (got, to) = if at < end { self.gather(&split.id, at, end, &limits)? } else { (Vec::new(), at) };
        let mut read = Read { to: Position(to.to_le_bytes().to_vec()), exhausted: to >= end, ..Read::default() };
        read.bytes = got.iter().map(Got::bytes).sum();
        self.decoding.rows(&got, &split.id, &mut read)?;
        Ok(read)
    }

    fn ack(&mut self, split: &Split, position: &Position) -> Result<(), TaskError> {
        if let (Ok(bytes), Some((topic, number))) =
            (<[u8; 8]>::try_from(position.0.as_slice()), split.id.rsplit_once('/'))
            && let Ok(number) = number.parse()
        {
            self.done.insert((topic.to_owned(), number), i64::from_le_bytes(bytes));
        }
        Ok(())
    }

    fn splits_last(&self) -> bool {
        true
    }

    fn backlog(&self) -> Backlog {
        let left =
            |partition: &Partition| partition.next.map_or(0, |next| (partition.end - next).max(0).unsigned_abs());
        Backlog { rows: Some(self.partitions.values().map(left).sum()), ..Backlog::default() }
    }

    fn left_out(&mut self) -> Vec<LeftOut> {
        std::mem::take(&mut self.left_out)
    }
}

impl Direct {
    /// So many messages a partition may give to the batch of that time.
    fn allowed(&mut self, now: i64) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        if self.times.0 != Some(now) {
            self.times = (Some(now), self.times.0);
        }
        let passed = self.times.1.map_or(1_000_000, |before| (now - before).max(1_000));
        let rows = u128::from(rate) * u128::from(passed.unsigned_abs()) / 1_000_000;
        usize::try_from(rows).unwrap_or(usize::MAX).max(1)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.commit();
    }
}

fn by_partition(offsets: &BTreeMap<String, OptionValue>) -> Result<BTreeMap<i32, i64>, NotRunnable> {
    let wrong = |name: &str| NotRunnable(format!("`start`: `{name}` is no partition: write its number"));
    let one = |(name, value): (&String, &OptionValue)| match (name.parse(), value) {
        (Ok(number), OptionValue::Integer(offset)) => Ok((number, *offset)),
        _ => Err(wrong(name)),
    };
    offsets.iter().map(one).collect()
}
