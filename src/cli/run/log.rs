//! The log of a run: a line a batch where nobody looks at a live line, and what else there is to say, through tracing.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::live::Above;
use crate::cli::args::LogFormat;
use crate::engine::{BatchReport, Report};

/// The variable that says what is logged, as `tracing` has it: `debug`, `millstream=trace`.
const VARIABLE: &str = "MILLSTREAM_LOG";

/// From here on everything that is logged is written to standard error, above the live line where there is one.
pub(super) fn begin(format: LogFormat, colored: bool, above: Option<Above>) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(To(above));
    let begun = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(builder.with_ansi(colored).finish()),
    };
    // There is one already where several pipelines share a process.
    drop(begun);
}

/// Where lines go.
#[derive(Clone)]
struct To(Option<Above>);

impl<'a> MakeWriter<'a> for To {
    type Writer = Box<dyn io::Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match &self.0 {
            Some(above) => Box::new(above.clone()),
            None => Box::new(io::stderr()),
        }
    }
}

/// A line a batch; batches without rows are logged as `debug`.
pub(super) struct Lines {
    /// The pipeline's name.
    pub(super) name: String,
}

impl Report for Lines {
    fn batch(&mut self, batch: &BatchReport) {
        let (rows_in, rows_out) = (batch.rows_in(), batch.rows_out());
        let (late, bad) = (batch.late_rows(), batch.bad_rows());
        let state: usize = batch.operators.iter().map(|operator| operator.held.bytes).sum();
        let took_ms = batch.took.as_micros() as f64 / 1e3;
        let delay_ms = batch.delay.as_micros() as f64 / 1e3;
        let (pipeline, number, skipped) = (self.name.as_str(), batch.number, batch.skipped);
        if rows_in + rows_out + late + bad + skipped > 0 {
            tracing::info!(
                pipeline,
                batch = number,
                rows_in,
                rows_out,
                late,
                bad,
                took_ms,
                delay_ms,
                skipped,
                state_bytes = state,
                "batch"
            );
        } else {
            tracing::debug!(pipeline, batch = number, took_ms, delay_ms, "empty batch");
        }
    }

    fn note(&mut self, text: &str) {
        tracing::info!(pipeline = self.name, "{text}");
    }
}
