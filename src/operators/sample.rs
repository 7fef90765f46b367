//! `sample 0.1`: a share of the rows, the same ones whenever a batch is run again.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use millstream_dsl::Diagnostic;

use crate::model::Schema;
use crate::operators::values::bug;
use crate::operators::{carry, input};
use crate::plan::catalog::{Arity, Names, OptionKind, StageCall};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, OptionSpec, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `sample` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("sample", "keeps a share of the rows", "sample FRACTION [with { seed: N }]")
        .details(
            "Which rows are kept follows from their values, the number of the batch and the seed, so that a batch that \
             is run again, or on more threads, keeps the same. Rows of a batch that are equal in every column share \
             their fate. The others are counted as filtered.",
        )
        .example("sample 0.1 with { seed: 5 }");
    let seed = OptionKind::Integer { min: i64::MIN, max: i64::MAX };
    let options = vec![OptionSpec::with_default("seed", seed, "0", "another seed, another sample")];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Never },
        clauses: vec![],
        options,
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let written = &call.stage.args.first()?.value;
    let fraction = ctx.number(written)?;
    if !(0.0..=1.0).contains(&fraction) {
        let problem = Diagnostic::error("wrong-argument", written.at.0, "a share of the rows lies between 0 and 1")
            .label(format!("is {fraction}"))
            .help(format!("write a fraction, e.g. for {fraction} percent:\n  |> sample {}", fraction / 100.0));
        ctx.report(problem);
        return None;
    }
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let seed = call.options.integer("seed").unwrap_or(0);
    Some(input::passing(call, Box::new(Sample { fraction, seed, input: edge.schema.clone() }), out))
}

#[derive(Debug, Clone)]
struct Sample {
    fraction: f64,
    seed: i64,
    input: Schema,
}

impl Operator for Sample {
    fn word(&self) -> &'static str {
        "sample"
    }

    fn explain(&self) -> String {
        format!("sample {} seed {}", self.fraction, self.seed)
    }

    fn properties(&self) -> Properties {
        let all = (0..self.input.columns.len()).collect();
        Properties { repeats: Some(carry::repeats_all(&self.input)), ..Properties::row_wise(all) }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let schema = self.input.to_arrow();
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter =
            RowConverter::new(fields).map_err(|e| NotRunnable(format!("stage `sample` cannot be run: {e}")))?;
        Ok(Task::Rows(Box::new(SampleTask { fraction: self.fraction, seed: self.seed, converter, schema })))
    }
}

struct SampleTask {
    fraction: f64,
    seed: i64,
    converter: RowConverter,
    schema: SchemaRef,
}

impl RowTask for SampleTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let rows = self.converter.convert_columns(block.columns()).map_err(bug)?;
        let start = mixed((self.seed as u64) ^ mixed(batch.number));
        let mask: BooleanArray = rows.iter().map(|row| Some(share(hash(start, row.data())) < self.fraction)).collect();
        let kept = filter_record_batch(block, &mask).map_err(bug)?;
        let filtered = block.num_rows() - kept.num_rows();
        Ok(Evaluated { rows: vec![(Port::Out, kept)], filtered, ..Evaluated::default() })
    }
}

/// A hash that stays the same from run to run: FNV-1a, well mixed.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    mixed(
        bytes
            .iter()
            .fold(start ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)),
    )
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A hash as a number from 0 up to 1.
fn share(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
