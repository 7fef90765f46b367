//! What becomes of sources, tables and sinks.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Plan;
use crate::plan::catalog::{Endpoint, EndpointEntry};
use crate::plan::graph::{NodeId, Work};
use crate::reload::meaning::{MANNER, definition, is_pace};
use crate::reload::{Answer, Entry, Hand, Kind, Verdict, changed};

/// A source, table or sink.
struct End<'a> {
    id: NodeId,
    name: &'a str,
    identity: &'a str,
    endpoint: &'a Endpoint,
    definition: BTreeMap<String, String>,
}

fn ends(plan: &Plan, pick: fn(&Work) -> Option<&Endpoint>) -> Vec<End<'_>> {
    let end = |id: NodeId| {
        let node = plan.node(id);
        let endpoint = pick(&node.work)?;
        let definition = definition(endpoint);
        Some(End { id, name: node.stream.as_str(), identity: &node.identity, endpoint, definition })
    };
    plan.ordered().into_iter().filter_map(end).collect()
}

fn source_of(work: &Work) -> Option<&Endpoint> {
    if let Work::Source(endpoint) = work { Some(endpoint) } else { None }
}

fn table_of(work: &Work) -> Option<&Endpoint> {
    if let Work::Table(endpoint) = work { Some(endpoint) } else { None }
}

fn sink_of(work: &Work) -> Option<&Endpoint> {
    if let Work::Sink(endpoint) = work { Some(endpoint) } else { None }
}

/// An entry for every source and table.
pub(super) fn inputs(old: &Plan, new: &Plan) -> Vec<Entry> {
    let mut entries = matched(Kind::Source, &ends(old, source_of), &ends(new, source_of));
    entries.extend(matched(Kind::Table, &ends(old, table_of), &ends(new, table_of)));
    entries
}

fn matched(kind: Kind, before: &[End<'_>], after: &[End<'_>]) -> Vec<Entry> {
    let mut used = BTreeSet::new();
    let mut entries = Vec::new();
    for end in after {
        let same = before.iter().find(|was| was.name == end.name);
        // A source that has only got another name goes on; two that are alike could not be told apart.
        let mut alike = before
            .iter()
            .filter(|was| was.definition == end.definition && after.iter().all(|other| other.name != was.name));
        let renamed = alike.next().filter(|_| alike.next().is_none());
        let twins = after.iter().filter(|other| other.definition == end.definition).count();
        match (same, renamed.filter(|_| twins == 1)) {
            (Some(was), _) => {
                used.insert(was.id);
                entries.push(if kind == Kind::Table { table(was, end) } else { source(was, end) });
            }
            (None, Some(was)) => {
                used.insert(was.id);
                let says = vec![format!("was called `{}`", was.name)];
                let hand = Hand::Same(was.name.to_owned());
                entries.push(Entry { hand, ..Entry::plain(kind, end.name, Verdict::Kept, says) });
            }
            (None, None) => entries.push(Entry::plain(kind, end.name, Verdict::New, Vec::new())),
        }
    }
    for was in before.iter().filter(|was| !used.contains(&was.id)) {
        let rewinds = matches!(&was.endpoint.entry, EndpointEntry::Source(entry) if entry.rewinds);
        let says = match (kind, rewinds) {
            (Kind::Source, false) => vec!["is closed; what it holds and no batch has taken is lost".into()],
            (Kind::Source, true) => vec!["is closed".into()],
            _ => Vec::new(),
        };
        entries.push(Entry::plain(kind, was.name, Verdict::Archived, says));
    }
    entries
}

/// Whether somebody wrote a setting, or it is one that every endpoint has.
fn said(endpoint: &Endpoint, name: &str) -> bool {
    let of_format = endpoint.format.as_ref().is_some_and(|format| format.settings.is_written(name));
    ["kind", "format", "schema", "folder"].contains(&name) || endpoint.settings.is_written(name) || of_format
}

/// The names of what differs, each with a sentence.
fn differences<'a>(was: &'a End<'_>, end: &'a End<'_>) -> Vec<(&'a str, String)> {
    let names: BTreeSet<&String> = was.definition.keys().chain(end.definition.keys()).collect();
    let differs = names.into_iter().filter(|name| was.definition.get(*name) != end.definition.get(*name));
    // Of another kind or format everything that nobody wrote is another default.
    let other = |name: &&str| was.definition.get(*name) != end.definition.get(*name);
    let defaults = ["kind", "format"].iter().any(other);
    let differs = differs.filter(|name| !defaults || said(was.endpoint, name) || said(end.endpoint, name));
    let told = |name: &'a String| {
        let text = |of: &'a End<'_>| of.definition.get(name).map(String::as_str);
        (name.as_str(), changed(name, text(was), text(end)))
    };
    differs.map(told).collect()
}

fn source(was: &End<'_>, end: &End<'_>) -> Entry {
    let mut entry = Entry::plain(Kind::Source, end.name, Verdict::Kept, Vec::new());
    entry.hand = Hand::Same(was.name.to_owned());
    let rewinds = matches!(&end.endpoint.entry, EndpointEntry::Source(entry) if entry.rewinds);
    let mut asks = false;
    for (name, change) in differences(was, end) {
        match name {
            "watermark" => {
                let delay = |of: &End<'_>| of.endpoint.settings.duration("watermark");
                if delay(end) < delay(was) {
                    entry.verdict = Verdict::Trimmed;
                    entry.says.push(format!("{change}: rows that come later than that are late from now on"));
                } else {
                    entry.says.push(format!("{change}: the watermark stands until rows are so much newer"));
                }
            }
            pace if is_pace(pace) => entry.says.push(change),
            manner if MANNER.contains(&manner) && rewinds => {
                entry.hand = Hand::Position(was.name.to_owned());
                entry.says.push(format!("{change}: is opened anew where it was read to"));
            }
            _ => {
                asks = true;
                entry.says.push(change);
            }
        }
    }
    if asks {
        entry.verdict = Verdict::Decision;
        let same_kind = was.endpoint.word == end.endpoint.word;
        if same_kind && rewinds {
            entry.hand = Hand::Position(was.name.to_owned());
            entry.says.push("`keep` reads on from the old positions; `reset` starts as the text says".into());
            entry.answers = vec![Answer::Keep, Answer::Reset];
        } else {
            entry.hand = Hand::Nothing;
            let lost = "`reset` closes the old one and opens the new one";
            entry.says.push(match rewinds {
                true => lost.into(),
                false => format!("{lost}; what the old one holds and no batch has taken is lost"),
            });
            entry.answers = vec![Answer::Reset];
        }
    }
    entry
}

fn table(was: &End<'_>, end: &End<'_>) -> Entry {
    let mut entry = Entry::plain(Kind::Table, end.name, Verdict::Kept, Vec::new());
    let differences = differences(was, end);
    if differences.is_empty() {
        entry.hand = Hand::Same(was.name.to_owned());
    } else {
        entry.says = differences.into_iter().map(|(_, change)| format!("{change}: is read anew")).collect();
    }
    entry
}

/// An entry for every sink. One that is the same, wherever it stands, goes on; one of the same place is opened anew.
pub(super) fn sinks(old: &Plan, new: &Plan) -> Vec<Entry> {
    let (before, after) = (ends(old, sink_of), ends(new, sink_of));
    let mut used = BTreeSet::new();
    let mut entries: Vec<Option<Entry>> = after.iter().map(|_| None).collect();
    let of_place = |was: &&End<'_>, end: &End<'_>| was.identity == end.identity;
    for by_place in [true, false] {
        for (end, entry) in after.iter().zip(&mut entries).filter(|(_, entry)| entry.is_none()) {
            let fits = |was: &&End<'_>| {
                let same = was.definition == end.definition && was.name == end.name;
                !used.contains(&was.id) && same && (!by_place || of_place(was, end))
            };
            if let Some(was) = before.iter().find(fits) {
                used.insert(was.id);
                let hand = Hand::Same(was.identity.to_owned());
                *entry = Some(Entry { hand, ..Entry::plain(Kind::Sink, end.identity, Verdict::Kept, Vec::new()) });
            }
        }
    }
    for (end, entry) in after.iter().zip(&mut entries).filter(|(_, entry)| entry.is_none()) {
        let was = before.iter().find(|was| !used.contains(&was.id) && of_place(was, end));
        *entry = Some(match was {
            Some(was) => {
                used.insert(was.id);
                let changes = differences(was, end).into_iter().filter(|(name, _)| *name != "schema");
                let mut says: Vec<_> = changes.map(|(_, change)| change).collect();
                says.push("opened anew with the next batch; the last one ended on the old".into());
                Entry::plain(Kind::Sink, end.identity, Verdict::Kept, says)
            }
            None => {
                let says = vec!["gets rows from the next batch on".into()];
                Entry::plain(Kind::Sink, end.identity, Verdict::New, says)
            }
        });
    }
    let mut entries: Vec<Entry> = entries.into_iter().flatten().collect();
    for was in before.iter().filter(|was| !used.contains(&was.id)) {
        let says = vec!["is closed behind the last batch; what it wrote stays".into()];
        entries.push(Entry::plain(Kind::Sink, was.identity, Verdict::Archived, says));
    }
    entries
}
