//! A stage written by hand against the seams, as the built-in ones are: arguments, an option, a key, memory that
//! survives a restart in another number of partitions. What a program that uses the library can bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{Int64Type, SchemaRef};
use millstream::library::{Pipeline, Start};
use millstream::model::key_groups::key_groups;
use millstream::model::{Column, Schema, Slot, Type};
use millstream::plan::catalog::{Arity, Names, StageCall};
use millstream::plan::operator::{
    Distribution, Evaluated, KeyedTask, NotRunnable, SavedTable, StepTime, Task, TaskError,
};
use millstream::plan::{
    Catalog, Doc, Edge, Operator, OptionKind, OptionSpec, Planned, Properties, Scope, StageContext, StageEntry,
};

/// `highest KEY, VALUE with { at_least: 10 }`: a row for each new highest value of a key.
fn entry() -> StageEntry {
    let whole = OptionKind::Integer { min: 0, max: i64::MAX };
    StageEntry {
        doc: Doc::new("highest", "a row for each new highest value of a key", "highest KEY, VALUE"),
        arity: Arity { min: 2, max: 2, names: Names::Never },
        clauses: Vec::new(),
        options: vec![OptionSpec::with_default("at_least", whole, "0", "smaller values do not count")],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let inputs = vec![(ctx.input_name().map(str::to_owned), ctx.input().clone())];
    let scope = Scope { inputs, state: None, place: "`highest`".into() };
    let [key, value] = [0, 1].map(|i| ctx.column(&call.stage.args[i].value, &scope));
    let (key, value) = (key?, value?);
    let column = |name: &str, ty| Column::new(name, Slot::required(ty));
    let schema = Schema::new(vec![column("key", Type::String), column("highest", Type::Int64)]);
    let at_least = call.options.integer("at_least").unwrap_or(0);
    Some(Planned {
        operator: Box::new(Highest { key, value, at_least, schema: schema.clone() }),
        out: Edge { state: "state: the highest value of each key".into(), ..Edge::append(schema) },
        keeps_qualifiers: false,
        sides: Vec::new(),
        can_be_late: false,
        span: call.stage.name.at.0,
    })
}

#[derive(Debug)]
struct Highest {
    key: usize,
    value: usize,
    at_least: i64,
    schema: Schema,
}

impl Operator for Highest {
    fn word(&self) -> &'static str {
        "highest"
    }

    fn explain(&self) -> String {
        format!("highest, at least {}", self.at_least)
    }

    fn properties(&self) -> Properties {
        Properties { stateful: true, ..Properties::gathering(Distribution::ByKey(vec![vec![self.key]])) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let of = Highest { schema: self.schema.clone(), ..*self };
        Ok(Task::Keyed(Box::new(HighestTask { of, known: BTreeMap::new() })))
    }
}

struct HighestTask {
    of: Highest,
    known: BTreeMap<String, i64>,
}

impl HighestTask {
    fn rows(&self, rows: impl Iterator<Item = (String, i64)>) -> RecordBatch {
        let (keys, values): (Vec<_>, Vec<_>) = rows.unzip();
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), Arc::new(Int64Array::from(values))];
        RecordBatch::try_new(self.schema(), columns).unwrap()
    }
}

impl KeyedTask for HighestTask {
    fn schema(&self) -> SchemaRef {
        self.of.schema.to_arrow()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, _: &StepTime) -> Result<Evaluated, TaskError> {
        let (mut higher, mut taken) = (Vec::new(), 0);
        for rows in inputs.iter().flatten() {
            let keys = rows.column(self.of.key).as_string::<i32>();
            let values = rows.column(self.of.value).as_primitive::<Int64Type>();
            taken += rows.num_rows();
            for (key, value) in keys.iter().flatten().zip(values.values()) {
                let known = self.known.entry(key.to_owned()).or_insert(self.of.at_least - 1);
                if value > known {
                    *known = *value;
                    higher.push((key.to_owned(), *value));
                }
            }
        }
        Ok(Evaluated::taken(self.rows(higher.into_iter()), taken))
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let rows = self.rows(self.known.iter().map(|(key, value)| (key.clone(), *value)));
        let groups: ArrayRef = Arc::new(UInt8Array::from(key_groups(&rows.columns()[..1]).unwrap()));
        let columns = [("_group", groups), ("key", rows.column(0).clone()), ("highest", rows.column(1).clone())];
        let saved =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, name == "_group")));
        Ok(vec![SavedTable { name: "keys".into(), identity: 2, rows: vec![saved.unwrap()] }])
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        for rows in tables.iter().flat_map(|table| &table.rows) {
            let (keys, values) = (rows.column(1).as_string::<i32>(), rows.column(2).as_primitive::<Int64Type>());
            self.known.extend(keys.iter().flatten().map(str::to_owned).zip(values.values().iter().copied()));
        }
        Ok(())
    }
}

const TEXT: &str = "pipeline p { every: 1s }\nsource xs = queue() { schema: { k: string, n: int64 } } bad drop\n\
                    stream ys = from xs |> highest k, n with { at_least: 2 }\nfrom ys |> into discard\n";

fn catalog() -> Catalog {
    let mut catalog = millstream::builtins::catalog();
    catalog.add(entry());
    catalog
}

fn rows(rows: &[(&str, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| key)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n)));
    RecordBatch::try_from_iter([("k", keys), ("n", numbers)]).unwrap()
}

fn read(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut all: Vec<(String, i64)> = Vec::new();
    for rows in batches {
        let (keys, values) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int64Type>());
        all.extend((0..keys.len()).map(|i| (keys.value(i).to_owned(), values.value(i))));
    }
    all.sort();
    all
}

#[test]
fn it_remembers_by_key_and_goes_on_in_another_number_of_partitions() {
    let start = |partitions| Start { partitions: Some(partitions), threads: Some(2), ..Start::default() };
    let pipeline = || Pipeline::from_text(TEXT, &catalog()).unwrap();
    let mut first = pipeline().start_with(start(2)).unwrap();
    first.give("xs", &rows(&[("a", 5), ("b", 1), ("c", 3), ("a", 4), ("c", 9), ("d", 2)])).unwrap();
    let batch = first.step_at(1_000_000).unwrap();
    let came = [("a", 5), ("c", 3), ("c", 9), ("d", 2)].map(|(key, n)| (key.to_owned(), n));
    assert_eq!(read(batch.stream("ys")), came);
    let saved = first.save().unwrap();
    for partitions in [1, 3, 5] {
        let mut again = pipeline().start_with(start(partitions)).unwrap();
        again.restore(&saved).unwrap();
        again.give("xs", &rows(&[("a", 5), ("b", 2), ("c", 8), ("d", 7)])).unwrap();
        let batch = again.step_at(2_000_000).unwrap();
        let came = [("b", 2), ("d", 7)].map(|(key, n)| (key.to_owned(), n));
        assert_eq!(read(batch.stream("ys")), came, "{partitions} partitions");
    }
}

#[test]
fn check_knows_it_like_any_other() {
    for (wrong, code) in [
        (
            TEXT.replace("highest", "higest"),
            "error[unknown-stage]: stage `higest` does not exist\n  help: did you mean `highest`?",
        ),
        (TEXT.replace("k, n with", "k, m with"), "error[unknown-column]"),
        (TEXT.replace("k, n with", "k with"), "error[missing-argument]"),
        (TEXT.replace("at_least", "atleast"), "error[unknown-option]"),
        (TEXT.replace("at_least: 2", "at_least: \"x\""), "error["),
    ] {
        let mistakes = Pipeline::from_text(&wrong, &catalog()).unwrap_err().to_string();
        assert!(mistakes.contains(code), "{mistakes}");
    }
}
