//! The `pipeline` statement: its name and its settings, as data like every other entry's.

use std::path::PathBuf;
use std::sync::LazyLock;

use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::Checker;
use crate::check::literals;
use crate::check::options::Around;
use crate::plan::catalog::ON_CHANGE;
use crate::plan::graph::Header;
use crate::plan::{OptionKind, OptionSpec, OptionValue, Settings};

/// What may stand in the braces of `pipeline NAME { ... }`.
pub static HEADER_OPTIONS: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
    vec![
        OptionSpec::with_default(
            "every",
            OptionKind::Duration,
            "1s",
            "the batch interval; `0s` means as soon as possible",
        ),
        OptionSpec::optional("checkpoint", OptionKind::Path, "the folder that a restarted pipeline goes on from"),
        OptionSpec::optional("time_zone", OptionKind::Text, "the zone for reading and printing times that name none"),
        OptionSpec::optional(
            "watermark",
            OptionKind::Duration,
            "how late rows may come, for sources with a `time` that do not say it",
        ),
        OptionSpec::optional(
            "idle",
            OptionKind::Duration,
            "after how long without rows a source no longer holds back the watermark",
        ),
        OptionSpec::with_default(
            "watermarks",
            OptionKind::Symbol(WATERMARKS),
            "slowest",
            "whose watermark holds where streams meet",
        ),
        OptionSpec::optional(
            "max_rows",
            OptionKind::Integer { min: 1, max: i64::MAX },
            "at most so many rows a batch and source",
        ),
        OptionSpec::optional("max_bytes", OptionKind::Size, "at most so many bytes a batch and source"),
        OptionSpec::optional("retain", OptionKind::Duration, "how long batches are kept for windows in batch time"),
        OptionSpec::optional(
            "retention",
            OptionKind::AnyOf(vec![OptionKind::Duration, OptionKind::Size]),
            "how much of the checkpoint is kept for `millstream rewind`: `7d`, or `1gb` of it",
        ),
        OptionSpec::optional(
            "state_limit",
            OptionKind::Size,
            "how much state may be in memory: with a `checkpoint` the rest lies on disk, else the pipeline stops",
        ),
        OptionSpec::with_default(
            "on_overrun",
            OptionKind::Symbol(OVERRUN),
            "skip",
            "what happens when a batch takes longer than `every`",
        ),
        OptionSpec::optional(
            "on_change",
            OptionKind::Symbol(ON_CHANGE),
            "what a saved edit does with state that it gives another meaning; without it, it waits for `millstream decide`",
        ),
        OptionSpec::with_default(
            "backpressure",
            OptionKind::Bool,
            "true",
            "whether sources slow down when batches take too long",
        ),
        OptionSpec::optional("initial_rate", RATE, "rows a second and source until `backpressure` knows better"),
        OptionSpec::with_default("min_rate", RATE, "100", "`backpressure` lets at least so many rows a second pass"),
        OptionSpec::with_default("pid_proportional", GAIN, "1.0", "`backpressure`: weight of the last batch's error"),
        OptionSpec::with_default("pid_integral", GAIN, "0.2", "`backpressure`: weight of the rows that wait"),
        OptionSpec::with_default("pid_derived", GAIN, "0.0", "`backpressure`: weight of the error's change"),
        OptionSpec::optional(
            "partitions",
            OptionKind::Integer { min: 1, max: 256 },
            "into how many parts a batch is cut; one a core if not said",
        ),
    ]
});

const WATERMARKS: &[(&str, &str)] = &[
    ("slowest", "that of the slowest input: no row is late because another stream is ahead"),
    ("fastest", "that of the fastest input: results come sooner, rows of slower streams may be late"),
];

const OVERRUN: &[(&str, &str)] = &[
    ("skip", "the ticks that were missed are folded into the next batch, and counted"),
    ("catch_up", "they are made up for, one batch each"),
    ("fail", "the pipeline stops"),
];

/// Rows a second.
const RATE: OptionKind = OptionKind::Number { min: 1.0, max: 1e12 };
/// A weight of the estimator.
const GAIN: OptionKind = OptionKind::Number { min: 0.0, max: 1000.0 };

/// The settings that the rest of the checker goes by.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderSettings {
    /// Where the pipeline's name stands; the start of the file where there is none.
    pub(super) at: Span,
    pub(super) name: String,
    /// Microseconds; zero for as soon as possible.
    pub(super) every: i64,
    pub(super) every_at: Span,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) zone: Option<String>,
    pub(super) watermark: Option<i64>,
    pub(super) retain: Option<i64>,
    pub(super) settings: Settings,
}

impl HeaderSettings {
    pub(super) fn to_plan(&self) -> Header {
        Header {
            name: self.name.clone(),
            every: self.every,
            checkpoint: self.checkpoint.clone(),
            zone: self.zone.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl Checker<'_> {
    /// Checks the `pipeline` statement.
    pub(super) fn check_header(&mut self) {
        let Some(&(name, options, _)) = self.names.pipelines.first() else {
            return self.missing_pipeline();
        };
        for (again, _, _) in self.names.pipelines.clone().iter().skip(1) {
            self.report(
                Diagnostic::error("duplicate-pipeline", again.at.0, "a file is one pipeline")
                    .label("a second `pipeline` statement")
                    .also(name.at.0, "the first"),
            );
        }
        let around = Around { what: "a pipeline".into(), rows: None };
        let mut settings = Settings::default();
        self.options(&options.entries, &HEADER_OPTIONS, &around, name.at.0, &mut settings);
        let zone = settings.text("time_zone").map(str::to_owned);
        if let Some(zone) = zone.as_deref().filter(|zone| !literals::is_zone(zone)) {
            let span = settings.span("time_zone").unwrap_or(name.at.0);
            self.report(
                Diagnostic::error("invalid-literal", span, format!("time zone `{zone}` is not known"))
                    .label("no such zone")
                    .help("zones are named by place:\n  time_zone: \"Europe/Berlin\""),
            );
        }
        self.header = HeaderSettings {
            at: name.at.0,
            name: name.name.clone(),
            every: settings.duration("every").unwrap_or(1_000_000),
            every_at: settings.span("every").unwrap_or(name.at.0),
            checkpoint: settings.text("checkpoint").map(PathBuf::from),
            zone: zone.filter(|zone| literals::is_zone(zone)),
            watermark: settings.duration("watermark"),
            retain: settings.duration("retain"),
            settings,
        };
    }

    fn missing_pipeline(&mut self) {
        let mut settings = Settings::default();
        settings.set("every", OptionValue::Duration(1_000_000), Span::default());
        self.header = HeaderSettings { every: 1_000_000, settings, ..HeaderSettings::default() };
        let Some(file) = self.program.files.first() else { return };
        if self.program.incomplete {
            return;
        }
        let name = file
            .path
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or("example")
            .replace(|c: char| !c.is_alphanumeric(), "_");
        let name = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
        let name = if name.is_empty() { "example" } else { name };
        let yaml =
            self.program.sources.get(file.id).is_some_and(|f| f.name.ends_with(".yaml") || f.name.ends_with(".yml"));
        let right = match yaml {
            true => format!("pipeline: {{ name: {name}, every: 1s }}"),
            false => format!("pipeline {name} {{ every: 1s }}"),
        };
        let start = Span::new(file.id, 0, 0);
        self.report(
            Diagnostic::error("missing-pipeline", start, "the file has no `pipeline` statement")
                .label("what is it called, and how often does a batch run?")
                .help(format!("begin with:\n  {right}")),
        );
    }
}
