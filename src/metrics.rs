//! What a process that runs pipelines says of itself to Prometheus. Counters grow from the start of the process; what is
//! said of state and watermarks is as the last batch left it.

mod server;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::BatchReport;

pub use server::{Server, serve};

/// Upper bounds of the classes that durations are counted in, in seconds.
const CLASSES: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The numbers of all pipelines of a process. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    all: Arc<Mutex<Numbers>>,
}

#[derive(Debug, Default)]
struct Numbers {
    /// By name and labels.
    values: BTreeMap<(&'static str, String), f64>,
    durations: BTreeMap<(&'static str, String), Histogram>,
    /// Whether each pipeline takes part in the work.
    states: BTreeMap<String, State>,
}

/// What a pipeline is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being made ready.
    Starting,
    /// It runs batches.
    Running,
    /// It works off what it received.
    Ending,
    /// It failed.
    Failed,
}

#[derive(Debug, Clone, Default)]
struct Histogram {
    counts: [u64; CLASSES.len()],
    count: u64,
    sum: f64,
}

/// What there is: its name, its kind, what it means.
const KINDS: &[(&str, &str, &str)] = &[
    ("rows_in_total", "counter", "rows that came in, by stage"),
    ("rows_out_total", "counter", "rows that went on, by stage"),
    ("rows_filtered_total", "counter", "rows filtered on purpose"),
    ("rows_late_total", "counter", "rows that came too late"),
    ("rows_bad_total", "counter", "rows that could not be read or computed"),
    ("rows_rejected_total", "counter", "rows that a sink refused"),
    ("stage_seconds_total", "counter", "time a stage was worked on, over all threads"),
    ("batches_total", "counter", "batches that were delivered"),
    ("ticks_skipped_total", "counter", "ticks without a batch, because the one before took too long"),
    ("batch_seconds", "histogram", "how long a batch took, by phase"),
    ("checkpoint_seconds", "histogram", "how long it took until a batch was on the disk, where there is a checkpoint"),
    ("batch_rows", "gauge", "rows of the last batch"),
    ("batch_delay_seconds", "gauge", "how late the last batch started"),
    ("watermark_seconds", "gauge", "the watermark of a source, in seconds since 1970"),
    ("watermark_held_by", "gauge", "1 for the partition that holds the watermark back"),
    ("state_rows", "gauge", "keys or rows that a stage remembers"),
    ("state_bytes", "gauge", "bytes of memory that a stage remembers, about"),
    ("state_disk_bytes", "gauge", "bytes that a stage remembers on disk, beyond `state_limit`"),
    ("state_expired_total", "counter", "keys, rows or windows that a stage forgot, because their time was over"),
    ("source_lag", "gauge", "what was not read yet, by unit"),
    ("source_rate", "gauge", "rows a second that backpressure lets pass"),
    ("source_left_out_total", "counter", "things that were found and are not read"),
    ("sink_retry_total", "counter", "deliveries that were tried again"),
    ("reload_total", "counter", "saved edits, by what came of them"),
    ("config_current", "gauge", "1 where what is on disk is what runs"),
    ("process_resident_bytes", "gauge", "memory of the process"),
];

impl Metrics {
    /// Counts a batch.
    pub fn batch(&self, pipeline: &str, batch: &BatchReport) {
        let mut numbers = self.hand();
        numbers.states.insert(pipeline.to_owned(), State::Running);
        let own = labels(&[("pipeline", pipeline)]);
        numbers.add("batches_total", &own, 1.0);
        numbers.add("ticks_skipped_total", &own, batch.skipped as f64);
        numbers.set("batch_delay_seconds", &own, batch.delay.as_secs_f64());
        numbers.set("batch_rows", &own, batch.rows_in() as f64);
        let phases = [
            ("intake", batch.phases.intake),
            ("compute", batch.phases.compute),
            ("stage", batch.phases.stage),
            ("commit", batch.phases.commit),
            ("deliver", batch.phases.deliver),
            ("settle", batch.phases.settle),
            ("all", batch.took),
        ];
        for (phase, took) in phases {
            numbers.time("batch_seconds", &labels(&[("pipeline", pipeline), ("phase", phase)]), took);
        }
        if !batch.phases.commit.is_zero() {
            numbers.time("checkpoint_seconds", &own, batch.phases.commit);
        }
        for source in &batch.sources {
            numbers.source(pipeline, source);
        }
        for stage in &batch.operators {
            let of = labels(&[("pipeline", pipeline), ("stream", &stage.stream), ("stage", &stage.word)]);
            numbers.add("rows_in_total", &of, stage.rows_in as f64);
            numbers.add("rows_out_total", &of, stage.rows_out as f64);
            numbers.add("rows_filtered_total", &of, stage.filtered as f64);
            numbers.add("rows_late_total", &of, stage.late as f64);
            numbers.add("rows_bad_total", &of, stage.bad as f64);
            numbers.add("stage_seconds_total", &of, stage.took.as_secs_f64());
            if stage.held != <_>::default() || stage.expired > 0 {
                numbers.add("state_expired_total", &of, stage.expired as f64);
                numbers.set("state_rows", &of, stage.held.keys as f64);
                numbers.set("state_bytes", &of, stage.held.bytes as f64);
                numbers.set("state_disk_bytes", &of, stage.held.on_disk as f64);
            }
        }
        for sink in &batch.sinks {
            let of = labels(&[("pipeline", pipeline), ("stream", &sink.stream), ("stage", &sink.word)]);
            numbers.add("rows_out_total", &of, (sink.rows - sink.rejected) as f64);
            numbers.add("rows_rejected_total", &of, sink.rejected as f64);
            numbers.add("sink_retry_total", &of, sink.retries as f64);
        }
    }

    /// Counts a saved edit: `applied`, `refused` ..., and why.
    pub fn reload(&self, pipeline: &str, outcome: &str, reason: &str) {
        let of = labels(&[("pipeline", pipeline), ("outcome", outcome), ("reason", reason)]);
        self.hand().add("reload_total", &of, 1.0);
    }

    /// Whether what is on disk is what runs.
    pub fn current(&self, pipeline: &str, is: bool) {
        self.hand().set("config_current", &labels(&[("pipeline", pipeline)]), f64::from(u8::from(is)));
    }

    /// What a pipeline is doing from now on.
    pub fn is(&self, pipeline: &str, state: State) {
        self.hand().states.insert(pipeline.to_owned(), state);
    }

    /// Whether everything works that should; the pipelines that do not, where not.
    pub fn health(&self) -> Result<(), String> {
        self.pipelines(|state| state != State::Failed)
    }

    /// Whether every pipeline takes rows in.
    pub fn ready(&self) -> Result<(), String> {
        let any = !self.hand().states.is_empty();
        if any { self.pipelines(|state| state == State::Running) } else { Err("no pipeline runs\n".into()) }
    }

    fn pipelines(&self, well: impl Fn(State) -> bool) -> Result<(), String> {
        let numbers = self.hand();
        let ill = numbers.states.iter().filter(|(_, state)| !well(**state));
        let text: String =
            ill.map(|(name, state)| format!("{name}: {}\n", format!("{state:?}").to_lowercase())).collect();
        if text.is_empty() { Ok(()) } else { Err(text) }
    }

    /// All numbers in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut numbers = self.hand();
        if let Some(bytes) = resident_bytes() {
            numbers.set("process_resident_bytes", "", bytes as f64);
        }
        let mut text = String::new();
        for (name, kind, help) in KINDS {
            let values: Vec<_> = numbers.values.iter().filter(|((of, _), _)| of == name).collect();
            let durations: Vec<_> = numbers.durations.iter().filter(|((of, _), _)| of == name).collect();
            if values.is_empty() && durations.is_empty() {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP millstream_{name} {help}\n# TYPE millstream_{name} {kind}");
            for ((_, labels), value) in values {
                let _ = writeln!(text, "millstream_{name}{} {value}", braced(labels));
            }
            for ((_, labels), histogram) in durations {
                histogram.write(name, labels, &mut text);
            }
        }
        text
    }

    fn hand(&self) -> MutexGuard<'_, Numbers> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn source(&mut self, pipeline: &str, source: &crate::engine::SourceCount) {
        let of = labels(&[("pipeline", pipeline), ("stream", &source.name), ("stage", "source")]);
        self.add("rows_in_total", &of, (source.rows + source.bad) as f64);
        self.add("rows_out_total", &of, source.rows as f64);
        self.add("rows_bad_total", &of, source.bad as f64);
        let own = labels(&[("pipeline", pipeline), ("source", &source.name)]);
        self.add("source_left_out_total", &own, source.left_out as f64);
        let lag = [("rows", source.backlog.rows), ("bytes", source.backlog.bytes), ("pieces", source.backlog.pieces)];
        for (unit, behind) in lag {
            let of = labels(&[("pipeline", pipeline), ("source", &source.name), ("unit", unit)]);
            if let Some(behind) = behind {
                self.set("source_lag", &of, behind as f64);
            }
        }
        if let Some(rate) = source.rate {
            self.set("source_rate", &own, rate as f64);
        }
        self.values.retain(|(name, labels), _| *name != "watermark_held_by" || !labels.starts_with(&own));
        if let Some(mark) = &source.mark {
            if let Some(at) = mark.mark {
                self.set("watermark_seconds", &own, at as f64 / 1e6);
            }
            if let Some(split) = &mark.held_by {
                let of = labels(&[("pipeline", pipeline), ("source", &source.name), ("partition", split)]);
                self.set("watermark_held_by", &of, 1.0);
            }
        }
    }

    fn add(&mut self, name: &'static str, labels: &str, more: f64) {
        *self.values.entry((name, labels.to_owned())).or_default() += more;
    }

    fn set(&mut self, name: &'static str, labels: &str, value: f64) {
        self.values.insert((name, labels.to_owned()), value);
    }

    fn time(&mut self, name: &'static str, labels: &str, took: Duration) {
        let histogram = self.durations.entry((name, labels.to_owned())).or_default();
        let seconds = took.as_secs_f64();
        for (count, class) in histogram.counts.iter_mut().zip(CLASSES) {
            *count += u64::from(seconds <= class);
        }
        histogram.count += 1;
        histogram.sum += seconds;
    }
}

impl Histogram {
    fn write(&self, name: &str, labels: &str, text: &mut String) {
        for (count, class) in self.counts.iter().zip(CLASSES) {
            let _ = writeln!(text, "millstream_{name}_bucket{{{labels},le=\"{class}\"}} {count}");
        }
        let _ = writeln!(text, "millstream_{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(text, "millstream_{name}_sum{{{labels}}} {}", self.sum);
        let _ = writeln!(text, "millstream_{name}_count{{{labels}}} {}", self.count);
    }
}

/// `a="x",b="y"`
fn labels(all: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let one = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    all.iter().map(one).collect::<Vec<_>>().join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

/// Memory that the process takes up; none where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    // Pages are of this size on all machines that have this file and that we are built for.
    Some(pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{MarkCount, OperatorCount, SinkCount, SourceCount};

    #[test]
    fn a_batch_shows_as_prometheus_reads_it() {
        let metrics = Metrics::default();
        let mut batch = BatchReport {
            took: Duration::from_millis(30),
            sources: vec![SourceCount {
                name: "orders".into(),
                rows: 10,
                bad: 1,
                mark: Some(MarkCount { mark: Some(5_500_000), held_by: Some("t/1".into()), ..MarkCount::default() }),
                ..SourceCount::default()
            }],
            operators: vec![OperatorCount {
                stream: "a\"b".into(),
                word: "where".into(),
                rows_in: 10,
                filtered: 4,
                expired: 3,
                ..OperatorCount::default()
            }],
            sinks: vec![SinkCount { word: "files".into(), stream: "a".into(), rows: 6, ..SinkCount::default() }],
            ..BatchReport::default()
        };
        metrics.batch("p", &batch);
        if let Some(mark) = &mut batch.sources[0].mark {
            mark.held_by = None;
        }
        let held =
            |text: &str| text.contains("watermark_held_by{pipeline=\"p\",source=\"orders\",partition=\"t/1\"} 1");
        assert!(held(&metrics.text()));
        metrics.batch("p", &batch);
        let text = metrics.text();
        assert!(!held(&text), "nobody holds it any more");
        for line in [
            "# TYPE millstream_rows_in_total counter",
            "millstream_rows_in_total{pipeline=\"p\",stream=\"orders\",stage=\"source\"} 22",
            "millstream_rows_bad_total{pipeline=\"p\",stream=\"orders\",stage=\"source\"} 2",
            "millstream_rows_filtered_total{pipeline=\"p\",stream=\"a\\\"b\",stage=\"where\"} 8",
            "millstream_state_expired_total{pipeline=\"p\",stream=\"a\\\"b\",stage=\"where\"} 6",
            "millstream_state_rows{pipeline=\"p\",stream=\"a\\\"b\",stage=\"where\"} 0",
            "millstream_rows_out_total{pipeline=\"p\",stream=\"a\",stage=\"files\"} 12",
            "millstream_watermark_seconds{pipeline=\"p\",source=\"orders\"} 5.5",
            "millstream_batch_seconds_bucket{pipeline=\"p\",phase=\"all\",le=\"0.025\"} 0",
            "millstream_batch_seconds_bucket{pipeline=\"p\",phase=\"all\",le=\"0.05\"} 2",
            "millstream_batch_seconds_count{pipeline=\"p\",phase=\"all\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_process_is_ready_when_all_its_pipelines_run() {
        let metrics = Metrics::default();
        assert_eq!(metrics.ready(), Err("no pipeline runs\n".into()));
        metrics.is("a", State::Starting);
        assert_eq!((metrics.ready(), metrics.health()), (Err("a: starting\n".into()), Ok(())));
        metrics.batch("a", &BatchReport::default());
        assert_eq!(metrics.ready(), Ok(()));
        metrics.is("b", State::Failed);
        assert_eq!(metrics.health(), Err("b: failed\n".into()));
    }
}
