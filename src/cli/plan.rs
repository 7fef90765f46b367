//! `millstream plan`: what is run, as people read it: stages cut where rows are moved, what is done in one pass, what
//! is remembered, what a crash can do on each way from a source to a sink. `--verbose` tells rule by rule how it came
//! about.

pub(super) mod against;
pub(super) mod stages;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Write as _;

use super::args;
use super::findings;
use super::table::aligned;
use super::terminal::Terminal;
use super::{Exit, Outcome};
use crate::builtins;
use crate::model::time::show_duration;
use crate::optimize::{RuleNote, optimize_watched};
use crate::plan::catalog::find;
use crate::plan::graph::{NodeId, Plan, Work};
use crate::plan::{Catalog, Guarantee, Port, RowFate};
use stages::{Stage, Step};

/// Checks, optimizes, prints.
pub(crate) fn plan(args: &args::Plan, terminal: &mut Terminal) -> Outcome {
    if let Some(old) = &args.against {
        return against::against(old, args, terminal);
    }
    let catalog = builtins::catalog();
    let overrides = args.set.iter().cloned().collect();
    let plan = match findings::find(&args.file, &catalog, &overrides).plan_or_complain(terminal) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let mut text = String::new();
    if args.verbose {
        text.push_str(&format!("as it was checked:\n{}", indented(&plan.to_string())));
    }
    let mut before = plan.to_string();
    let optimized = optimize_watched(plan, &|_| false, &mut |note, plan| {
        if args.verbose {
            let after = plan.to_string();
            text.push_str(&told(note, (after != before).then_some(&after)));
            before = after;
        }
    });
    if args.verbose {
        text.push('\n');
    }
    text.push_str(&described(&optimized.plan, &catalog));
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

/// What a rule did and why, and the plan behind it where that is another one.
fn told(note: &RuleNote, after: Option<&String>) -> String {
    let mut text = format!("\n{}: {}\n", note.rule, note.why);
    if note.remarks.is_empty() {
        text.push_str("  nothing to do\n");
    }
    for remark in &note.remarks {
        text.push_str(&format!("  {} {}\n", if remark.fired { "+" } else { "-" }, remark.text));
    }
    text + &after.map(|plan| indented(plan)).unwrap_or_default()
}

fn indented(plan: &str) -> String {
    plan.lines().fold(String::new(), |text, line| text + "    " + line + "\n")
}

/// The whole plan in words.
fn described(plan: &Plan, catalog: &Catalog) -> String {
    let every = match plan.header.every {
        0 => "a batch as soon as there are rows".to_owned(),
        every => format!("a batch every {}", show_duration(every)),
    };
    let mut text = format!("{}: {every}\n", plan.header.name);
    let stages = stages::cut(plan);
    for (i, stage) in stages.iter().enumerate() {
        text.push_str(&format!("\nstage {}: {}\n", i + 1, stage.start));
        described_stage(plan, stage, &mut text);
    }
    let passes = stages.iter().any(|stage| stage.steps.iter().any(|step| step.pass.is_some()));
    if passes {
        text.push_str("\n| in one pass over each block of rows\n");
    }
    text.push_str("\nguarantees\n");
    text + &aligned(&paths(plan, catalog), "  ") + &rests_on(plan)
}

/// What the guarantees rest on, for all ways alike.
fn rests_on(plan: &Plan) -> String {
    let Some(folder) = &plan.header.checkpoint else {
        return "  while the process runs: without `checkpoint` it begins anew after a crash, as the text says\n"
            .to_owned();
    };
    let sinks = plan.ordered().into_iter().filter(|id| matches!(plan.node(*id).work, Work::Sink(_))).count();
    let folder = folder.display();
    let mut text =
        format!("  rests on the checkpoint `{folder}`: positions, state and output of a batch are one commit\n");
    if sinks > 1 {
        text.push_str(
            "  each sink comes up to the last commit by itself: a reader of several may see one ahead of another\n",
        );
    }
    text
}

fn described_stage(plan: &Plan, stage: &Stage, text: &mut String) {
    let mut above: Option<&Step> = None;
    for step in &stage.steps {
        let bar = if step.pass.is_some() { '|' } else { ' ' };
        let from = plan.inputs(step.id).into_iter().next().filter(|_| step.half != stages::Half::Second);
        let straight = |(node, port): &(NodeId, &Port)| **port == Port::Out && above.is_some_and(|a| a.id == *node);
        let joins_up = step.moved_here || from.as_ref().is_none_or(straight);
        let reads = from.filter(|_| !joins_up).map(|(node, port)| format!(" <- {}", output_name(plan, node, port)));
        let _ = writeln!(text, "  {bar} {}{}", step.text, reads.unwrap_or_default());
        if step.half != stages::Half::First {
            notes(plan, step.id).iter().for_each(|note| {
                let _ = writeln!(text, "  {bar}     {note}");
            });
        }
        for arrow in &step.moves {
            let _ = writeln!(text, "    => {arrow}");
        }
        above = Some(step);
    }
}

/// What an output is called: the stream it ends, else the word of what it leaves.
pub(super) fn output_name(plan: &Plan, id: NodeId, port: &Port) -> String {
    let named = plan.streams().find(|(_, node, named)| *node == id && *named == port);
    named.map_or_else(|| plan.node(id).word().to_owned(), |(name, _, _)| name.to_owned())
}

/// What there is to know of an operation beside what it does.
fn notes(plan: &Plan, id: NodeId) -> Vec<String> {
    let node = plan.node(id);
    let out = plan.edge(id, &Port::Out);
    let mut notes = Vec::new();
    let taken_in = matches!(node.work, Work::Source(_) | Work::Table(_));
    if let Some(time) = out.and_then(|edge| edge.time.as_ref()).filter(|_| taken_in) {
        let late = time.delay.map_or("without a watermark".into(), |d| format!("up to {} late", show_duration(d)));
        notes.push(format!("time is `{}`, {late}", time.column));
    }
    if let Some(edge) = out.filter(|_| !node.run.unread.is_empty()) {
        let names: Vec<_> = node.run.unread.iter().map(|i| format!("`{}`", edge.schema.columns[*i].name)).collect();
        let what = if taken_in { "does not build" } else { "leaves behind" };
        notes.push(
            format!("{what} {}: nobody reads them", names.join(", "))
                .replace("nobody reads them", if names.len() == 1 { "nobody reads it" } else { "nobody reads them" }),
        );
    }
    for input in &node.run.in_place {
        if let Some((from, port)) = plan.inputs(id).get(*input) {
            notes.push(format!("the rows of {} lie where they belong", output_name(plan, *from, port)));
        }
    }
    if !node.run.stands_for.is_empty() {
        let streams: BTreeSet<_> = node.run.stands_for.iter().map(|twin| format!("`{}`", twin.stream)).collect();
        notes.push(format!("also for {}", streams.into_iter().collect::<Vec<_>>().join(", ")));
    }
    if let Some(edge) = out.filter(|edge| !edge.state.is_empty()) {
        notes.push(format!("{}, kept as `{}`", edge.state, node.identity));
    }
    notes.extend(node.outputs.keys().filter_map(|port| aside(plan, id, port)));
    notes
}

/// What becomes of the rows of a side output.
fn aside(plan: &Plan, id: NodeId, port: &Port) -> Option<String> {
    let what = match port {
        Port::Out => return None,
        Port::Late => "late rows",
        Port::Bad => "bad rows",
        Port::Rejected => "rejected rows",
        Port::Branch(_) => "rows",
    };
    let name = plan.streams().find(|(_, node, named)| *node == id && *named == port).map(|(name, _, _)| name);
    match (name, plan.node(id).fates.get(port)) {
        (Some(name), _) => Some(format!("{what} to {name}")),
        (None, Some(RowFate::Drop)) => Some(format!("{what} are dropped")),
        (None, Some(RowFate::Null)) => Some(format!("{what} go on with null")),
        // A sink without a word about it stops the pipeline.
        (None, Some(RowFate::Fail)) if *port == Port::Rejected => None,
        (None, Some(RowFate::Fail)) => Some(format!("{what} stop the pipeline")),
        (None, None) => None,
    }
}

/// A line for each way from a source to a sink: by which streams, and what a crash can do.
fn paths(plan: &Plan, catalog: &Catalog) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for id in plan.ordered() {
        let Work::Sink(endpoint) = &plan.node(id).work else { continue };
        let sink = find(&catalog.sinks, &endpoint.word);
        let promise = sink.map_or(String::new(), |entry| (entry.guarantee)(&endpoint.settings));
        let mut seen = BTreeSet::new();
        for (source, mut way) in ways(plan, id, &mut seen) {
            way.dedup();
            way.push(endpoint.word.clone());
            let table = matches!(plan.node(source).work, Work::Table(_));
            let guarantee = plan.edge(source, &Port::Out).map(|edge| edge.guarantee).unwrap_or_default();
            let promise = match guarantee {
                _ if table => "read anew when it changes".to_owned(),
                Guarantee::Replayable => promise.clone(),
                Guarantee::AtMostOnce if plan.header.checkpoint.is_some() => {
                    let name = &plan.node(source).stream;
                    format!(
                        "`{name}` cannot be read again, so it is logged: only its last moment before a crash is lost; the \
                         sink: {promise}"
                    )
                }
                Guarantee::AtMostOnce => {
                    format!("at most once: `{}` cannot be read again; the sink: {promise}", plan.node(source).stream)
                }
            };
            rows.push(vec![way.join(" -> "), promise]);
        }
    }
    rows
}

/// Every source above a node, each with the names on one way down from it.
fn ways(plan: &Plan, id: NodeId, seen: &mut BTreeSet<NodeId>) -> Vec<(NodeId, Vec<String>)> {
    let mut found = Vec::new();
    for (from, port) in plan.inputs(id) {
        if !seen.insert(from) {
            continue;
        }
        let name =
            plan.streams().find(|(_, node, named)| *node == from && *named == port).map(|(n, _, _)| n.to_owned());
        match &plan.node(from).work {
            Work::Source(_) | Work::Table(_) => {
                found.push((from, vec![name.unwrap_or(plan.node(from).stream.clone())]))
            }
            Work::Operator(_) | Work::Sink(_) => {
                let above = ways(plan, from, seen);
                found.extend(
                    above.into_iter().map(|(source, way)| (source, way.into_iter().chain(name.clone()).collect())),
                );
            }
        }
    }
    found
}
