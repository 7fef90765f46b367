//! How a batch gets to the brokers: exactly once by one transaction that carries the messages and a mark, which is the
//! offset of a group that nobody is in; at least once by the idempotent producer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::connect::kafka::{WAIT, failed};
use crate::plan::operator::TaskError;
use crate::plan::seams::Giver;
use crate::sinks::kafka::messages::Outgoing;

/// Messages that the brokers did not take.
#[derive(Debug, Default, Clone)]
struct Refusals {
    count: Arc<AtomicU64>,
}

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((why, _)) = result {
            self.count.fetch_add(1, Ordering::SeqCst);
            tracing::debug!(%why, "a message was not taken");
        }
    }
}

/// The brokers, and the way to them.
pub(super) struct Brokers {
    config: ClientConfig,
    once: bool,
    /// The option, or else the sink's name.
    id: Option<String>,
    /// Whose offset is the mark.
    marked: String,
    giver: Giver,
    producer: Option<BaseProducer<Refusals>>,
    marks: Option<BaseConsumer>,
    refusals: Refusals,
    /// Whether what became of the batch before is known.
    sure: bool,
}

impl Brokers {
    /// `marked`: a topic that is there.
    pub(super) fn new(config: ClientConfig, once: bool, id: Option<String>, marked: String) -> Self {
        let (giver, refusals) = (Giver::default(), Refusals::default());
        Brokers { config, once, id, marked, giver, producer: None, marks: None, refusals, sure: false }
    }

    pub(super) fn given_by(&mut self, giver: &Giver) {
        self.giver = giver.clone();
    }

    /// The newest batch of this history that was committed.
    pub(super) fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        if !self.once {
            return Ok(None);
        }
        // A transaction of before that hangs is ended first.
        self.producer()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.marked, 0);
        let marks = self.marks()?;
        let found = marks.committed_offsets(asked, WAIT).map_err(|e| failed("read the mark in kafka", &e))?;
        let elements = found.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        match element.offset() {
            Offset::Offset(next) if element.metadata() == self.giver.history => Ok(u64::try_from(next - 1).ok()),
            _ => Ok(None),
        }
    }

    /// Writes a batch, unless it is there.
    pub(super) fn deliver(&mut self, batch: u64, messages: &[Outgoing]) -> Result<(), TaskError> {
        if self.once && !self.sure && self.cursor()?.is_some_and(|have| have >= batch) {
            return Ok(());
        }
        self.sure = false;
        let written = if self.once { self.transaction(batch, messages) } else { self.plain(messages) };
        match written {
            Ok(()) => {
                self.sure = true;
                Ok(())
            }
            Err(why) => {
                // The next one takes over from it, ends what it left open, and looks at the mark.
                self.producer = None;
                Err(why)
            }
        }
    }

    fn transaction(&mut self, batch: u64, messages: &[Outgoing]) -> Result<(), TaskError> {
        self.producer()?;
        self.marks()?;
        let (Some(producer), Some(marks)) = (&self.producer, &self.marks) else { return Ok(()) };
        let doing = |e: KafkaError| self.meant(&e);
        let before = self.refusals.count.load(Ordering::SeqCst);
        producer.begin_transaction().map_err(doing)?;
        let sent = self.send(producer, messages).and_then(|()| {
            let mut mark = TopicPartitionList::new();
            let next = i64::try_from(batch + 1).unwrap_or(i64::MAX);
            let mut element = mark.add_partition(&self.marked, 0);
            element.set_offset(Offset::Offset(next)).map_err(doing)?;
            element.set_metadata(&self.giver.history);
            let group = marks.group_metadata().ok_or_else(|| TaskError::Retry("kafka: there is no group".into()))?;
            producer.send_offsets_to_transaction(&mark, &group, WAIT).map_err(doing)
        });
        if self.refusals.count.load(Ordering::SeqCst) > before {
            let _ = producer.abort_transaction(WAIT);
            return Err(TaskError::Retry("brokers did not take all messages of the batch".into()));
        }
        match sent {
            Ok(()) => producer.commit_transaction(WAIT).map_err(doing),
            Err(why) => {
                // Nothing of it is visible; where this fails too, the next producer ends it.
                let _ = producer.abort_transaction(WAIT);
                Err(why)
            }
        }
    }

    fn plain(&mut self, messages: &[Outgoing]) -> Result<(), TaskError> {
        self.producer()?;
        let Some(producer) = &self.producer else { return Ok(()) };
        let before = self.refusals.count.load(Ordering::SeqCst);
        self.send(producer, messages)?;
        match self.refusals.count.load(Ordering::SeqCst) - before {
            0 => Ok(()),
            count => Err(TaskError::Retry(format!("brokers did not take {count} messages"))),
        }
    }

    /// Hands messages over and waits until the brokers have answered for each.
    fn send(&self, producer: &BaseProducer<Refusals>, messages: &[Outgoing]) -> Result<(), TaskError> {
        for message in messages {
            let mut record = BaseRecord::<[u8], [u8]>::to(&message.topic);
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            if let Some(value) = &message.value {
                record = record.payload(value);
            }
            if let Some(partition) = message.partition {
                record = record.partition(partition);
            }
            if !message.headers.is_empty() {
                let headers = message
                    .headers
                    .iter()
                    .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_ref() }));
                record = record.headers(headers);
            }
            let started = Instant::now();
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((error, again)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                        if started.elapsed() > WAIT {
                            return Err(TaskError::Retry("brokers take no messages".into()));
                        }
                        producer.poll(Duration::from_millis(5));
                        record = again;
                    }
                    Err((error, _)) => return Err(self.meant(&error)),
                }
            }
        }
        // Not `flush`, which waits in steps of a tenth of a second.
        let started = Instant::now();
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
            if started.elapsed() > WAIT * 3 {
                return Err(TaskError::Retry("brokers do not answer".into()));
            }
        }
        Ok(())
    }

    fn producer(&mut self) -> Result<(), TaskError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let mut config = self.config.clone();
        config.set("enable.idempotence", "true");
        if self.once {
            config.set("transactional.id", self.id.as_ref().unwrap_or(&self.giver.name));
        }
        let made = config.create_with_context(self.refusals.clone());
        let producer: BaseProducer<Refusals> = made.map_err(|e| failed("speak to kafka", &e))?;
        if self.once {
            producer.init_transactions(WAIT).map_err(|e| failed("begin with transactions", &e))?;
        }
        self.producer = Some(producer);
        Ok(())
    }

    fn marks(&mut self) -> Result<&BaseConsumer, TaskError> {
        if self.marks.is_none() {
            let mut config = ClientConfig::new();
            // What only producers know is left out.
            let of_producers = ["compression.type", "linger.ms", "queue.buffering.max.messages"];
            for (name, value) in self.config.config_map() {
                if !of_producers.contains(&name) {
                    config.set(name.to_string(), value.to_string());
                }
            }
            config.set("group.id", format!("millstream-delivered/{}", self.giver.name));
            config.set("enable.auto.commit", "false").set("isolation.level", "read_committed");
            let made: BaseConsumer = config.create().map_err(|e| failed("speak to kafka", &e))?;
            self.marks = Some(made);
        }
        self.marks.as_ref().ok_or_else(|| TaskError::Bug("a consumer that was made is not there".into()))
    }

    fn meant(&self, error: &KafkaError) -> TaskError {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch,
            ) => TaskError::Stop("another process writes under the same `transactional_id`: this one gives way".into()),
            _ => failed("write to kafka", error),
        }
    }
}
