//! `--progress`: an object a batch, with the field names of Structured Streaming's `StreamingQueryProgress` and, beside
//! them, what every stage did.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::engine::{BatchReport, OperatorCount, Report, SourceCount};
use crate::model::time::show_moment;

/// Where the objects go.
pub(super) struct Progress {
    to: Box<dyn Write + Send>,
    name: String,
    /// Of this run.
    run: String,
    last: Option<i64>,
    failed: Option<io::Error>,
}

impl Progress {
    /// For a pipeline; `run` tells this run from others.
    pub(super) fn new(to: Box<dyn Write + Send>, name: &str, run: String) -> Self {
        Progress { to, name: name.to_owned(), run, last: None, failed: None }
    }

    /// Why nothing is written any more.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

impl Report for Progress {
    fn batch(&mut self, batch: &BatchReport) {
        let passed = self.last.map_or(batch.took.as_secs_f64(), |last| (batch.time - last) as f64 / 1e6);
        self.last = Some(batch.time);
        let object = object(batch, &self.name, &self.run, passed);
        let written = writeln!(self.to, "{object}").and_then(|()| self.to.flush());
        if let Err(error) = written {
            self.to = Box::new(io::sink());
            self.failed = Some(error);
        }
    }

    fn note(&mut self, _: &str) {}
}

fn object(batch: &BatchReport, name: &str, run: &str, passed: f64) -> Value {
    let rows_in = batch.rows_in();
    let marks: Vec<_> = batch.sources.iter().filter_map(|source| source.mark.as_ref()).collect();
    let mut event_time = Map::new();
    if let Some(newest) = marks.iter().filter_map(|mark| mark.newest).max() {
        event_time.insert("max".into(), show_moment(newest).into());
    }
    if let Some(mark) = marks.iter().filter_map(|mark| mark.mark).min() {
        event_time.insert("watermark".into(), show_moment(mark).into());
    }
    let phases = &batch.phases;
    json!({
        "id": name,
        "runId": run,
        "name": name,
        "timestamp": show_moment(batch.time),
        "batchId": batch.number,
        "batchDuration": millis(batch.took),
        "numInputRows": rows_in,
        "inputRowsPerSecond": rate(rows_in, passed),
        "processedRowsPerSecond": rate(rows_in, batch.took.as_secs_f64()),
        "durationMs": {
            "getBatch": millis(phases.intake),
            "addBatch": millis(phases.compute + phases.stage + phases.deliver),
            "walCommit": millis(phases.commit),
            "commitOffsets": millis(phases.settle),
            "triggerExecution": millis(batch.took),
            "compute": millis(phases.compute),
            "stage": millis(phases.stage),
            "deliver": millis(phases.deliver),
        },
        "schedulingDelayMs": millis(batch.delay),
        "skippedTicks": batch.skipped,
        "eventTime": event_time,
        "stateOperators": batch.operators.iter().filter(|o| o.held.keys > 0 || o.expired > 0).map(state).collect::<Vec<_>>(),
        "sources": batch.sources.iter().map(|of| source(of, batch, passed)).collect::<Vec<_>>(),
        "sinks": batch.sinks.iter().map(|sink| json!({
            "description": format!("{} |> into {}", sink.stream, sink.word),
            "numOutputRows": sink.rows - sink.rejected,
            "rejected": sink.rejected,
            "retries": sink.retries,
            "durationMs": millis(sink.took),
        })).collect::<Vec<_>>(),
        "operators": batch.operators.iter().map(operator).collect::<Vec<_>>(),
        "observedMetrics": batch.meters.iter().map(|meter| {
            (format!("{}.{}", meter.stream, meter.measured.name), meter.measured.so_far.as_ref().map(ToString::to_string))
        }).collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn source(of: &SourceCount, batch: &BatchReport, passed: f64) -> Value {
    let offsets = |pick: fn(&crate::engine::Moved) -> &String| -> Map<String, Value> {
        of.moved.iter().map(|moved| (moved.split.clone(), pick(moved).clone().into())).collect()
    };
    json!({
        "description": of.name,
        "startOffset": offsets(|moved| &moved.from),
        "endOffset": offsets(|moved| &moved.to),
        "numInputRows": of.rows,
        "inputRowsPerSecond": rate(of.rows, passed),
        "processedRowsPerSecond": rate(of.rows, batch.took.as_secs_f64()),
        "metrics": {
            "bytes": of.bytes,
            "bad": of.bad,
            "leftOut": of.left_out,
            "rowsBehind": of.backlog.rows,
            "bytesBehind": of.backlog.bytes,
            "filesBehind": of.backlog.pieces,
            "rateLimit": of.rate,
            "watermark": of.mark.as_ref().and_then(|mark| mark.mark).map(show_moment),
            "watermarkHeldBy": of.mark.as_ref().and_then(|mark| mark.held_by.clone()),
            "idle": of.mark.as_ref().map(|mark| mark.sleeps),
        },
    })
}

fn state(of: &OperatorCount) -> Value {
    json!({
        "operatorName": of.word,
        "stream": of.stream,
        "numRowsTotal": of.held.keys,
        "numRowsRemoved": of.expired,
        "numRowsDroppedByWatermark": of.late,
        "memoryUsedBytes": of.held.bytes,
        "diskUsedBytes": of.held.on_disk,
    })
}

fn operator(of: &OperatorCount) -> Value {
    json!({
        "stream": of.stream,
        "stage": of.word,
        "rowsIn": of.rows_in,
        "rowsOut": of.rows_out,
        "filtered": of.filtered,
        "taken": of.taken,
        "late": of.late,
        "partlyLate": of.partly_late,
        "expired": of.expired,
        "bad": of.bad,
        "durationMs": millis(of.took),
    })
}

/// To the microsecond.
fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1e3
}

fn rate(rows: u64, seconds: f64) -> f64 {
    if seconds <= 0.0 { 0.0 } else { (rows as f64 / seconds * 10.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::engine::{MarkCount, Moved, SinkCount};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_an_object_with_the_names_people_know() {
        let paper = Paper::default();
        let mut progress = Progress::new(Box::new(paper.clone()), "revenue", "r1".into());
        for number in 0..2 {
            progress.batch(&BatchReport {
                number,
                time: 1_767_225_600_000_000 + 2_000_000 * i64::try_from(number).unwrap(),
                took: Duration::from_millis(500),
                sources: vec![SourceCount {
                    name: "orders".into(),
                    rows: 100,
                    mark: Some(MarkCount { mark: Some(1_767_225_590_000_000), ..MarkCount::default() }),
                    moved: vec![Moved { split: "a.json".into(), from: "0".into(), to: "10".into() }],
                    ..SourceCount::default()
                }],
                sinks: vec![SinkCount { stream: "r".into(), word: "files".into(), rows: 3, ..SinkCount::default() }],
                ..BatchReport::default()
            });
        }
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let second = &lines[1];
        assert_eq!(second["batchId"], 1);
        assert_eq!(second["timestamp"], "2026-01-01T00:00:02Z");
        assert_eq!((&second["inputRowsPerSecond"], &second["processedRowsPerSecond"]), (&json!(50.0), &json!(200.0)));
        assert_eq!(second["eventTime"], json!({"watermark": "2025-12-31T23:59:50Z"}));
        assert_eq!(second["sources"][0]["endOffset"], json!({"a.json": "10"}));
        assert_eq!(second["sinks"][0]["numOutputRows"], 3);
        assert_eq!(second["durationMs"]["triggerExecution"], 500.0);
    }
}
