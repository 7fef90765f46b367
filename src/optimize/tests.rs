//! Each rule over small pipelines: `tests/cases/rules/RULE/WHAT.stream` lies next to the plan before the rule, what the
//! rule said, and the plan behind it (`BLESS=1` writes it anew). Rules that come before it are applied first. A line
//! `# watched: a, b` names streams that somebody looks at. What stands in `head.stream` comes before every case.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::util::pretty::pretty_format_batches;
use millstream_dsl::Diagnostic;

use super::*;
use crate::check::{Program, ProgramFile};
use crate::engine::{Opening, Session, Watch};
use crate::model::Type;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/rules")
}

/// The plan of a text.
fn plan(text: &str) -> Plan {
    let text = fs::read_to_string(cases().join("head.stream")).unwrap() + text;
    let mut program = Program::default();
    let id = program.sources.add("p.stream", text.as_str());
    let parsed = crate::load::parse(&text, id, crate::load::Form::Stream);
    assert!(!parsed.problems.iter().any(Diagnostic::is_error), "{:#?}", parsed.problems);
    program.files.push(ProgramFile { id, path: "p.stream".into(), tree: parsed.tree, imports: Vec::new() });
    let checked = crate::check::check(&program, &crate::builtins::catalog(), &BTreeMap::new());
    let errors: Vec<_> = checked.problems.iter().filter(|p| p.is_error()).map(|p| &p.message).collect();
    assert!(errors.is_empty(), "{text}\n{errors:#?}");
    checked.plan
}

/// What a rule makes of a text.
fn by(rule: &str, text: &str) -> String {
    let watched = text.lines().find_map(|line| line.strip_prefix("# watched: ")).unwrap_or_default();
    let watched: Vec<&str> = watched.split(", ").collect();
    let watched = Watched(&|name| watched.contains(&name));
    let mut plan = plan(text);
    let before_all = sink_inputs(&plan);
    let at = RULES.iter().position(|r| r.name == rule).unwrap_or_else(|| panic!("rule `{rule}` does not exist"));
    for earlier in &RULES[..at] {
        (earlier.apply)(&mut plan, &watched);
    }
    let before = plan.to_string();
    let remarks = (RULES[at].apply)(&mut plan, &watched);
    assert_eq!(before_all, sink_inputs(&plan));
    assert_eq!(sound::broken(&plan), None, "{plan}");
    let said = remarks.iter().map(|r| format!("{} {}\n", if r.fired { "+" } else { "-" }, r.text));
    format!("--- before ---\n{before}--- said ---\n{}--- after ---\n{}", said.collect::<String>(), plan)
}

/// The texts of all cases.
fn all_cases() -> Vec<(String, String)> {
    let folders = RULES.iter().map(|rule| cases().join(rule.name));
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "stream")).collect();
    files.sort();
    files.into_iter().map(|file| (file.display().to_string(), fs::read_to_string(file).unwrap())).collect()
}

/// A column of some rows; the same for the same number.
fn column(ty: &Type, nullable: bool, rows: usize, start: u64) -> ArrayRef {
    let picks: Vec<u64> = (0..rows as u64).map(|i| (start + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).collect();
    let some = |pick: &u64| !(nullable && pick.is_multiple_of(3));
    let words = ["a", "b", "c", "d", "e"];
    match ty {
        Type::String => {
            let word = |pick: &u64| some(pick).then(|| words[(pick % 5) as usize]);
            Arc::new(picks.iter().map(word).collect::<StringArray>())
        }
        Type::Int64 => Arc::new(picks.iter().map(|p| some(p).then_some((p % 17) as i64 - 4)).collect::<Int64Array>()),
        Type::Float64 => {
            Arc::new(picks.iter().map(|p| some(p).then_some((p % 23) as f64 / 4.0 - 1.0)).collect::<Float64Array>())
        }
        Type::Timestamp(_) => {
            let time = |pick: &u64| 1_700_000_000_000_000 + (pick % 60) as i64 * 1_000_000;
            Arc::new(
                picks.iter().map(time).map(Some).collect::<TimestampMicrosecondArray>().with_data_type(ty.to_arrow()),
            )
        }
        Type::List(_) => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for pick in &picks {
                (0..pick % 3).for_each(|i| lists.values().append_value(words[((pick + i) % 5) as usize]));
                lists.append(true);
            }
            cast(&lists.finish(), &ty.to_arrow()).unwrap()
        }
        other => panic!("no rows of `{other}`"),
    }
}

/// What every sink of a plan would get in three batches, in no order.
fn rows_of(plan: &Plan, watch: &BTreeSet<String>) -> Vec<BTreeMap<String, Vec<String>>> {
    let opening = Opening { partitions: Some(3), watch: Watch::Only(watch.clone()), ..Opening::default() };
    let mut session = Session::open(plan, opening).unwrap();
    let ids = plan.ordered();
    let inputs: Vec<_> =
        ids.iter().filter(|id| matches!(plan.node(**id).work, Work::Source(_) | Work::Table(_))).collect();
    let batch = |batch: u64, session: &mut Session| {
        for id in &inputs {
            let schema = &plan.edge(**id, &Port::Out).unwrap().schema;
            // Columns that nobody reads have no meaning, and so another one here.
            let hollow = |i| if plan.node(**id).run.unread.contains(&i) { 7_777 } else { 0 };
            let start = |i: usize| batch * 97 + i as u64 * 13 + hollow(i);
            let columns = schema.columns.iter().enumerate();
            let columns = columns.map(|(i, c)| column(&c.slot.ty, c.slot.nullable, 40, start(i)));
            let rows = RecordBatch::try_new(schema.to_arrow(), columns.collect()).unwrap();
            assert!(session.give(&plan.node(**id).stream, vec![rows]));
        }
        let stepped = session.step(1_700_000_010_000_000 + batch as i64 * 10_000_000).unwrap();
        stepped.streams.into_iter().map(|(name, rows)| (name, texts(&rows))).collect()
    };
    (0..3).map(|number| batch(number, &mut session)).collect()
}

fn texts(rows: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(rows).unwrap().to_string();
    let mut lines: Vec<_> = text.lines().filter(|l| l.starts_with('|')).map(words).collect();
    lines.sort();
    lines
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn no_rule_changes_a_row_that_reaches_a_sink() {
    let mut ran = 0;
    for (file, text) in all_cases() {
        let named = || {
            let mut plan = plan(&text);
            let sinks: Vec<_> =
                plan.ordered().into_iter().filter(|id| matches!(plan.node(*id).work, Work::Sink(_))).collect();
            for (i, sink) in sinks.into_iter().enumerate() {
                let (from, port) =
                    plan.inputs(sink).into_iter().map(|(from, port)| (from, port.clone())).next().unwrap();
                plan.name(format!("sink {i}"), from, port);
            }
            plan
        };
        let plain = named();
        if !crate::engine::runnable(&plain).is_empty() {
            continue;
        }
        ran += 1;
        let watch: BTreeSet<_> =
            plain.streams().filter(|(n, ..)| n.starts_with("sink ")).map(|(n, ..)| n.into()).collect();
        let optimized = optimize_watched(named(), &|name| watch.contains(name), &mut |_, _| {}).plan;
        let (expected, found) = (rows_of(&plain, &watch), rows_of(&optimized, &watch));
        assert_eq!(expected, found, "{file}\n{plain}\n{optimized}");
        assert!(expected.iter().flat_map(BTreeMap::values).any(|rows| rows.len() > 1), "{file} gives no rows");
    }
    assert!(ran >= 8, "only {ran} cases could be run");
}

#[test]
fn every_rule_makes_of_a_plan_what_lies_next_to_it() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for rule in RULES {
        let folder = cases().join(rule.name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "stream")) {
            count += 1;
            let found = by(rule.name, &fs::read_to_string(file).unwrap());
            let expected = file.with_extension("out");
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &found).unwrap();
            } else if fs::read_to_string(&expected).unwrap_or_default() != found {
                wrong.push(format!("{}:\n{found}", file.display()));
            }
        }
    }
    assert!(count >= RULES.len(), "a rule has no case");
    assert!(wrong.is_empty(), "BLESS=1 writes anew what is right:\n{}", wrong.join("\n"));
}
