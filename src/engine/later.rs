//! Settings that check, but that the engine does not honour yet: whoever writes one is told so before anything
//! starts. What an entry of its own does not honour, its `open` says. A line goes when the setting works.

use crate::engine::failure::Refusal;
use crate::plan::graph::Work;
use crate::plan::{Plan, Settings};

/// Of the `pipeline` statement.
const HEADER: &[&str] = &["checkpoint", "time_zone", "state_limit", "on_overrun", "backpressure"];
/// Of every sink.
const SINK: &[&str] = &["retries", "deadline"];

/// Every such setting that was written.
pub(super) fn of_plan(plan: &Plan) -> Vec<Refusal> {
    let mut refused = written(&plan.header.settings, HEADER, "a pipeline");
    for id in plan.ordered() {
        match &plan.node(id).work {
            Work::Sink(to) => refused.extend(written(&to.settings, SINK, &format!("sink `{}`", to.word))),
            Work::Source(_) | Work::Table(_) | Work::Operator(_) => {}
        }
    }
    refused
}

fn written(settings: &Settings, names: &[&str], whose: &str) -> Vec<Refusal> {
    let written = names.iter().filter(|name| settings.is_written(name));
    let refusal = |name: &&str| Refusal {
        span: settings.span(name).unwrap_or_default(),
        message: format!("{whose} with `{name}` can be checked, but not run yet"),
    };
    written.map(refusal).collect()
}
