//! `infer` through the real binary.

use std::fs;

use crate::program::millstream_in;

fn inferred(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let ran = millstream_in(folder.path(), &["infer", name], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    // The layout is the printer's business.
    ran.out.replace("{\n ", "{").replace(",\n}", " }").replace("\n ", "")
}

#[test]
fn json_lines_give_a_type_with_null_where_something_was_missing() {
    let text = "{\"id\": 1, \"name\": \"a\", \"price\": 10.00}\n{\"id\": 2, \"name\": null, \"price\": 7.50, \"tag\": \"x\"}\n";
    assert_eq!(
        inferred("orders.json", text),
        "type Orders = { id: int64, name: string?, price: decimal(12, 2), tag: string? }\n"
    );
}

#[test]
fn an_array_is_as_good_as_lines() {
    assert_eq!(inferred("a.json", "[{\"a\": 1}, {\"a\": 2.5}]"), "type A = { a: float64 }\n");
}

#[test]
fn dates_times_and_moments_are_seen_in_strings() {
    let text =
        "{\"d\": \"2026-01-31\", \"t\": \"23:59:59\", \"ts\": \"2026-01-31T23:59:59.5Z\", \"s\": \"2026-13-31\"}";
    assert_eq!(inferred("x.json", text), "type X = { d: date, t: time, ts: timestamp, s: string }\n");
}

#[test]
fn structs_and_lists_are_followed() {
    let text = "{\"a\": {\"b\": [1, null], \"c\": []}, \"d\": [{\"e\": true}]}";
    assert_eq!(inferred("x.json", text), "type X = { a: { b: list(int64?), c: list(json?) }, d: list({ e: bool }) }\n");
}

#[test]
fn what_has_nothing_in_common_is_json() {
    assert_eq!(inferred("x.json", "{\"a\": 1}\n{\"a\": \"one\"}\n"), "type X = { a: json }\n");
}

#[test]
fn the_order_of_rows_changes_no_type() {
    let rows = ["{\"a\": 1, \"b\": 1.25}", "{\"a\": null, \"b\": 2}", "{\"b\": 3.75, \"a\": 18446744073709551615}"];
    let forward = inferred("x.json", &rows.join("\n"));
    let backward = inferred("x.json", &rows.iter().rev().copied().collect::<Vec<_>>().join("\n"));
    let mut sorted = [forward.clone(), backward].map(|text| {
        let mut fields: Vec<String> = text.split([',', '{', '}']).map(|part| part.trim().to_string()).collect();
        fields.sort();
        fields
    });
    sorted.sort();
    assert_eq!(sorted[0], sorted[1]);
    assert_eq!(forward, "type X = { a: uint64?, b: float64 }\n");
}

#[test]
fn csv_gives_types_by_what_stands_in_its_cells() {
    let text = "id;zip;amount;paid;since;note\n1;01234;10.00;true;2026-01-31;\n2;99999;3.50;false;2026-02-01;hi\n";
    let wanted =
        "type People = { id: int64, zip: string, amount: decimal(12, 2), paid: bool, since: date, note: string? }\n";
    assert_eq!(inferred("people.csv", text), wanted);
}

#[test]
fn an_infered_type_is_a_statement_that_reads() {
    let text = inferred("odd-names.json", "{\"from\": 1, \"two words\": 2, \"\\u00e4\": 3}");
    let parsed = millstream_dsl::parse::file(millstream_dsl::FileId(0), &text);
    assert!(parsed.problems.is_empty(), "{text}\n{:?}", parsed.problems);
    assert!(text.starts_with("type OddNames = "), "{text}");
}

#[test]
fn what_is_no_sample_is_said_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.json"), "{\"a\": 1}\n{\"a\": \n").unwrap();
    let ran = millstream_in(folder.path(), &["infer", "x.json"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("error: `x.json`: "), "{}", ran.err);
    fs::write(folder.path().join("x.json"), "").unwrap();
    assert!(millstream_in(folder.path(), &["infer", "x.json"], "").err.contains("it is empty"));
}
