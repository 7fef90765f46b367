//! What stages ask of their input: the names expressions may use, keys that are columns, event time, final rows.
//! Each question that can be answered with no reports the mistake where it is found.

use millstream_dsl::{Diagnostic, Span, ast};

use crate::operators::carry;
use crate::plan::catalog::StageCall;
use crate::plan::{Edge, EventTime, Mode, Planned, Port, Scope, SideOutput, StageContext};

/// The names an expression of a stage with one input may use.
pub(super) fn scope(call: &StageCall<'_>, ctx: &dyn StageContext) -> Scope {
    let input = (ctx.input_name().map(str::to_owned), ctx.input().clone());
    Scope { inputs: vec![input], state: None, place: format!("`{}`", call.entry.doc.name) }
}

/// Where the stage's word stands.
pub(super) fn word_span(call: &StageCall<'_>) -> Span {
    call.stage.name.at.0
}

/// A stage that passes rows on and keeps nothing.
pub(super) fn passing(call: &StageCall<'_>, operator: Box<dyn crate::plan::Operator>, out: Edge) -> Planned {
    Planned { operator, out, keeps_qualifiers: true, sides: Vec::new(), can_be_late: false, span: word_span(call) }
}

/// Reports rows that are taken back later, for stages that could not take back what they made of them.
pub(super) fn refuse_changes(call: &StageCall<'_>, ctx: &mut dyn StageContext) {
    if let Mode::Changes { .. } = ctx.input().mode {
        let word = &call.entry.doc.name;
        let problem = Diagnostic::error("changes-not-accepted", word_span(call), format!("stage `{word}` does not take changes"))
            .label("works on rows that stay")
            .help("give the aggregate a scope whose results are final:\n  over tumbling(1m)   one result per window\n  per batch           one result per batch");
        let problem = match ctx.changes_from() {
            Some(producer) => problem.also(producer, "updates earlier results"),
            None => problem,
        };
        ctx.report(problem);
    }
}

/// Key columns written as `by a, b`: their positions, each once. What is no column is reported.
pub(super) fn key_columns(items: &[ast::SortItem], scope: &Scope, ctx: &mut dyn StageContext) -> Vec<usize> {
    let mut found = Vec::new();
    for item in items {
        refuse_order(item, ctx);
        match ctx.column(&item.value, scope) {
            Some(index) if found.contains(&index) => {
                let problem =
                    Diagnostic::error("duplicate-column", item.value.at.0, "the same column stands twice in the key");
                ctx.report(problem.help("leave one of them out"));
            }
            Some(index) => found.push(index),
            None => {}
        }
    }
    found
}

/// Reports `desc`, `nulls first` where rows are grouped and not ordered.
pub(super) fn refuse_order(item: &ast::SortItem, ctx: &mut dyn StageContext) {
    if item.direction.is_some() || item.nulls.is_some() {
        let problem = Diagnostic::error("wrong-argument", item.value.at.0, "a key has no order here")
            .label("groups rows, does not sort them")
            .help("leave out `asc`, `desc` and `nulls`; to order rows:\n  |> sort amount desc");
        ctx.report(problem);
    }
}

/// Reports nullable columns of a key, where rows without a key never meet.
pub(super) fn warn_nullable_keys(at: Span, columns: &[&crate::model::Column], what: &str, ctx: &mut dyn StageContext) {
    for column in columns.iter().filter(|c| c.slot.nullable) {
        let name = &column.name;
        let problem = Diagnostic::warning("nullable-key", at, format!("key `{name}` may be null"))
            .label(what.to_owned())
            .help(format!("leave such rows out, or give them a key, first:\n  |> where {name} is not null"));
        ctx.report(problem);
    }
}

/// The time column that a stage in event time needs.
pub(super) fn event_time(call: &StageCall<'_>, at: Span, ctx: &mut dyn StageContext) -> Option<EventTime> {
    let time = ctx.input().time.clone();
    match &time {
        None => {
            let word = &call.entry.doc.name;
            let problem =
                Diagnostic::error("no-time-column", at, format!("stage `{word}` in event time needs a time column"))
                    .label("the rows have no event time here")
                    .help(
                        "name the column at the source, and keep it up to here:\n  { time: ts, watermark: 30s }\n\
                     or count in batch time, where the stage has windows:\n  on batch time",
                    );
            ctx.report(problem);
        }
        Some(EventTime { delay: None, column, .. }) => {
            let problem = Diagnostic::warning("no-watermark", at, "nothing is ever final without a watermark")
                .label(format!("`{column}` has no watermark, so it never passes"))
                .help("say at the source how late rows may come:\n  watermark: 30s");
            ctx.report(problem);
        }
        Some(_) => {}
    }
    time
}

/// The late output of a stage with one input, where the text speaks of late rows.
pub(super) fn late_output(call: &StageCall<'_>, input: &Edge) -> Vec<SideOutput> {
    let fate = call.clause(|kind| match kind {
        ast::ClauseKind::Late(fate) => Some(fate),
        _ => None,
    });
    side(fate.map(|(fate, _)| fate), Port::Late, || carry::late(input))
}

/// A side output by what the text says of it.
pub(super) fn side(fate: Option<&ast::Fate>, port: Port, edge: impl FnOnce() -> Edge) -> Vec<SideOutput> {
    match fate {
        None => Vec::new(),
        Some(ast::Fate::To(name)) => vec![SideOutput { port, edge: edge(), name: Some(name.clone()) }],
        Some(ast::Fate::Word(_)) => vec![SideOutput { port, edge: edge(), name: None }],
    }
}

/// Reports the second of two columns with one name.
pub(super) fn refuse_twins(names: &[(String, Span)], ctx: &mut dyn StageContext) {
    if let Some((second, first)) = carry::first_twin(names.iter().map(|(n, _)| n.as_str())) {
        let name = &names[second].0;
        let problem =
            Diagnostic::error("duplicate-column", names[second].1, format!("column `{name}` is defined twice"))
                .label("a second time")
                .also(names[first].1, "first here")
                .help(format!("give one of them another name:\n  as {name}_2"));
        ctx.report(problem);
    }
}
