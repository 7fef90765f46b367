//! Layouts that must not change, and laws of cells.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, BooleanArray, Decimal128Array, DurationMicrosecondArray, Float64Array, Int64Array, StringArray,
};
use arrow::datatypes::{Schema as ArrowSchema, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::expressions::{Column, Literal};

use super::*;
use crate::operators::values::bug;
use crate::plan::catalog::AggregateEntry;

/// Rows of two groups: 1, 2, 4 and 8, 16.
const GROUPS: [usize; 5] = [0, 1, 0, 1, 0];

fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from(vec![1, 8, 2, 16, 4]))
}

/// Arguments of a type that the aggregate takes, out of the usual ones.
fn arguments(entry: &AggregateEntry) -> Option<(Vec<ArrayRef>, Vec<Option<datafusion_common::ScalarValue>>)> {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 8.0, 2.0, 16.0, 4.0]));
    let words: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]));
    let conditions: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true, false]));
    let constant = |value: f64| Some(datafusion_common::ScalarValue::Float64(Some(value)));
    let half: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 5]));
    let two: ArrayRef = Arc::new(Int64Array::from(vec![2; 5]));
    let comma: ArrayRef = Arc::new(StringArray::from(vec![","; 5]));
    let text = Some(datafusion_common::ScalarValue::from(","));
    Some(match entry.doc.name.as_str() {
        "count" | "sum" | "min" | "max" | "bit_and" | "bit_or" | "bit_xor" | "approx_distinct" | "any_value"
        | "first_value" | "last_value" | "array_agg" | "collect_list" | "collect_set" => (vec![numbers()], vec![None]),
        "count_if" | "bool_and" | "bool_or" => (vec![conditions], vec![None]),
        "nth_value" => (vec![numbers(), two], vec![None, Some(2_i64.into())]),
        "max_by" | "min_by" => (vec![words, numbers()], vec![None, None]),
        "string_agg" => (vec![words, comma], vec![None, text]),
        "percentile_cont" | "approx_percentile_cont" => (vec![floats, half], vec![None, constant(0.5)]),
        "approx_percentile_cont_with_weight" => (vec![floats.clone(), floats, half], vec![None, None, constant(0.5)]),
        "corr" | "covar_samp" | "covar_pop" => (vec![floats.clone(), floats], vec![None, None]),
        name if name.starts_with("regr_") => (vec![floats.clone(), floats], vec![None, None]),
        "avg" | "median" | "approx_median" | "stddev" | "stddev_pop" | "var" | "var_pop" => (vec![floats], vec![None]),
        _ => return None,
    })
}

fn recipe(entry: &AggregateEntry, args: &[ArrayRef], constants: &[Option<datafusion_common::ScalarValue>]) -> Recipe {
    let fields = args
        .iter()
        .enumerate()
        .map(|(i, a)| arrow::datatypes::Field::new(format!("c{i}"), a.data_type().clone(), true));
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let physical = constants.iter().enumerate().map(|(i, constant)| -> Arc<dyn PhysicalExpr> {
        match constant {
            Some(value) => Arc::new(Literal::new(value.clone())),
            None => Arc::new(Column::new(&format!("c{i}"), i)),
        }
    });
    let expr =
        AggregateExprBuilder::new(entry.udf.clone(), physical.collect()).schema(schema).alias("x").build().unwrap();
    let types: Vec<_> = args.iter().map(|a| a.data_type().clone()).collect();
    let result = expr.field().data_type().clone();
    Recipe::new(&entry.doc.name, expr, &types, &result)
}

fn shown(columns: &[ArrayRef]) -> String {
    let row = |i: usize| {
        let values: Vec<_> = columns.iter().map(|c| array_value_to_string(c, i).unwrap()).collect();
        values.join(" | ")
    };
    (0..columns[0].len()).map(row).collect::<Vec<_>>().join(" ; ")
}

/// A state that was saved must be read as what it was: types and contents are pinned, those of DataFusion too.
#[test]
fn state_columns_are_as_they_were_saved() {
    let mut text = String::new();
    for entry in crate::functions::aggregates() {
        let Some((args, constants)) = arguments(&entry) else { panic!("`{}` has no example", entry.doc.name) };
        let recipe = recipe(&entry, &args, &constants);
        let mut cells = recipe.transient().unwrap();
        cells.update(&args, &GROUPS, None, 2).unwrap();
        let states = cells.states(None).unwrap();
        let types: Vec<_> = recipe.state_types().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(types, states.iter().map(|s| s.data_type().to_string()).collect::<Vec<_>>(), "{}", entry.doc.name);
        let kept = if recipe.collects() { " (rows are kept instead)" } else { "" };
        // Sketches are long; how they begin is enough to see that they are others.
        let values: String = shown(&states).chars().take(120).collect();
        writeln!(text, "{}: {}{kept}\n    {}", entry.doc.name, types.join(", "), values.trim_end()).unwrap();
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/operators/cells/layout.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap(), "see {file}: what was saved could not be read any more");
}

#[test]
fn what_lasts_is_what_was_merged() {
    for entry in crate::functions::aggregates() {
        let Some((args, constants)) = arguments(&entry) else { continue };
        let recipe = recipe(&entry, &args, &constants);
        let partial = || {
            let mut cells = recipe.transient().unwrap();
            cells.update(&args, &GROUPS, None, 2).unwrap();
            cells.states(None).unwrap()
        };
        let mut lasting = recipe.lasting().unwrap();
        lasting.merge(&partial(), &[0, 1], 2).unwrap();
        lasting.merge(&partial(), &[1, 2], 3).unwrap();
        let mut once = recipe.transient().unwrap();
        once.update(&args, &GROUPS, None, 2).unwrap();
        let (first, last) = (once.results(None).unwrap(), lasting.results(Some(&[0, 2])).unwrap());
        // Merged with nothing, the first group and the second are what they are by themselves.
        assert_eq!(shown(&[first]), shown(&[last]), "{}", entry.doc.name);
        let before = lasting.states(Some(&[2, 1])).unwrap();
        lasting.keep(&[2, 1]).unwrap();
        assert_eq!(shown(&before), shown(&lasting.states(None).unwrap()), "{}", entry.doc.name);
    }
}

fn sums(ty: &DataType) -> exact::Sums {
    exact::Sums::new(ty.clone())
}

#[test]
fn a_sum_that_does_not_fit_is_told_with_its_group() {
    let mut cells = sums(&DataType::Int64);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, 1, -1]));
    cells.update(&[numbers], &[0, 1, 1, 0], None, 2).unwrap();
    assert_eq!(cells.results(None).unwrap_err(), CellError::Overflow(1));
    assert_eq!(shown(&[cells.results(Some(&[0])).unwrap()]), (i64::MAX - 1).to_string());
    // On the way it may be larger.
    cells.merge(&[Arc::new(Decimal128Array::from(vec![-1]))], &[1], 2).unwrap();
    assert_eq!(shown(&[cells.results(Some(&[1])).unwrap()]), i64::MAX.to_string());
}

#[test]
fn a_decimal_has_no_more_digits_than_its_type() {
    let mut cells = sums(&DataType::Decimal128(3, 1));
    let numbers = Decimal128Array::from(vec![Some(999), None, Some(1)]).with_precision_and_scale(3, 1).unwrap();
    cells.update(&[Arc::new(numbers)], &[0, 1, 0], None, 2).unwrap();
    assert_eq!(cells.results(None).unwrap_err(), CellError::Overflow(0));
    assert!(cells.results(Some(&[1])).unwrap().is_null(0));
}

#[test]
fn durations_are_summed_as_they_are() {
    let mut cells = sums(&DataType::Duration(TimeUnit::Microsecond));
    cells.update(&[Arc::new(DurationMicrosecondArray::from(vec![5, -7]))], &[0, 0], None, 1).unwrap();
    let sum = cells.results(None).map_err(|_| bug("")).unwrap();
    assert_eq!(sum.data_type(), &DataType::Duration(TimeUnit::Microsecond));
}

#[test]
fn not_a_number_is_larger_than_any() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0, -0.0, 0.0]));
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 4, 3, 2]] {
        let rows = arrow::array::UInt32Array::from(order.to_vec());
        let floats = arrow::compute::take(&floats, &rows, None).unwrap();
        let best = |largest: bool| {
            let mut cells = extreme::cells(&DataType::Float64, largest).unwrap();
            cells.update(std::slice::from_ref(&floats), &[0; 5], None, 1).unwrap();
            shown(&[cells.results(None).map_err(|_| bug("")).unwrap()])
        };
        assert_eq!((best(true), best(false)), ("NaN".to_owned(), "-0.0".to_owned()));
    }
}
