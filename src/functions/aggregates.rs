//! Aggregate functions: DataFusion's accumulators, with what the engine has to know of them.

mod collect;
mod count_if;
mod extreme;

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion_expr::AggregateUDF;
use datafusion_functions_aggregate::all_default_aggregate_functions;

use super::borrowed;
use super::resolve::{Allowed, before_types, coerced, field};
use super::wording;
use crate::model::{Slot, Type};
use crate::plan::catalog::{AggregateEntry, Argument, Signature};

/// One aggregate, reviewed.
struct Fact {
    name: &'static str,
    group: &'static str,
    aliases: &'static [&'static str],
    usage: &'static str,
    summary: &'static str,
    /// Partial results can be merged.
    mergeable: bool,
    /// A leaving value can be subtracted without rounding, for whole numbers and decimals.
    invertible: bool,
    /// The result depends on the order of rows.
    ordered: bool,
}

const fn fact(name: &'static str, group: &'static str, usage: &'static str, summary: &'static str) -> Fact {
    Fact { name, group, aliases: &[], usage, summary, mergeable: true, invertible: false, ordered: false }
}

impl Fact {
    const fn known_as(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn invertible(mut self) -> Self {
        self.invertible = true;
        self
    }

    const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

/// Aggregates of DataFusion that are left out, and why.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[("grouping", "there are no grouping sets")];

const COMMON: &str = "aggregate";
const STATISTICS: &str = "statistics";
const BITS: &str = "bits";

const FACTS: &[Fact] = &[
    fact("count", COMMON, "count([value])", "the number of rows, or of those where the value is not null").invertible(),
    fact("sum", COMMON, "sum(value)", "the sum of the values that are not null").invertible(),
    fact("avg", COMMON, "avg(value)", "the mean of the values that are not null"),
    fact("min", COMMON, "min(value)", "the smallest value"),
    fact("max", COMMON, "max(value)", "the largest value"),
    fact("any_value", COMMON, "any_value(value)", "some value that is not null").ordered(),
    fact("first_value", COMMON, "first_value(value)", "the value of the first row").known_as(&["first"]).ordered(),
    fact("last_value", COMMON, "last_value(value)", "the value of the last row").known_as(&["last"]).ordered(),
    fact("nth_value", COMMON, "nth_value(value, n)", "the value of the n-th row, counted from 1").ordered(),
    fact("array_agg", COMMON, "array_agg(value)", "a list of the values, nulls too, in the order of the rows")
        .ordered(),
    fact(
        "collect_list",
        COMMON,
        "collect_list(value)",
        "a list of the values that are not null, in the order of the rows",
    )
    .ordered(),
    fact("collect_set", COMMON, "collect_set(value)", "a list of the different values that are not null"),
    fact("count_if", COMMON, "count_if(condition)", "the number of rows for which the condition holds").invertible(),
    fact("max_by", COMMON, "max_by(value, key)", "the value of the row with the largest key")
        .known_as(&["arg_max"])
        .ordered(),
    fact("min_by", COMMON, "min_by(value, key)", "the value of the row with the smallest key")
        .known_as(&["arg_min"])
        .ordered(),
    fact("string_agg", COMMON, "string_agg(value, separator)", "the strings, joined in the order of the rows")
        .known_as(&["listagg"])
        .ordered(),
    fact("bool_and", COMMON, "bool_and(condition)", "whether the condition holds for every row").known_as(&["every"]),
    fact("bool_or", COMMON, "bool_or(condition)", "whether the condition holds for some row").known_as(&["some"]),
    fact("approx_distinct", COMMON, "approx_distinct(value)", "about how many different values there are")
        .known_as(&["approx_count_distinct"]),
    fact("bit_and", BITS, "bit_and(value)", "the bits that are set in every value"),
    fact("bit_or", BITS, "bit_or(value)", "the bits that are set in some value"),
    fact("bit_xor", BITS, "bit_xor(value)", "the bits that are set in an odd number of values").invertible(),
    fact("median", STATISTICS, "median(value)", "the middle of the values in order"),
    fact("approx_median", STATISTICS, "approx_median(value)", "about the middle of the values in order"),
    fact(
        "percentile_cont",
        STATISTICS,
        "percentile_cont(value, fraction)",
        "the value below which a fraction of the values lies",
    )
    .known_as(&["percentile"]),
    fact(
        "approx_percentile_cont",
        STATISTICS,
        "approx_percentile_cont(value, fraction[, centroids])",
        "about the value below which a fraction of the values lies",
    )
    .known_as(&["percentile_approx", "approx_percentile"]),
    fact(
        "approx_percentile_cont_with_weight",
        STATISTICS,
        "approx_percentile_cont_with_weight(value, weight, fraction[, centroids])",
        "about the value below which a fraction of the weighted values lies",
    ),
    fact("stddev", STATISTICS, "stddev(value)", "the standard deviation of a sample").known_as(&["std"]),
    fact("stddev_pop", STATISTICS, "stddev_pop(value)", "the standard deviation of all"),
    fact("var", STATISTICS, "var(value)", "the variance of a sample").known_as(&["variance"]),
    fact("var_pop", STATISTICS, "var_pop(value)", "the variance of all"),
    fact("corr", STATISTICS, "corr(y, x)", "how far two values rise together, from -1 to 1"),
    fact("covar_samp", STATISTICS, "covar_samp(y, x)", "the covariance of a sample"),
    fact("covar_pop", STATISTICS, "covar_pop(y, x)", "the covariance of all"),
    fact("regr_slope", STATISTICS, "regr_slope(y, x)", "the slope of the line through the points"),
    fact("regr_intercept", STATISTICS, "regr_intercept(y, x)", "where the line through the points meets x = 0"),
    fact("regr_count", STATISTICS, "regr_count(y, x)", "the number of points that have both values"),
    fact("regr_r2", STATISTICS, "regr_r2(y, x)", "how well the line fits the points, from 0 to 1"),
    fact("regr_avgx", STATISTICS, "regr_avgx(y, x)", "the mean of x over the points"),
    fact("regr_avgy", STATISTICS, "regr_avgy(y, x)", "the mean of y over the points"),
    fact("regr_sxx", STATISTICS, "regr_sxx(y, x)", "the sum of squares of x over the points"),
    fact("regr_syy", STATISTICS, "regr_syy(y, x)", "the sum of squares of y over the points"),
    fact("regr_sxy", STATISTICS, "regr_sxy(y, x)", "the sum of products of x and y over the points"),
];

/// Null for a group of one row, or of equal values.
const UNDEFINED_FOR_ONE_ROW: &[&str] =
    &["stddev", "var", "corr", "covar_samp", "regr_slope", "regr_intercept", "regr_r2", "nth_value"];

/// Every aggregate, as listed.
pub fn aggregates() -> Vec<Arc<AggregateEntry>> {
    let mut udfs = all_default_aggregate_functions();
    udfs.extend([
        collect::udf("collect_list", false),
        collect::udf("collect_set", true),
        count_if::udf(),
        extreme::udf("max_by", Ordering::Greater),
        extreme::udf("min_by", Ordering::Less),
    ]);
    FACTS.iter().filter_map(|fact| Some(Arc::new(entry(fact, udfs.iter().find(|u| u.name() == fact.name)?)))).collect()
}

fn entry(fact: &Fact, udf: &Arc<AggregateUDF>) -> AggregateEntry {
    let mut doc = borrowed::doc(fact.name, udf.documentation(), Some(fact.usage));
    doc.summary = fact.summary.to_owned();
    doc.aliases = borrowed::aliases(udf.aliases(), fact.aliases);
    AggregateEntry {
        doc,
        group: fact.group,
        udf: Arc::clone(udf),
        mergeable: fact.mergeable,
        invertible: fact.invertible,
        ordered: fact.ordered,
        resolve,
    }
}

fn resolve(entry: &AggregateEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let (types, wanted) = coerced(entry.udf.as_ref(), args, Allowed::default())?;
    let fields: Vec<_> = args.iter().zip(&wanted).map(|(a, w)| field(w.clone(), a.slot.nullable)).collect();
    let result = entry.udf.return_field(&fields).map_err(|e| wording::of_kernel(&e))?;
    let ty = Type::from_arrow(result.data_type()).ok_or("gives a type that the language does not have")?;
    let ty = match (ty, args) {
        (Type::List(element), [value]) if element.ty == value.slot.ty => {
            let nullable = value.slot.nullable && !entry.doc.name.starts_with("collect");
            Type::List(Box::new(Slot { ty: element.ty.clone(), nullable }))
        }
        (ty, _) => ty,
    };
    Ok(Signature { args: types, result: Slot { ty, nullable: nullable(entry, args) } })
}

/// Whether the result over at least one row may be null. Over no rows at all (no key, or a filter) everything
/// but a count is null; that is for the stage to say.
fn nullable(entry: &AggregateEntry, args: &[Argument<'_>]) -> bool {
    let of_one_row = !UNDEFINED_FOR_ONE_ROW.contains(&entry.doc.name.as_str());
    entry.udf.is_nullable() && (!of_one_row || args.iter().any(|a| a.slot.nullable))
}
