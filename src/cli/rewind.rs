//! `millstream rewind`: back to the state behind an earlier batch. What that means for sources and sinks is said first.

use std::io::Write;
use std::path::Path;

use super::args::Rewind;
use super::kept::Kept;
use super::state::{contents, disk};
use super::table::aligned;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::engine::{Checkpoint, Contents};
use crate::plan::catalog::find;
use crate::plan::graph::{Plan, Work};
use crate::plan::{Catalog, Guarantee, Port};

/// Says what it means, and does it with `--yes`.
pub(crate) fn rewind(args: &Rewind, terminal: &mut Terminal) -> Outcome {
    let contents = contents(&args.dir, None)?;
    let (behind, last) = Checkpoint::behind(&disk(), &args.dir, args.to).map_err(Failure::new)?;
    let since = match last - behind {
        0 => "nothing is computed again".to_owned(),
        1 => format!("batch {last} is computed again"),
        _ => format!("batches {} to {last} are computed again", behind + 1),
    };
    let mut text = format!("{}: back to the state behind batch {behind}; {since}\n", contents.pipeline);
    match plan(&args.dir, &contents) {
        _ if last == behind => {}
        Some(plan) => text.push_str(&meaning(&plan, &builtins::catalog(), (behind, last), &contents)),
        None => text.push_str(
            "  the text that ran cannot be read by this version: what sinks have of those batches stays as it is\n",
        ),
    }
    terminal.out().write_all(text.as_bytes())?;
    if !args.yes {
        terminal.complain("nothing was changed: write `--yes` behind it to go back");
        return Ok(Exit::Mistakes);
    }
    let done = Checkpoint::rewind(&disk(), &args.dir, args.to).map_err(Failure::new)?;
    writeln!(
        terminal.out(),
        "the next run goes on behind batch {}, with batch {}; `rewind --to {last}` undoes it",
        done.behind,
        done.next
    )?;
    Ok(Exit::Clean)
}

/// The plan that ran last, as far as its text tells.
fn plan(dir: &Path, contents: &Contents) -> Option<Plan> {
    let kept = Kept::decode(contents.text.as_deref()?).ok()?;
    let file = dir.parent().unwrap_or(Path::new("")).join(kept.name());
    kept.find(&file, &builtins::catalog()).plan
}

/// What a sink of the text that ran last promises.
pub(super) fn promise_of(dir: &Path, contents: &Contents, sink: &str) -> Option<String> {
    let plan = plan(dir, contents)?;
    let node = plan.ordered().into_iter().map(|id| plan.node(id)).find(|node| node.identity == sink)?;
    let Work::Sink(endpoint) = &node.work else { return None };
    let catalog = builtins::catalog();
    Some((find(&catalog.sinks, &endpoint.word)?.guarantee)(&endpoint.settings))
}

/// What becomes of each source and each sink.
fn meaning(plan: &Plan, catalog: &Catalog, (behind, last): (u64, u64), contents: &Contents) -> String {
    let since = if last == behind + 1 { format!("batch {last}") } else { format!("batches {} to {last}", behind + 1) };
    let mut rows = Vec::new();
    for id in plan.ordered() {
        let node = plan.node(id);
        match &node.work {
            Work::Source(_) => {
                let again = plan.edge(id, &Port::Out).map(|edge| edge.guarantee).unwrap_or_default();
                let said = match again {
                    Guarantee::Replayable => "is read again from there; what was taken away there since is missing",
                    Guarantee::AtMostOnce => "cannot be read again: the rows that came since are lost",
                };
                rows.push(vec![node.stream.clone(), said.to_owned()]);
            }
            Work::Sink(endpoint) => {
                let entry = find(&catalog.sinks, &endpoint.word);
                let promise = entry.map_or(String::new(), |entry| (entry.guarantee)(&endpoint.settings));
                rows.push(vec![node.identity.clone(), of_sink(&promise, &since)]);
            }
            Work::Table(_) | Work::Operator(_) => {}
        }
    }
    let given_up: Vec<String> = contents
        .undelivered
        .iter()
        .filter(|due| due.batch.number > behind)
        .map(|due| due.batch.number.to_string())
        .collect();
    let mut text = aligned(&rows, "  ");
    if !given_up.is_empty() {
        text.push_str(&format!("  not delivered yet, and not to be: batch {}\n", given_up.join(", ")));
    }
    text
}

/// What is said of a sink, by what it promises.
fn of_sink(promise: &str, since: &str) -> String {
    let has = |word: &str| promise.contains(word);
    if has("nothing is kept") {
        "keeps nothing".into()
    } else if has("upsert") || has("overwr") {
        format!("rows of {since} are overwritten as they come again; those that do not come stay")
    } else if has("at least once") || has("at most once") {
        format!("gets the rows of {since} again")
    } else if has("publish") {
        format!("files of {since} stay; their rows come again under other names")
    } else {
        format!("what it has of {since} stays, and comes again: {promise}")
    }
}
