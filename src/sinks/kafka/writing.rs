//! The sink at work.

use arrow::array::RecordBatch;
use datafusion_common::ScalarValue;

use crate::connect::kafka::config;
use crate::expressions::constant;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, Giver, Sink};
use crate::sinks::kafka::delivery::Brokers;
use crate::sinks::kafka::messages::{Staged, Writing};
use crate::sinks::packed::unpacked;

pub(super) fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let one = match settings.expr("topic").and_then(constant) {
        Some(ScalarValue::Utf8(topic)) => topic,
        _ => settings.texts("topics").first().map(|topic| (*topic).to_owned()),
    };
    let once = settings.text("delivery") != Some("at_least_once");
    let marked = one.filter(|topic| !topic.is_empty());
    if once && marked.is_none() {
        let why = "exactly once needs a topic that is known: name them all in `topics`, or write \
                   `delivery: at_least_once`";
        return Err(NotRunnable(why.into()));
    }
    let mut client = config(endpoint)?;
    let longest = settings.size("max_message").unwrap_or(1_000_000);
    client
        .set("compression.type", settings.text("compression").unwrap_or("none"))
        .set("linger.ms", (settings.duration("linger").unwrap_or(5_000) / 1000).to_string())
        // What a message has beside its key and value is not counted by the option.
        .set("message.max.bytes", longest.saturating_add(100_000).clamp(1_000, 1_000_000_000).to_string());
    let id = settings.text("transactional_id").map(str::to_owned);
    let brokers = Brokers::new(client, once, id, marked.unwrap_or_default());
    Ok(Box::new(Kafka { writing: Writing::of(endpoint)?, brokers }))
}

struct Kafka {
    writing: Writing,
    brokers: Brokers,
}

impl Sink for Kafka {
    fn given_by(&mut self, giver: &Giver) {
        self.brokers.given_by(giver);
    }

    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        Ok(Artifact { bytes: self.writing.stage(batch, rows)?, rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        if artifact.bytes.is_empty() {
            return Ok(Delivered::default());
        }
        let cut_off = || TaskError::Bug("a staged batch is cut off".into());
        let staged = Staged::read(&artifact.bytes).ok_or_else(cut_off)?;
        self.brokers.deliver(batch.number, &staged.messages)?;
        if staged.refused.is_empty() {
            return Ok(Delivered::default());
        }
        let rows = unpacked(staged.packed).map_err(|e| TaskError::Bug(e.to_string()))?.pop().ok_or_else(cut_off)?;
        let one = |(row, why): (usize, String)| (row < rows.num_rows()).then(|| (rows.slice(row, 1), why));
        Ok(Delivered { rejected: staged.refused.into_iter().filter_map(one).collect() })
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        self.brokers.cursor()
    }
}
