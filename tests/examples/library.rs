//! Millstream in a program: a pipeline from text, with a function, stages, a source and sinks of the program's own.
//! `cargo run --example library` runs it; the tests do too.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use millstream::library::{Pipeline, own};
use millstream::model::{Column, Schema, Slot, Type};
use millstream::plan::Catalog;
use millstream::plan::operator::TaskError;
use millstream::plan::seams::{Limits, Position, Positions, Read, Source, Split};

const PIPELINE: &str = r#"
pipeline shop { every: 1s }

source orders = queue() { schema: { card: string, cents: int64 } }   # the program gives these: Spark's queueStream
source alarms = countdown()                                          # a source of the program's own

stream paid = from orders |> select masked(card) as card, cents       # a function of the program's own

stream spent = from paid |> aggregate sum(cents) as cents by card per batch
stream largest = from paid |> first_of_each                          # a stage: Spark's mapPartitions
stream sizes = from paid |> whole                                    # a stage: Spark's transform, or glom

from spent |> into ledger                                            # a sink of the program's own
from largest |> into foreach("largest")                              # Spark's foreachBatch
from sizes |> into discard
from alarms |> into discard
"#;

/// Runs three batches.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let ledger = Arc::new(Mutex::new(Vec::new()));
    let pipeline = Pipeline::from_text(PIPELINE, &vocabulary(&ledger))?;
    let mut running = pipeline.start()?;

    running.give("orders", &orders(&[("4929-0001", 100), ("4929-0002", 250), ("4929-0001", 50)])?)?;
    running.give("orders", &orders(&[("4929-0003", 70)])?)?;
    for _ in 0..3 {
        let batch = running.step()?;
        println!("batch {}: {} sources", batch.report.number, batch.report.sources.len());
        for name in ["spent", "largest", "sizes", "alarms"] {
            println!("{name}\n{}", pretty_format_batches(batch.stream(name))?);
        }
    }

    let written = ledger.lock().map_err(|_| "the sink failed")?;
    assert_eq!(*written, [(0, "XXXX-0001".into(), 150), (0, "XXXX-0002".into(), 250), (1, "XXXX-0003".into(), 70)]);
    Ok(())
}

/// What the sink was given: batch, card, cents.
type Ledger = Arc<Mutex<Vec<(u64, String, i64)>>>;

/// The built-in words and those of this program. The checker knows them all: a misspelt one is found like any other.
fn vocabulary(ledger: &Ledger) -> Catalog {
    let mut catalog = millstream::builtins::catalog();
    let masked = |args: &[ArrayRef]| -> ArrayRef {
        let cards = args[0].as_string::<i32>().iter();
        Arc::new(cards.map(|card| Some(format!("XXXX{}", card?.get(4..)?))).collect::<StringArray>())
    };
    catalog.add(own::function(
        "masked",
        "a card's number without its front",
        &[("card", Type::String)],
        Type::String,
        masked,
    ));

    let same = |columns: &Schema| Ok(columns.clone());
    catalog.add(own::partition_stage("first_of_each", "the first row of each partition", same, |rows, _| {
        Ok(rows.iter().filter(|rows| rows.num_rows() > 0).take(1).map(|rows| rows.slice(0, 1)).collect())
    }));
    let sizes = |_: &Schema| Ok(Schema::new(vec![Column::new("rows", Slot::required(Type::Int64))]));
    catalog.add(own::batch_stage("whole", "how many rows the batch has", sizes, |rows, _| {
        let count = rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        let count: ArrayRef = Arc::new(Int64Array::from(vec![i64::try_from(count).map_err(|e| e.to_string())?]));
        Ok(vec![RecordBatch::try_from_iter([("rows", count)]).map_err(|e| e.to_string())?])
    }));

    let left = Schema::new(vec![Column::new("left", Slot::required(Type::Int64))]);
    catalog.add(own::source("countdown", "counts down from two", left, |_| Ok(Box::new(Countdown))));

    let ledger = Arc::clone(ledger);
    catalog.add(own::sink("ledger", "keeps what was spent", move |batch, rows| {
        let mut ledger = ledger.lock().map_err(|_| "an earlier batch failed")?;
        for rows in rows {
            let (cards, cents) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int64Type>());
            let pairs = cards.iter().flatten().zip(cents.values());
            ledger.extend(pairs.map(|(card, cents)| (batch.number, card.to_owned(), *cents)));
        }
        Ok(())
    }));
    own::foreach(&mut catalog, "largest", |batch, rows| {
        println!("largest of batch {}: {} rows", batch.number, rows.iter().map(RecordBatch::num_rows).sum::<usize>());
        Ok(())
    });
    catalog
}

/// Two, one, zero: a row a batch. It can read again from any position, which is the number of rows read.
struct Countdown;

impl Source for Countdown {
    fn discover(&mut self, known: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        let split = Split { id: "countdown".into() };
        let read = known.get(&split).map_or(0, |position| position.0.len());
        Ok(if read < 3 { vec![split] } else { Vec::new() })
    }

    fn read(&mut self, _: &Split, from: &Position, _: &Limits) -> Result<Read, TaskError> {
        let read = from.0.len();
        let left: ArrayRef = Arc::new(Int64Array::from_iter_values([2, 1, 0].into_iter().skip(read).take(1)));
        let rows = RecordBatch::try_from_iter([("left", left)]).map_err(|e| TaskError::Bug(e.to_string()))?;
        Ok(Read { blocks: vec![rows], to: Position(vec![0; read + 1]), ..Read::default() })
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }
}

fn orders(orders: &[(&str, i64)]) -> Result<RecordBatch, Box<dyn Error>> {
    let cards: ArrayRef = Arc::new(StringArray::from_iter_values(orders.iter().map(|(card, _)| card)));
    let cents: ArrayRef = Arc::new(Int64Array::from_iter_values(orders.iter().map(|(_, cents)| *cents)));
    Ok(RecordBatch::try_from_iter([("card", cards), ("cents", cents)])?)
}
