//! A function of DataFusion as an entry of ours: its own texts, our facts.

use std::sync::Arc;

use datafusion_expr::{Documentation, ScalarUDF, Volatility};

use super::bounded::bounded;
use super::fact::Fact;
use super::facts::Family;
use super::mended::mended;
use super::resolve;
use crate::plan::catalog::{Doc, FunctionBody, FunctionEntry, Stability};

/// The entries of a family. A fact without a function is left out here; a test says so.
pub(super) fn entries(family: &Family, udfs: &[Arc<ScalarUDF>]) -> Vec<Arc<FunctionEntry>> {
    let udf = |name| udfs.iter().find(|u| u.name() == name);
    family.facts.iter().filter_map(|fact| Some(Arc::new(entry(family.group, fact, udf(fact.name)?)))).collect()
}

fn entry(group: &'static str, fact: &Fact, udf: &Arc<ScalarUDF>) -> FunctionEntry {
    let mut doc = doc(udf.name(), udf.documentation(), fact.usage);
    doc.aliases = aliases(udf.aliases(), fact.aliases);
    FunctionEntry {
        doc,
        group,
        failure: fact.failure,
        settled: fact.settled,
        stability: stability(udf.signature().volatility),
        body: FunctionBody::Scalar(mended(&bounded(udf))),
        resolve: resolve::borrowed,
    }
}

/// DataFusion's words, then ours, each once.
pub(super) fn aliases(theirs: &[String], ours: &[&str]) -> Vec<String> {
    let mut all = theirs.to_vec();
    all.extend(ours.iter().filter(|a| !theirs.iter().any(|t| t == *a)).map(|a| (*a).to_owned()));
    all
}

/// DataFusion's texts, cut to our measure.
pub(super) fn doc(name: &str, texts: Option<&Documentation>, usage: Option<&str>) -> Doc {
    let summary = texts.map_or(String::new(), |d| first_sentence(&d.description));
    let written = texts.and_then(|d| d.syntax_example.lines().last()).unwrap_or(name);
    Doc::new(name, &summary, usage.unwrap_or(written))
}

/// The first sentence, its first letter small, without the full stop.
fn first_sentence(text: &str) -> String {
    let flat = without_links(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let end = flat
        .match_indices(". ")
        .map(|(at, _)| at)
        .find(|at| !flat[..*at].ends_with("e.g") && !flat[..*at].ends_with("i.e"));
    let sentence = flat[..end.unwrap_or(flat.len())].trim_end_matches(['.', ':']);
    let mut letters = sentence.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => sentence.to_owned(),
    }
}

/// `[text](address)` as `text`.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, (_, behind))) = link.split_once("](").and_then(|(l, r)| Some((l, r.split_once(')')?))) else {
            break;
        };
        plain.push_str(before);
        plain.push_str(label);
        rest = behind;
    }
    plain + rest
}

fn stability(volatility: Volatility) -> Stability {
    match volatility {
        Volatility::Immutable => Stability::Pure,
        Volatility::Stable => Stability::Batch,
        Volatility::Volatile => Stability::Volatile,
    }
}
