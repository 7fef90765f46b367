//! What becomes of what stages remember.

use std::collections::BTreeSet;

use crate::plan::Plan;
use crate::plan::graph::{NodeId, Work};
use crate::plan::memory::{Fact, Memory, Moved};
use crate::reload::meaning::{Meanings, above, definition, of_operator, own};
use crate::reload::{Answer, Aside, Entry, Hand, Kind, Verdict, changed, drain, duration, remembers};

/// A stage that remembers.
struct Stateful<'a> {
    plan: &'a Plan,
    id: NodeId,
    memory: Memory,
    /// What comes in.
    input: String,
}

/// An entry for every stage that remembers or remembered.
pub(super) fn states(old: &Plan, new: &Plan, aside: &Aside<'_>) -> Vec<Entry> {
    let (before, after) = (stateful(old), stateful(new));
    let mut entries = Vec::new();
    let mut used: BTreeSet<NodeId> = BTreeSet::new();
    let same = |stage: &Stateful<'_>| before.iter().find(|old| old.identity() == stage.identity());
    let mut fresh = Vec::new();
    for stage in &after {
        match same(stage) {
            Some(was) => {
                used.insert(was.id);
                entries.push(judged(was, stage));
            }
            None => {
                fresh.push(entries.len());
                entries.push(Entry::plain(Kind::State, stage.identity(), Verdict::New, starts_empty(stage)));
            }
        }
    }
    for place in fresh {
        let Some(stage) = after.iter().find(|stage| stage.identity() == entries[place].name) else { continue };
        let alike = |was: &&Stateful<'_>| !used.contains(&was.id) && was.is_like(stage);
        if let Some(was) = before.iter().find(alike) {
            used.insert(was.id);
            entries[place] = moved(was, stage);
        } else if let Some(back) = back(stage, aside) {
            entries[place] = back;
        }
    }
    entries.extend(before.iter().filter(|was| !used.contains(&was.id)).map(gone));
    entries
}

fn stateful(plan: &Plan) -> Vec<Stateful<'_>> {
    let meanings = Meanings::new(plan);
    let stage = |id: NodeId| {
        let Work::Operator(operator) = &plan.node(id).work else { return None };
        let all =
            || Memory { facts: vec![Fact::layout("the stage", of_operator(operator.as_ref()))], ..<_>::default() };
        let memory = operator.memory().unwrap_or_else(all);
        Some(Stateful { plan, id, memory, input: meanings.input(id) })
    };
    plan.ordered().into_iter().filter(|id| remembers(plan, *id)).filter_map(stage).collect()
}

/// A stage that was there before, under the same name.
fn judged(was: &Stateful<'_>, stage: &Stateful<'_>) -> Entry {
    let mut entry = Entry::plain(Kind::State, stage.identity(), Verdict::Kept, Vec::new());
    if stage.memory.minor && was.memory.minor && was.memory.facts != stage.memory.facts {
        entry.verdict = Verdict::New;
        entry.says.push("measures something else and begins anew".into());
        return entry;
    }
    let (differs, fits) = difference(was, stage);
    let moved = parts(&was.memory, &stage.memory);
    let in_place = moved.in_place();
    let other = !in_place || was.memory.spans != stage.memory.spans;
    entry.hand = Hand::State(was.identity().to_owned(), other.then_some(moved));
    let came_in = was.input != stage.input && !stage.memory.minor;
    if !differs.is_empty() || came_in {
        entry.verdict = Verdict::Decision;
        entry.says = differs;
        if came_in {
            entry.says.push(upstream(was, stage));
        }
        entry.answers = if fits { vec![Answer::Keep, Answer::Reset] } else { vec![Answer::Reset] };
        entry.hindrance = drain::hindrance(was.plan, was.id, stage.plan, stage.id);
        let drains = entry.hindrance.is_none();
        entry.answers.extend(drains.then_some(Answer::Drain));
        let keep = if fits { "`keep` goes on with what it has; " } else { "" };
        let drain = if drains { "; `drain` ends open windows by the old text, later ones go by the new" } else { "" };
        entry.says.extend((fits || drains).then(|| format!("{keep}`reset` begins anew{drain}")));
        if let (true, Some(why)) = (drain::has_windows(was.plan, was.id), &entry.hindrance) {
            entry.says.push(format!("`drain` is not possible: {why}"));
        }
        return entry;
    }
    if !in_place {
        entry.says.extend(migrated(&was.memory, &stage.memory));
        if !entry.says.is_empty() {
            entry.verdict = Verdict::Migrated;
        }
    }
    trimmed(&was.memory, &stage.memory, &mut entry);
    entry
}

/// What decides on the state and is another thing now; and whether the old state has the layout of the new.
fn difference(was: &Stateful<'_>, stage: &Stateful<'_>) -> (Vec<String>, bool) {
    let (old, new) = (was.plan.node(was.id).word(), stage.plan.node(stage.id).word());
    if old != new {
        return (vec![format!("was the state of `{old}` and is that of `{new}` now")], false);
    }
    let mut says = Vec::new();
    let mut fits = true;
    for fact in &stage.memory.facts {
        let before = was.memory.facts.iter().find(|before| before.name == fact.name);
        match before {
            Some(before) if before.text == fact.text => {}
            Some(before) => {
                fits &= fact.fits && before.fits;
                says.push(fact_changed(before, fact));
            }
            None => {
                fits = false;
                says.push(format!("{} is `{}` now", fact.name, fact.text));
            }
        }
    }
    let lost = was.memory.facts.iter().filter(|fact| stage.memory.facts.iter().all(|new| new.name != fact.name));
    for fact in lost {
        fits = false;
        says.push(format!("{} was `{}`", fact.name, fact.text));
    }
    (says, fits)
}

/// A fact is told in full where it is short.
fn fact_changed(before: &Fact, fact: &Fact) -> String {
    const LONG: usize = 100;
    let verb = if fact.name.ends_with('s') && fact.name != "the rows" { "were" } else { "was" };
    if before.text.len().max(fact.text.len()) > LONG {
        return format!("{} changed", fact.name);
    }
    match (before.text.is_empty(), fact.text.is_empty()) {
        (true, false) => format!("{}: `{}` where there was nothing", fact.name, fact.text),
        (false, true) => format!("{}: nothing where there was `{}`", fact.name, before.text),
        _ => format!("{} {verb} `{}`, now `{}`", fact.name, before.text, fact.text),
    }
}

/// Where each part of the new stage stands in the old one.
fn parts(was: &Memory, is: &Memory) -> Moved {
    let place = |text: &String| was.parts.iter().position(|old| old.text == *text);
    Moved { from: was.clone(), parts: is.parts.iter().map(|part| place(&part.text)).collect() }
}

fn migrated(was: &Memory, is: &Memory) -> Vec<String> {
    let mut says = Vec::new();
    for part in is.parts.iter().filter(|part| was.parts.iter().all(|old| old.text != part.text)) {
        let about = "results of what is open now know only rows from here on (zero or empty before the first)";
        says.push(format!("`{}` is added and starts empty: {about}", part.name));
    }
    for part in was.parts.iter().filter(|old| is.parts.iter().all(|part| part.text != old.text)) {
        says.push(format!("`{}` is dropped", part.name));
    }
    says
}

/// What is kept longer or shorter.
fn trimmed(was: &Memory, is: &Memory, entry: &mut Entry) {
    for span in &is.spans {
        let Some(before) = was.spans.iter().find(|before| before.name == span.name) else { continue };
        let length = |micros: Option<i64>| micros.unwrap_or(i64::MAX);
        if length(before.micros) == length(span.micros) {
            continue;
        }
        let (old, new) = (duration(before.micros), duration(span.micros));
        let change = changed(span.name, Some(&old), Some(&new));
        if length(span.micros) > length(before.micros) {
            entry.says.push(format!("{change}: what is gone stays gone, in full effect {new} after the switch"));
        } else {
            if entry.verdict == Verdict::Kept {
                entry.verdict = Verdict::Trimmed;
            }
            entry.says.push(format!("{change}: what is older than {new} goes with the next batch"));
        }
    }
}

/// The first thing above that is not what it was.
fn upstream(was: &Stateful<'_>, stage: &Stateful<'_>) -> String {
    let list = |of: &Stateful<'_>| -> Vec<(NodeId, String)> {
        above(of.plan, of.id).into_iter().map(|id| (id, own(of.plan, id))).collect()
    };
    let (before, after) = (list(was), list(stage));
    let mut old: Vec<_> = before.iter().filter(|(_, text)| after.iter().all(|(_, other)| other != text)).collect();
    let mut says = Vec::new();
    for (id, _) in after.iter().filter(|(_, text)| before.iter().all(|(_, other)| other != text)) {
        let (node, here) = (stage.plan.node(*id), told(stage.plan, *id));
        let twin = old.iter().position(|(id, _)| {
            let before = was.plan.node(*id);
            before.identity == node.identity
        });
        match twin.map(|at| old.remove(at).0) {
            Some(id) if told(was.plan, id) != here => says.push(format!("{here} was {}", told(was.plan, id))),
            Some(_) => says.push(format!("{here} changed")),
            None => says.push(format!("{here} is new")),
        }
    }
    says.extend(old.iter().map(|(id, _)| format!("{} is gone", told(was.plan, *id))));
    match says.as_slice() {
        [] => "what comes in is put together otherwise".into(),
        [one] => format!("what comes in means something else: {one}"),
        [one, rest @ ..] => format!("what comes in means something else: {one}, and {} more", rest.len()),
    }
}

/// "`where amount > 3` of `paid`"; of a source its name.
fn told(plan: &Plan, id: NodeId) -> String {
    const LONG: usize = 100;
    let node = plan.node(id);
    match &node.work {
        Work::Source(endpoint) => format!("source `{}` ({})", node.stream, definition(endpoint)["kind"]),
        Work::Table(_) => format!("table `{}`", node.stream),
        _ => {
            let text = node.explain();
            let text = if text.len() > LONG { node.word().to_owned() } else { text };
            format!("`{text}` of `{}`", node.stream)
        }
    }
}

fn starts_empty(stage: &Stateful<'_>) -> Vec<String> {
    if stage.memory.minor { Vec::new() } else { vec!["starts empty".into()] }
}

/// A stage that looks like one that is not there any more.
fn moved(was: &Stateful<'_>, stage: &Stateful<'_>) -> Entry {
    let moved = parts(&was.memory, &stage.memory);
    let moved = (!moved.in_place()).then_some(moved);
    let mut entry = Entry::plain(Kind::State, stage.identity(), Verdict::Decision, Vec::new());
    entry.hand = Hand::State(was.identity().to_owned(), moved);
    if stage.memory.minor {
        entry.verdict = Verdict::Kept;
        return entry;
    }
    entry.says.push(format!("moved from `{}`?", was.identity()));
    entry.says.push("`keep` takes that state over; `reset` puts it aside and starts empty".into());
    entry.says.push("with `named` a state keeps its name wherever its stage goes".into());
    entry.answers = vec![Answer::Keep, Answer::Reset];
    entry
}

/// A stage that was there some time ago, and whose state still is.
fn back(stage: &Stateful<'_>, aside: &Aside<'_>) -> Option<Entry> {
    let (_, plan) = aside.iter().find(|(identity, _)| *identity == stage.identity())?;
    let before = stateful(plan);
    let was = before.iter().find(|was| was.identity() == stage.identity())?;
    let (differs, fits) = difference(was, stage);
    if !fits || stage.memory.minor {
        return None;
    }
    let moved = parts(&was.memory, &stage.memory);
    let other = !moved.in_place() || was.memory.spans != stage.memory.spans;
    let mut entry = Entry::plain(Kind::State, stage.identity(), Verdict::Decision, differs);
    entry.hand = Hand::State(was.identity().to_owned(), other.then_some(moved));
    entry.says.push("was put aside: `keep` takes it back as it was then, `reset` starts empty".into());
    entry.answers = vec![Answer::Keep, Answer::Reset];
    Some(entry)
}

fn gone(was: &Stateful<'_>) -> Entry {
    let mut entry = Entry::plain(Kind::State, was.identity(), Verdict::Archived, Vec::new());
    if was.memory.minor {
        return entry;
    }
    entry.says.push("its stage is gone; confirm that what it remembers is put aside for an hour".into());
    entry.answers = vec![Answer::Reset];
    entry
}

impl Stateful<'_> {
    fn identity(&self) -> &str {
        &self.plan.node(self.id).identity
    }

    /// Whether it may be the same stage under another name.
    fn is_like(&self, other: &Stateful<'_>) -> bool {
        self.plan.node(self.id).word() == other.plan.node(other.id).word()
            && self.memory.facts == other.memory.facts
            && self.input == other.input
    }
}
