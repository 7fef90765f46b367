//! Merges of tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    UInt8Array,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema};
use proptest::prelude::*;

use super::*;

/// Rows of group, text, value.
fn rows(rows: &[(Option<u8>, Option<&str>, i64)]) -> RecordBatch {
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("_group", Arc::new(rows.iter().map(|row| row.0).collect::<UInt8Array>()), true),
        ("k", Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()), true),
        ("v", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn table(batches: Vec<RecordBatch>) -> Vec<SavedTable> {
    vec![SavedTable { name: "t".into(), identity: 2, rows: batches }]
}

fn change(gone: Vec<RecordBatch>, rows: Vec<RecordBatch>) -> Changes {
    Changes::Some(vec![TableChange { name: "t".into(), identity: 2, gone, rows }])
}

fn leading(batch: &RecordBatch, width: usize) -> RecordBatch {
    batch.project(&(0..width).collect::<Vec<_>>()).unwrap()
}

type Row = (Option<u8>, Option<String>, i64);

fn read(tables: &[SavedTable]) -> Vec<Row> {
    let mut all = Vec::new();
    for batch in tables.iter().flat_map(|table| &table.rows) {
        let groups = batch.column(0).as_primitive::<arrow::datatypes::UInt8Type>();
        let (keys, values) = (batch.column(1).as_string::<i32>(), batch.column(2).as_primitive::<Int64Type>());
        all.extend((0..batch.num_rows()).map(|i| {
            let group = groups.is_valid(i).then(|| groups.value(i));
            (group, keys.is_valid(i).then(|| keys.value(i).to_owned()), values.value(i))
        }));
    }
    all
}

fn owned(rows: &[(Option<u8>, Option<&str>, i64)]) -> Vec<Row> {
    rows.iter().map(|(group, key, value)| (*group, key.map(str::to_owned), *value)).collect()
}

#[test]
fn changed_rows_keep_their_place_and_new_ones_come_behind() {
    let base = table(vec![
        rows(&[(Some(1), Some("a"), 1), (None, Some("b"), 2)]),
        rows(&[(Some(1), None, 3), (Some(2), Some("a"), 4)]),
    ]);
    let gone = leading(&rows(&[(None, Some("b"), 0), (Some(9), Some("nobody"), 0)]), 2);
    let new = rows(&[(Some(7), Some("new"), 5), (Some(1), None, 30), (None, None, 6)]);
    let expected = [
        (Some(1), Some("a"), 1),
        (Some(1), None, 30),
        (Some(2), Some("a"), 4),
        (Some(7), Some("new"), 5),
        (None, None, 6),
    ];
    assert_eq!(read(&merged(base, change(vec![gone], vec![new])).unwrap()), owned(&expected));
}

#[test]
fn what_went_and_came_again_comes_behind() {
    let base = table(vec![rows(&[(Some(1), Some("a"), 1), (Some(1), Some("b"), 2)])]);
    let gone = leading(&rows(&[(Some(1), Some("a"), 0)]), 2);
    let all = merged(base, change(vec![gone], vec![rows(&[(Some(1), Some("a"), 9)])])).unwrap();
    assert_eq!(read(&all), owned(&[(Some(1), Some("b"), 2), (Some(1), Some("a"), 9)]));
}

#[test]
fn what_is_gone_may_be_told_by_fewer_columns() {
    let base = table(vec![rows(&[(Some(1), Some("a"), 1), (Some(2), Some("a"), 2), (Some(1), Some("b"), 3)])]);
    let gone = leading(&rows(&[(Some(1), None, 0)]), 1);
    let steps = [
        change(vec![], vec![rows(&[(Some(1), Some("c"), 4)])]),
        change(vec![gone], vec![rows(&[(Some(1), Some("b"), 5)])]),
    ];
    assert_eq!(read(&merged_all(base, steps).unwrap()), owned(&[(Some(2), Some("a"), 2), (Some(1), Some("b"), 5)]));
}

#[test]
fn everything_takes_the_place_of_what_was() {
    let base = table(vec![rows(&[(Some(1), Some("a"), 1)])]);
    let steps = [
        change(vec![], vec![rows(&[(Some(1), Some("b"), 2)])]),
        Changes::All(table(vec![rows(&[(Some(3), Some("c"), 3)])])),
        change(vec![], vec![rows(&[(Some(4), Some("d"), 4)])]),
    ];
    assert_eq!(read(&merged_all(base, steps).unwrap()), owned(&[(Some(3), Some("c"), 3), (Some(4), Some("d"), 4)]));
}

#[test]
fn a_table_that_was_not_there_comes_with_its_first_row() {
    let all = merged(Vec::new(), change(vec![], vec![rows(&[(None, None, 1)])])).unwrap();
    assert_eq!((all[0].name.as_str(), all[0].identity), ("t", 2));
    assert_eq!(read(&all), owned(&[(None, None, 1)]));
}

#[test]
fn identities_may_be_floats_lists_structs_and_dictionaries() {
    let batch = |floats: Vec<f64>, words: Vec<&str>, values: Vec<i64>| {
        let dictionary: DictionaryArray<Int32Type> = words.iter().copied().collect();
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>(values.iter().map(|v| Some(vec![Some(*v / 10), None])));
        let inner: ArrayRef = Arc::new(Int64Array::from(values.iter().map(|v| v / 10).collect::<Vec<_>>()));
        let structs = StructArray::new(Fields::from(vec![Field::new("x", DataType::Int64, true)]), vec![inner], None);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(floats)),
            Arc::new(dictionary),
            Arc::new(lists),
            Arc::new(structs),
            Arc::new(Int64Array::from(values)),
        ];
        let fields: Vec<_> =
            columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let base = SavedTable {
        name: "t".into(),
        identity: 4,
        rows: vec![batch(vec![0.0, -0.0, f64::NAN, 1.0], vec!["a", "a", "b", "c"], vec![10, 11, 12, 13])],
    };
    let new = batch(vec![-0.0, f64::NAN, 1.0], vec!["a", "b", "c"], vec![15, 16, 23]);
    let change = TableChange { name: "t".into(), identity: 4, gone: vec![], rows: vec![new] };
    let all = merged(vec![base], Changes::Some(vec![change])).unwrap();
    let rows = concat_batches(&all[0].rows[0].schema(), &all[0].rows).unwrap();
    assert_eq!(rows.column(4).as_primitive::<Int64Type>().values(), &[10, 15, 16, 13, 23]);
}

#[test]
fn rows_of_other_columns_are_refused() {
    let base = table(vec![rows(&[(Some(1), Some("a"), 1)])]);
    let other = rows(&[(Some(1), Some("a"), 1)]).project(&[0, 2, 1]).unwrap();
    assert!(merged(base.clone(), change(vec![], vec![other])).is_err());
    let change = TableChange { name: "t".into(), identity: 1, gone: vec![], rows: vec![] };
    assert!(merged(base, Changes::Some(vec![change])).is_err());
}

const WORDS: [&str; 3] = ["a", "b", "c"];

type Step = (Vec<(u8, usize, bool)>, Vec<(u8, usize, i64)>);

proptest! {
    /// Held against a list of rows that is changed one by one.
    #[test]
    fn merging_many_changes_is_merging_one_after_the_other(
        start in prop::collection::btree_map((0u8..3, 0usize..3), 0i64..100, 0..9),
        steps in prop::collection::vec(
            (prop::collection::vec((0u8..3, 0usize..3, prop::bool::weighted(0.2)), 0..3),
             prop::collection::vec((0u8..3, 0usize..3, 0i64..100), 0..5)),
            0..6,
        ),
    ) {
        let batch = |all: &[(u8, usize, i64)]| {
            rows(&all.iter().map(|(g, w, v)| (Some(*g), Some(WORDS[*w]), *v)).collect::<Vec<_>>())
        };
        let steps: Vec<Step> = steps.into_iter().map(|(gone, new)| {
            // Of one change each row is new once.
            let mut seen = BTreeMap::new();
            (gone, new.into_iter().filter(|(g, w, _)| seen.insert((*g, *w), ()).is_none()).collect())
        }).collect();
        let mut model: Vec<(u8, usize, i64)> = start.into_iter().map(|((g, w), v)| (g, w, v)).collect();
        let base = table(vec![batch(&model[..model.len() / 2]), batch(&model[model.len() / 2..])]);
        let mut changes = Vec::new();
        for (gone, new) in &steps {
            let of = |width: usize| {
                let told = gone.iter().filter(|(_, _, whole)| *whole == (width == 1));
                leading(&batch(&told.map(|(g, w, _)| (*g, *w, 0)).collect::<Vec<_>>()), width)
            };
            changes.push(change(vec![of(1), of(2)], vec![batch(new)]));
            model.retain(|(g, w, _)| !gone.iter().any(|(x, y, whole)| x == g && (*whole || y == w)));
            for (g, w, v) in new {
                match model.iter_mut().find(|(x, y, _)| x == g && y == w) {
                    Some(known) => known.2 = *v,
                    None => model.push((*g, *w, *v)),
                }
            }
        }
        let at_once = read(&merged_all(base.clone(), changes.clone()).unwrap());
        let one_by_one = changes.into_iter().try_fold(base, merged).unwrap();
        prop_assert_eq!(&at_once, &read(&[batch(&model)].map(|b| table(vec![b]).remove(0))));
        prop_assert_eq!(at_once, read(&one_by_one));
    }
}
