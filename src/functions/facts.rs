//! The reviewed table: what can happen to a row in each borrowed function. The test
//! `a_total_function_never_fails` holds it against the kernels.

use super::fact::Nulls::{Ever, First, Never, WhenAll};
use super::fact::{Fact, fallible, number_lists, or_null, percent_format, total};
use super::settled;

/// A family of borrowed functions, as they are listed.
pub(super) struct Family {
    /// What the family is called.
    pub group: &'static str,
    /// Its functions.
    pub facts: &'static [Fact],
}

/// Every family.
pub(super) const FAMILIES: &[Family] = &[
    Family { group: "text", facts: TEXT },
    Family { group: "regex", facts: REGEX },
    Family { group: "number", facts: NUMBER },
    Family { group: "date", facts: DATE },
    Family { group: "choice", facts: CHOICE },
    Family { group: "bytes", facts: BYTES },
    Family { group: "list", facts: LIST },
    Family { group: "map", facts: MAP },
    Family { group: "struct", facts: STRUCT },
];

/// What is known of a borrowed function.
pub(super) fn of(name: &str) -> Option<&'static Fact> {
    FAMILIES.iter().flat_map(|family| family.facts).find(|fact| fact.name == name)
}

/// Functions of DataFusion that are left out, and why.
#[cfg(test)]
pub(super) const LEFT_OUT: &[(&str, &str)] = &[
    ("arrow_cast", "a cast is written `x::T`"),
    ("arrow_try_cast", "a safe cast is written `x::T ?? null`"),
    ("cast_to_type", "a cast is written `x::T`"),
    ("try_cast_to_type", "a safe cast is written `x::T ?? null`"),
    ("arrow_field", "columns carry no metadata here"),
    ("arrow_metadata", "columns carry no metadata here"),
    ("with_metadata", "columns carry no metadata here"),
    ("union_extract", "there is no union type"),
    ("union_tag", "there is no union type"),
    ("version", "says DataFusion's version, not ours"),
    ("input_file_name", "known to DataFusion's own file scan only"),
    ("file_row_index", "known to DataFusion's own file scan only"),
    ("get_field", "a field is written `x.name`"),
    ("map_entries", "ours: DataFusion's kernel does not know our maps"),
    ("now", "ours: the recorded batch time"),
    ("current_date", "ours: the recorded batch time"),
    ("current_time", "ours: the recorded batch time"),
    ("coalesce", "ours: evaluates only what it needs"),
    ("nvl", "ours: evaluates only what it needs"),
    ("nvl2", "ours: evaluates only what it needs"),
];

const TEXT: &[Fact] = &[
    total("ascii"),
    total("bit_length"),
    total("btrim"),
    total("character_length").known_as(&["len"]),
    fallible("chr").known_as(&["char"]),
    total("concat").writing().null(Never),
    total("concat_ws").writing().null(First),
    total("contains"),
    total("ends_with").known_as(&["endswith"]),
    total("find_in_set"),
    total("initcap"),
    total("left"),
    total("levenshtein"),
    total("lower").known_as(&["lcase"]),
    fallible("lpad").unless(settled::checked),
    total("ltrim"),
    total("octet_length"),
    fallible("overlay").unless(settled::checked).written("overlay(str, substr, pos[, count])"),
    fallible("repeat").unless(settled::checked),
    total("replace"),
    total("reverse"),
    total("right"),
    fallible("rpad").unless(settled::checked),
    total("rtrim"),
    fallible("split_part").unless(settled::positions),
    total("starts_with").known_as(&["startswith"]),
    total("strpos"),
    fallible("substr").unless(settled::counts),
    total("substr_index"),
    total("to_hex").known_as(&["hex"]),
    total("translate"),
    total("upper").known_as(&["ucase"]),
    total("uuid").null(Never),
];

const REGEX: &[Fact] = &[
    fallible("regexp_count"),
    fallible("regexp_instr"),
    fallible("regexp_like").known_as(&["rlike", "regexp"]),
    fallible("regexp_match").null(Ever),
    fallible("regexp_replace"),
];

const NUMBER: &[Fact] = &[
    fallible("abs").unless(settled::checked),
    total("acos"),
    total("acosh"),
    total("asin"),
    total("asinh"),
    total("atan"),
    total("atan2"),
    total("atanh"),
    total("cbrt"),
    fallible("ceil").unless(settled::checked).known_as(&["ceiling"]),
    total("cos"),
    total("cosh"),
    total("cot"),
    total("degrees"),
    total("exp"),
    fallible("factorial").unless(settled::checked),
    fallible("floor").unless(settled::checked),
    fallible("gcd").unless(settled::checked),
    total("isnan"),
    total("iszero"),
    fallible("lcm").unless(settled::checked),
    total("ln"),
    total("log"),
    total("log10"),
    total("log2"),
    total("nanvl"),
    total("pi"),
    fallible("power").unless(settled::checked),
    total("radians"),
    total("random"),
    fallible("round").unless(settled::checked),
    total("signum").known_as(&["sign"]),
    total("sin"),
    total("sinh"),
    fallible("sqrt").unless(settled::checked),
    total("tan"),
    total("tanh"),
    fallible("trunc").unless(settled::checked),
];

const DATE: &[Fact] = &[
    fallible("date_bin").unless(settled::checked),
    fallible("date_part").unless(settled::unit),
    fallible("date_trunc").unless(settled::unit),
    fallible("from_unixtime").unless(settled::checked).known_as(&["timestamp_seconds"]),
    fallible("make_date"),
    fallible("make_time"),
    fallible("to_char").only(percent_format).unless(settled::format),
    fallible("to_date").unless(settled::moment),
    total("to_local_time"),
    fallible("to_time"),
    fallible("to_timestamp").unless(settled::moment),
    fallible("to_timestamp_micros").unless(settled::moment).known_as(&["timestamp_micros"]),
    fallible("to_timestamp_millis").unless(settled::moment).known_as(&["timestamp_millis"]),
    fallible("to_timestamp_nanos").unless(settled::moment),
    fallible("to_timestamp_seconds").unless(settled::moment),
    fallible("to_unixtime").unless(settled::moment).known_as(&["unix_timestamp", "to_unix_timestamp"]),
];

const CHOICE: &[Fact] = &[
    total("arrow_typeof").known_as(&["typeof"]).null(Never),
    total("greatest").null(WhenAll),
    total("least").null(WhenAll),
    total("nullif").null(Ever),
];

const BYTES: &[Fact] = &[
    fallible("decode"),
    fallible("digest").unless(settled::algorithm),
    fallible("encode").unless(settled::encoding),
    total("md5"),
    total("sha224"),
    total("sha256"),
    total("sha384"),
    total("sha512"),
];

const LIST: &[Fact] = &[
    fallible("array_add").only(number_lists),
    total("array_any_value").null(Ever),
    total("array_append").null(Never),
    or_null("array_avg").only(number_lists),
    total("array_compact").known_as(&["list_compact"]),
    total("array_concat").null(WhenAll),
    total("array_dims").null(Ever),
    fallible("array_distance").only(number_lists).null(Ever),
    total("array_distinct"),
    fallible("array_element").unless(settled::checked).null(Ever).known_as(&["list_get"]),
    total("array_except"),
    total("array_has").known_as(&["array_contains"]),
    total("array_has_all"),
    total("array_has_any"),
    total("array_intersect"),
    total("array_length").known_as(&["array_size"]).written("array_length(array)"),
    total("array_max").null(Ever),
    total("array_min").null(Ever),
    total("array_ndims"),
    total("array_normalize").only(number_lists).null(Ever),
    total("array_pop_back"),
    total("array_pop_front"),
    total("array_position").null(Ever).written("array_position(array, element)"),
    total("array_positions"),
    total("array_prepend").null(Never),
    or_null("array_product").only(number_lists),
    total("array_remove"),
    total("array_remove_all"),
    total("array_remove_n"),
    fallible("array_repeat").unless(settled::checked).null(Ever),
    total("array_replace"),
    total("array_replace_all"),
    total("array_replace_n"),
    fallible("array_resize").unless(settled::checked),
    total("array_reverse"),
    total("array_scale").only(number_lists),
    fallible("array_slice").unless(settled::checked).known_as(&["slice"]),
    fallible("array_sort").unless(settled::order).known_as(&["sort_array"]),
    fallible("array_subtract").only(number_lists),
    total("array_sum").only(number_lists).null(Ever),
    total("array_to_string"),
    total("array_union"),
    total("arrays_zip").null(WhenAll),
    total("cardinality").known_as(&["size"]),
    fallible("cosine_distance").only(number_lists).null(Ever),
    total("empty"),
    total("flatten"),
    fallible("generate_series")
        .unless(settled::checked)
        .written("generate_series([start, ]stop[, step])")
        .known_as(&["sequence"]),
    fallible("inner_product").only(number_lists).null(Ever),
    total("make_array").known_as(&["array"]).null(Never).written("make_array([value, ...])"),
    fallible("range").unless(settled::checked).written("range([start, ]stop[, step])"),
    total("string_to_array").known_as(&["split"]).null(First),
];

const MAP: &[Fact] = &[
    fallible("map").known_as(&["make_map", "map_from_arrays"]).written("map(keys, values)"),
    total("map_extract"),
    total("map_keys"),
    total("map_values"),
];

const STRUCT: &[Fact] =
    &[total("named_struct").null(Never).written("named_struct(name, value[, ...])"), total("struct").null(Never)];
