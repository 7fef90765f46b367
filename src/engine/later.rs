//! Settings that check, but that the engine does not honour yet: whoever writes one is told so before anything
//! starts. What an entry of its own does not honour, its `open` says. A line goes when the setting works.

use crate::engine::failure::Refusal;
use crate::plan::{Plan, Settings};

/// Of the `pipeline` statement.
const HEADER: &[&str] = &["time_zone"];

/// Every such setting that was written.
pub(super) fn of_plan(plan: &Plan) -> Vec<Refusal> {
    written(&plan.header.settings, HEADER, "a pipeline")
}

fn written(settings: &Settings, names: &[&str], whose: &str) -> Vec<Refusal> {
    let written = names.iter().filter(|name| settings.is_written(name));
    let refusal = |name: &&str| Refusal {
        span: settings.span(name).unwrap_or_default(),
        message: format!("{whose} with `{name}` can be checked, but not run yet"),
    };
    written.map(refusal).collect()
}
