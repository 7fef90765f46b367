//! The JSON Schema of the YAML form, from the catalog: what an editor completes is what the checker knows.

use serde_json::{Map, Value, json};

use crate::check::HEADER_OPTIONS;
use crate::plan::catalog::{Catalog, ClauseSpec, OptionKind, OptionSpec};
use crate::plan::vocabulary::{Kind, Word, words};

/// The words that may stand before `join`.
const MODIFIERS: [&str; 6] = ["left", "right", "full", "semi", "anti", "cross"];

/// The whole schema.
pub fn of(catalog: &Catalog) -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Millstream pipeline",
        "type": "object",
        "additionalProperties": false,
        "properties": sections(),
        "definitions": {
            "expression": expression(),
            "stages": { "type": "array", "items": stage(catalog) },
            "source": endpoint(&words(catalog, Kind::Source), &["bad", "late"]),
            "sink": endpoint(&words(catalog, Kind::Sink), &["rejected", "bad"]),
            "format": { "anyOf": [
                { "enum": words(catalog, Kind::Format).iter().map(|word| word.doc.name.as_str()).collect::<Vec<_>>() },
                { "$ref": "#/definitions/expression" },
            ] },
            "type": { "type": ["string", "object"], "description": "a type, e.g. decimal(12, 2) or a mapping of fields" },
        },
    })
}

fn sections() -> Value {
    let text = || json!({ "$ref": "#/definitions/expression" });
    let named = |what: Value, doc: &str| json!({ "type": "object", "additionalProperties": what, "description": doc });
    let stream = json!({
        "type": "object",
        "required": ["from"],
        "properties": { "from": { "type": "string" }, "stages": { "$ref": "#/definitions/stages" } },
    });
    let sink = json!({
        "type": "object",
        "required": ["from", "into"],
        "properties": {
            "from": { "type": "string" },
            "stages": { "$ref": "#/definitions/stages" },
            "into": { "$ref": "#/definitions/sink" },
        },
    });
    json!({
        "pipeline": pipeline(),
        "imports": { "type": "array", "items": { "type": "string" }, "description": "files whose types, functions, stages and tables are used" },
        "params": named(json!({ "type": ["string", "object"] }), "values given with --set name=value"),
        "lets": named(text(), "constants"),
        "functions": named(json!({ "type": ["string", "object"] }), "functions over expressions"),
        "stages": named(json!({ "type": ["object", "array"] }), "reusable chains"),
        "types": named(json!({ "$ref": "#/definitions/type" }), "named types"),
        "sources": named(json!({ "$ref": "#/definitions/source" }), "where rows come from"),
        "tables": named(json!({ "$ref": "#/definitions/source" }), "reference data"),
        "streams": named(stream, "how rows are computed"),
        "sinks": { "type": "array", "items": sink, "description": "where rows go" },
        "tests": { "type": ["array", "object"], "description": "given, advance, expect" },
        "order": { "type": "array", "items": { "type": "string" }, "description": "the order of the statements in .stream form" },
    })
}

fn pipeline() -> Value {
    let mut properties: Map<String, Value> =
        HEADER_OPTIONS.iter().map(|spec| (spec.name.into(), option(spec))).collect();
    properties.insert("name".into(), json!({ "type": "string", "description": "the pipeline's name" }));
    json!({ "type": "object", "required": ["name"], "additionalProperties": false, "properties": properties })
}

fn expression() -> Value {
    json!({
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "description": "expression text; a text in double quotes is a string",
    })
}

/// A stage is a mapping whose first key is its word. A word that no entry has is a stage of the user's own.
fn stage(catalog: &Catalog) -> Value {
    let mut known = Vec::new();
    let mut forms = vec![json!({ "type": "string", "description": "a stage without arguments" })];
    for word in words(catalog, Kind::Stage) {
        let modified = MODIFIERS.iter().filter(|_| word.modifiers).map(|m| format!("{m} {}", word.doc.name));
        for name in std::iter::once(word.doc.name.clone()).chain(modified) {
            forms.push(stage_form(&word, &name));
            known.push(json!({ "required": [name] }));
        }
    }
    forms.push(json!({ "type": "object", "not": { "anyOf": known } }));
    json!({ "anyOf": forms })
}

fn stage_form(word: &Word<'_>, name: &str) -> Value {
    let mut properties = Map::new();
    properties.insert(name.to_string(), described("#/definitions/expression", &word.doc.summary));
    properties.insert("as".into(), described("#/definitions/expression", "the name of the argument"));
    for ClauseSpec { word, doc, .. } in word.clauses {
        properties.insert((*word).into(), described("#/definitions/expression", doc));
        // A clause of two words is written by its first: `per: batch`.
        if let Some((first, _)) = word.split_once(' ') {
            properties.entry(first).or_insert_with(|| described("#/definitions/expression", doc));
        }
    }
    if !(word.options.is_empty() && word.shared.is_empty()) {
        let all = word.options.iter().copied().chain(word.shared);
        let options = all.map(|spec| (spec.name.to_string(), option(spec))).collect::<Map<_, _>>();
        properties.insert("with".into(), json!({ "type": "object", "properties": options }));
    }
    json!({ "type": "object", "required": [name], "properties": properties, "additionalProperties": false })
}

/// A source or sink is a mapping whose first key is its word; options and clauses are its other keys.
fn endpoint(words: &[Word<'_>], clauses: &[&str]) -> Value {
    let forms = words.iter().map(|word| {
        let mut properties = Map::new();
        for spec in word.shared.iter().chain(word.options.iter().copied()) {
            properties.insert(spec.name.into(), option(spec));
        }
        for clause in clauses {
            properties.insert((*clause).into(), json!({ "type": "string", "description": "to a stream, drop, ..." }));
        }
        properties.insert(
            "options".into(),
            json!({ "type": "object", "description": "options whose names clash with others" }),
        );
        properties.insert(word.doc.name.clone(), described("#/definitions/expression", &word.doc.summary));
        json!({ "required": [word.doc.name], "properties": properties })
    });
    json!({ "type": "object", "anyOf": forms.collect::<Vec<_>>() })
}

fn option(spec: &OptionSpec) -> Value {
    let default = spec.default.map(|default| format!(" (default {default})")).unwrap_or_default();
    let doc = format!("{}: {}{default}", spec.kind, spec.doc);
    match &spec.kind {
        OptionKind::Format => described("#/definitions/format", &doc),
        OptionKind::Schema => described("#/definitions/type", &doc),
        OptionKind::Bool => {
            json!({ "anyOf": [{ "type": "boolean" }, { "$ref": "#/definitions/expression" }], "description": doc })
        }
        OptionKind::Symbol(symbols) => {
            let symbols: Vec<&str> = symbols.iter().map(|(symbol, _)| *symbol).collect();
            json!({ "anyOf": [{ "enum": symbols }, { "$ref": "#/definitions/expression" }], "description": doc })
        }
        _ => described("#/definitions/expression", &doc),
    }
}

/// A reference keeps its description only inside `allOf`: draft 7 ignores what stands beside `$ref`.
fn described(reference: &str, doc: &str) -> Value {
    json!({ "allOf": [{ "$ref": reference }], "description": doc })
}
