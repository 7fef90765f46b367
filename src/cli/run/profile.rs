//! `--profile`: where the time of a run went, by source, stage and sink, as a table and as stacks that flame graphs are
//! drawn from.

use std::fmt::Write as _;
use std::time::Duration;

use super::grouped;
use crate::engine::{BatchReport, Phases, Report};
use crate::model::size::show_bytes;
use crate::model::time::show_elapsed;

/// What was measured so far. It grows with the pipeline, not with the batches.
#[derive(Default)]
pub(super) struct Profile {
    pipeline: String,
    batches: u64,
    took: Duration,
    longest: Longest,
    phases: Phases,
    parts: Vec<Part>,
}

/// The longest of several times, and the batch it was in.
#[derive(Debug, Clone, Copy, Default)]
struct Longest {
    took: Duration,
    batch: u64,
}

impl Longest {
    fn hear(&mut self, took: Duration, batch: u64) {
        if took > self.took {
            *self = Longest { took, batch };
        }
    }
}

/// What a part of a pipeline does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Source,
    Stage,
    Sink,
}

/// A source, a stage or a sink.
struct Part {
    role: Role,
    /// The stream it belongs to; a source's own name.
    stream: String,
    /// Its word; none of a source.
    word: String,
    /// How many of the same word stand before it in that stream.
    again: usize,
    took: Duration,
    longest: Longest,
    rows_in: u64,
    rows_out: u64,
    /// Bytes that a source read, or of memory that a stage's rows take.
    bytes: Option<u64>,
}

impl Part {
    /// `stream |> word`, numbered where the word comes again.
    fn name(&self) -> String {
        let again = if self.again > 0 { format!(" {}", self.again + 1) } else { String::new() };
        match self.role {
            Role::Source => format!("source {}", self.stream),
            Role::Stage => format!("{} |> {}{again}", self.stream, self.word),
            Role::Sink => format!("{} |> into {}{again}", self.stream, self.word),
        }
    }
}

/// What a part did in a batch.
struct Did {
    took: Duration,
    rows: (u64, u64),
    bytes: Option<u64>,
}

impl Profile {
    /// Of a pipeline.
    pub(super) fn of(pipeline: &str) -> Self {
        Profile { pipeline: pipeline.to_owned(), ..Profile::default() }
    }

    /// Counts what a part did in a batch. A saved edit may have brought others, which come behind those that were there.
    fn add(&mut self, role: Role, (stream, word): (&str, &str), again: usize, batch: u64, did: &Did) {
        let same = |part: &Part| (part.role, &*part.stream, &*part.word, part.again) == (role, stream, word, again);
        let place = self.parts.iter().position(same).unwrap_or_else(|| {
            let (stream, word) = (stream.to_owned(), word.to_owned());
            let longest = Longest::default();
            let took = Duration::ZERO;
            self.parts.push(Part { role, stream, word, again, took, longest, rows_in: 0, rows_out: 0, bytes: None });
            self.parts.len() - 1
        });
        let part = &mut self.parts[place];
        part.took += did.took;
        part.longest.hear(did.took, batch);
        part.rows_in += did.rows.0;
        part.rows_out += did.rows.1;
        if let Some(bytes) = did.bytes {
            part.bytes = Some(part.bytes.unwrap_or_default() + bytes);
        }
    }

    /// Lines for a person.
    pub(super) fn table(&self) -> String {
        let mean = |took: Duration| show_elapsed(took / u32::try_from(self.batches.max(1)).unwrap_or(u32::MAX));
        let share = |took: Duration| format!("{:.1}%", took.as_secs_f64() / self.took.as_secs_f64().max(1e-9) * 100.0);
        let longest = |of: Longest| format!("{} ({})", show_elapsed(of.took), of.batch);
        let head = ["", "time", "share", "a batch", "longest (batch)", "rows in", "rows out", "bytes"];
        let mut lines = vec![head.map(str::to_owned)];
        for part in self.sorted() {
            let rows_in = if part.role == Role::Source { String::new() } else { grouped(part.rows_in) };
            lines.push([
                part.name(),
                show_elapsed(part.took),
                share(part.took),
                mean(part.took),
                longest(part.longest),
                rows_in,
                grouped(part.rows_out),
                part.bytes.map(show_bytes).unwrap_or_default(),
            ]);
        }
        for (name, took) in [("commit", self.phases.commit), ("settle", self.phases.settle)] {
            if !took.is_zero() {
                let [time, share, mean] = [show_elapsed(took), share(took), mean(took)];
                let none = String::new;
                lines.push([name.to_owned(), time, share, mean, none(), none(), none(), none()]);
            }
        }
        let phases = &self.phases;
        let named = [
            ("reading", phases.intake),
            ("computing", phases.compute),
            ("staging", phases.stage),
            ("committing", phases.commit),
            ("delivering", phases.deliver),
            ("settling", phases.settle),
        ];
        let named: Vec<String> = named
            .iter()
            .filter(|(_, took)| !took.is_zero())
            .map(|(name, took)| format!("{name} {}", share(*took)))
            .collect();
        let batches = if self.batches == 1 { "1 batch".to_owned() } else { format!("{} batches", self.batches) };
        let (took, each) = (show_elapsed(self.took), mean(self.took));
        format!(
            "profile of {}: {batches}, {took}, {each} each, the longest {}: {}\n{}stages that take row by row count the time \
             of all threads together\n",
            self.pipeline,
            longest(self.longest),
            named.join(", "),
            laid_out(&lines)
        )
    }

    /// A line for each part: where it is and its microseconds, as tools that draw flame graphs read them.
    pub(super) fn stacks(&self) -> String {
        let clean = |text: &str| text.replace([';', '\n'], ",");
        let mut text = String::new();
        let mut line = |path: &[&str], took: Duration| {
            if took.as_micros() > 0 {
                let path: Vec<String> = path.iter().map(|name| clean(name)).collect();
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{} {}", path.join(";"), took.as_micros());
            }
        };
        let pipeline = self.pipeline.as_str();
        for part in &self.parts {
            let phase = match part.role {
                Role::Source => "reading",
                Role::Stage => "computing",
                Role::Sink => "writing",
            };
            let again = if part.again > 0 { format!(" {}", part.again + 1) } else { String::new() };
            let word = format!("{}{again}", part.word);
            match part.role {
                Role::Source => line(&[pipeline, phase, &part.stream], part.took),
                Role::Stage | Role::Sink => line(&[pipeline, phase, &part.stream, &word], part.took),
            }
        }
        line(&[pipeline, "committing"], self.phases.commit);
        line(&[pipeline, "settling"], self.phases.settle);
        text
    }

    /// Sources, stages, sinks; of each the one that took the longest first.
    fn sorted(&self) -> Vec<&Part> {
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        parts.sort_by_key(|part| (part.role, std::cmp::Reverse(part.took)));
        parts
    }
}

impl Report for Profile {
    fn batch(&mut self, batch: &BatchReport) {
        self.batches += 1;
        self.took += batch.took;
        self.longest.hear(batch.took, batch.number);
        let (sum, more) = (&mut self.phases, &batch.phases);
        sum.intake += more.intake;
        sum.compute += more.compute;
        sum.stage += more.stage;
        sum.commit += more.commit;
        sum.deliver += more.deliver;
        sum.settle += more.settle;
        for source in &batch.sources {
            let did = Did { took: source.took, rows: (0, source.rows), bytes: Some(source.bytes) };
            self.add(Role::Source, (&source.name, ""), 0, batch.number, &did);
        }
        let before = |i: usize| {
            let own = &batch.operators[i];
            batch.operators[..i].iter().filter(|other| (&other.stream, &other.word) == (&own.stream, &own.word)).count()
        };
        for (i, stage) in batch.operators.iter().enumerate() {
            let rows = (stage.rows_in, stage.rows_out);
            let did = Did { took: stage.took, rows, bytes: Some(stage.bytes_out) };
            self.add(Role::Stage, (&stage.stream, &stage.word), before(i), batch.number, &did);
        }
        for (i, sink) in batch.sinks.iter().enumerate() {
            let same = |other: &&crate::engine::SinkCount| (&other.stream, &other.word) == (&sink.stream, &sink.word);
            let again = batch.sinks[..i].iter().filter(same).count();
            let did = Did { took: sink.took, rows: (sink.rows, sink.rows - sink.rejected), bytes: None };
            self.add(Role::Sink, (&sink.stream, &sink.word), again, batch.number, &did);
        }
    }

    fn note(&mut self, _: &str) {}
}

/// Columns under each other: names to the left, numbers to the right.
fn laid_out(lines: &[[String; 8]]) -> String {
    let widths: [usize; 8] =
        std::array::from_fn(|i| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or_default());
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).enumerate();
        let cells =
            cells.map(|(i, (cell, width))| if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{OperatorCount, SinkCount, SourceCount};

    fn batch(number: u64, millis: u64) -> BatchReport {
        let took = Duration::from_millis(millis);
        let stage = |word: &str, share: u32| OperatorCount {
            stream: "counts".into(),
            word: word.into(),
            rows_in: 10,
            rows_out: 5,
            bytes_out: 1_000,
            took: took / share,
            ..OperatorCount::default()
        };
        BatchReport {
            number,
            took,
            phases: Phases { intake: took / 4, compute: took / 2, ..Phases::default() },
            sources: vec![SourceCount { name: "lines".into(), rows: 10, bytes: 500, took: took / 4, ..<_>::default() }],
            operators: vec![stage("where", 8), stage("where", 4), stage("aggregate", 2)],
            sinks: vec![SinkCount {
                word: "files".into(),
                stream: "counts".into(),
                rows: 5,
                took: took / 8,
                ..<_>::default()
            }],
            ..BatchReport::default()
        }
    }

    #[test]
    fn parts_add_up_over_batches_and_the_longest_is_named() {
        let mut profile = Profile::of("p;1");
        for (number, millis) in [(0, 40), (1, 80), (2, 40)] {
            profile.batch(&batch(number, millis));
        }
        let expected = "p,1;reading;lines 40000\n\
                        p,1;computing;counts;where 20000\n\
                        p,1;computing;counts;where 2 40000\n\
                        p,1;computing;counts;aggregate 80000\n\
                        p,1;writing;counts;files 20000\n";
        assert_eq!(profile.stacks(), expected);
        let table = profile.table();
        let rows: Vec<Vec<&str>> =
            table.lines().skip(2).map(|line| line.split("  ").filter(|c| !c.is_empty()).collect()).collect();
        let trimmed = |row: &[&str]| row.iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&rows[0]), ["source lines", "40ms", "25.0%", "13ms", "20ms (1)", "30", "1.5kb"]);
        assert_eq!(trimmed(&rows[1]), ["counts |> aggregate", "80ms", "50.0%", "27ms", "40ms (1)", "30", "15", "3kb"]);
        assert_eq!(trimmed(&rows[2])[0], "counts |> where 2");
        assert_eq!(trimmed(&rows[4])[0], "counts |> into files");
        assert!(table.starts_with(
            "profile of p;1: 3 batches, 160ms, 53ms each, the longest 80ms (1): reading 25.0%, computing 50.0%\n"
        ));
    }
}
