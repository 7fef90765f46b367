//! What is done when a running pipeline's text is saved: on a thread of its own it is read, checked and compared with
//! what runs; the run only finds a plan that is ready. A text with mistakes is told of once, and the old one goes on.

pub(super) mod draining;
mod files;
pub(super) mod record;
pub(super) mod waiting;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millstream_dsl::SourceMap;

use super::findings::{self, Findings};
use super::kept::Kept;
use super::report::Look;
use super::table::aligned;
use crate::check::{Overrides, Program};
use crate::engine::{EngineError, Handover, Reloads, Session, Switched};
use crate::metrics::Metrics;
use crate::optimize::optimize;
use crate::plan::seams::Bell;
use crate::plan::{Catalog, Plan};
use crate::reload::{Answer, Answers, Changes, Taking, Verdict, compare_with, identities};
use draining::{Draining, Switching, Texts, What};
use files::Watched;
use record::Record;
use waiting::Desk;

/// How long a text with mistakes must be still before it is believed: it may be half of one.
const HALF: Duration = Duration::from_millis(150);
/// How long a text may be missing or empty, as it is while some editors save it.
const GONE: Duration = Duration::from_secs(1);

/// What is watched, and how it is told of.
#[derive(Clone)]
pub(super) struct Watching {
    /// The pipeline file.
    pub(super) file: PathBuf,
    /// The pipeline's name.
    pub(super) pipeline: String,
    /// Parameters from the command line.
    pub(super) overrides: Overrides,
    /// How diagnostics look.
    pub(super) look: Look,
    /// Says something beside the output, with its line ends.
    pub(super) say: Arc<dyn Fn(&str) + Send + Sync>,
    /// Becomes true when it is to be read anew whatever the files look like (SIGHUP).
    pub(super) again: Arc<AtomicBool>,
    /// Where it is counted what became of edits.
    pub(super) metrics: Metrics,
    /// The words, and what was inferred of sources.
    pub(super) catalog: Catalog,
    /// Where it is said what runs.
    pub(super) record: Arc<Record>,
    /// Whether a file that is gone is told of here.
    pub(super) gone_is_told: bool,
}

/// The running pipeline's text under watch; ends with its value.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a run before left behind.
#[derive(Default)]
pub(super) struct Before {
    /// Windows of a text before that are still open.
    pub(super) draining: Option<Draining>,
    /// State that is put aside: its identity, and the text in which its stage stands.
    pub(super) aside: Vec<(String, Kept)>,
}

/// A checked text.
struct Text {
    plan: Plan,
    program: Program,
}

/// What the run and the thread have in common.
struct Shared {
    state: Mutex<State>,
    watching: Watching,
    /// Rung when a plan is ready.
    bell: Bell,
    /// The run is over.
    over: AtomicBool,
}

struct State {
    /// What runs.
    running: Arc<Text>,
    ready: Option<Ready>,
    /// What is being switched to.
    switching: Option<Switching>,
    /// Windows of the text before that are still open.
    draining: Option<Draining>,
    /// State that was put aside: its identity, and the text in which its stage stands.
    aside: Vec<(String, Arc<Text>)>,
}

struct Ready {
    what: What,
    text: Arc<Text>,
}

impl Watching {
    /// Counts what became of an edit, and whether what is on disk is what runs.
    fn count(&self, outcome: &str, reason: &str) {
        self.metrics.reload(&self.pipeline, outcome, reason);
        self.metrics.current(&self.pipeline, matches!(outcome, "applied" | "same"));
    }
}

impl Watch {
    /// Starts to watch a pipeline that runs by these texts, which have no mistakes, and with these parameters.
    pub(super) fn start(watching: Watching, program: Program, set: &Overrides, before: Before) -> Self {
        let catalog = watching.catalog.clone();
        let plan = findings::plan_of(&program, &catalog, set);
        watching.metrics.current(&watching.pipeline, true);
        let running = Arc::new(Text { plan, program });
        let Before { draining, aside } = before;
        let of = |(name, kept): (String, Kept)| {
            let found = kept.find(&watching.file, &catalog);
            let whole = found.counts().errors == 0;
            let plan = found.plan.filter(|_| whole)?;
            Some((name, Arc::new(Text { plan, program: found.program })))
        };
        let aside = aside.into_iter().filter_map(of).collect();
        let shared = Arc::new(Shared {
            state: Mutex::new(State { running: running.clone(), ready: None, switching: None, draining, aside }),
            watching: watching.clone(),
            bell: Bell::default(),
            over: AtomicBool::new(false),
        });
        let mut files = Watched::new();
        let desk = Desk::of(&watching.file);
        files.set(watched(&watching, &desk, &running.program.sources));
        let seen = texts(&running.program.sources);
        let thread = Reader {
            watching,
            catalog,
            shared: shared.clone(),
            files,
            desk,
            seen,
            waiting: None,
            held: None,
            wrong: false,
        };
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || thread.run());
        let thread = thread.map_err(|error| tracing::warn!(%error, "saved edits are not noticed")).ok();
        Watch { shared, thread }
    }

    /// What the run asks between two batches.
    pub(super) fn reloads(&self) -> Arc<dyn Reloads> {
        self.shared.clone()
    }

    /// The texts that run now, for messages that point into them.
    pub(super) fn sources(&self) -> SourceMap {
        self.shared.state().running.program.sources.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told of; the run is over anyway.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs, once no switch is under way.
    fn running(&self) -> Arc<Text> {
        loop {
            let state = self.state();
            if state.switching.is_none() || self.over.load(Ordering::Relaxed) {
                return state.running.clone();
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets the run find a plan. False where something else runs by now than it was compared with.
    fn offer(&self, against: &Arc<Text>, ready: Ready) -> bool {
        let mut state = self.state();
        let still = Arc::ptr_eq(&state.running, against) && state.switching.is_none() && state.draining.is_none();
        if still {
            state.ready = Some(ready);
            self.bell.ring();
        }
        still
    }
}

impl Reloads for Shared {
    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn ready(&self, session: &Session) -> Option<Handover> {
        let mut state = self.state();
        // What was put aside for too long is not offered any more.
        state.aside.retain(|(name, _)| session.has_aside(name));
        let (handover, switching) = match state.ready.take() {
            Some(Ready { what, text }) => match what.at_switch(text, session) {
                Ok(ready) => ready,
                Err(why) => {
                    drop(state);
                    self.watching.count("failed", "drain");
                    (self.watching.say)(&format!("{}: {why}; the old text goes on\n", self.watching.file.display()));
                    return None;
                }
            },
            None => {
                let over = |draining: &mut Draining| draining.is_over(session);
                let draining = state.draining.take_if(over)?;
                draining.end(state.running.clone())
            }
        };
        state.switching = Some(switching);
        Some(handover)
    }

    fn came_of_it(&self, outcome: Result<&Switched, &EngineError>, took: Duration, batch: u64) -> Vec<String> {
        let mut state = self.state();
        let Some(Switching { text, draining, ends }) = state.switching.take() else { return Vec::new() };
        let name = self.watching.file.display();
        match outcome {
            Ok(_) if ends => {
                self.watching.count("applied", "drained");
                vec![format!(
                    "{name}: the windows of the old text have ended: only the new one runs from batch {batch} on"
                )]
            }
            Ok(switched) => {
                self.watching.record.lay(&text.program);
                let before = std::mem::replace(&mut state.running, text);
                let mut gone = identities(&before.plan);
                gone.retain(|name| switched.aside.contains(name));
                state.aside.retain(|(name, _)| !gone.contains(name) && switched.aside.contains(name));
                state.aside.extend(gone.into_iter().map(|name| (name, before.clone())));
                self.watching.count("applied", "edit");
                let took = took.as_secs_f64() * 1000.0;
                let mut said =
                    vec![format!("{name}: the new text runs from batch {batch} on (switched in {took:.1} ms)")];
                said.extend(draining.iter().flat_map(Draining::told));
                state.draining = draining;
                said
            }
            Err(error) => {
                let reason = if matches!(error, EngineError::Refused(_)) { "refused" } else { "state" };
                self.watching.count("failed", reason);
                vec![format!("{name}: the new text cannot be run, the old one goes on: {error}")]
            }
        }
    }
}

/// An edit that waits for a decision.
struct Waiting {
    text: Arc<Text>,
    answers: Answers,
}

/// The thread.
struct Reader {
    watching: Watching,
    catalog: Catalog,
    shared: Arc<Shared>,
    files: Watched,
    desk: Desk,
    /// The texts that were last judged.
    seen: Vec<String>,
    waiting: Option<Waiting>,
    /// An edit that came while windows of the text before were still open.
    held: Option<Waiting>,
    /// The last answers did not fit and are forgotten.
    wrong: bool,
}

impl Reader {
    fn run(mut self) {
        // What was saved between the first reading and now.
        self.read(false);
        while !self.shared.over.load(Ordering::Relaxed) {
            let again = self.watching.again.swap(false, Ordering::Relaxed);
            if self.files.wait() || again {
                self.decided();
                self.read(again);
            }
            let is_free = || self.shared.state().draining.is_none();
            if self.held.is_some()
                && is_free()
                && let Some(edit) = self.held.take()
            {
                self.judge(&edit, true);
            }
        }
        self.desk.clear();
    }

    /// Reads and judges the text.
    fn read(&mut self, again: bool) {
        let Some(found) = self.found() else {
            if self.watching.gone_is_told {
                self.say("cannot be read any more; what runs goes on");
            }
            self.seen = Vec::new();
            self.shared.watching.count("refused", "unreadable");
            return;
        };
        let texts = texts(&found.program.sources);
        self.files.set(watched(&self.watching, &self.desk, &found.program.sources));
        if texts == self.seen {
            if again {
                self.say("is the text that runs, or was told of before");
            }
            return;
        }
        self.seen = texts;
        let errors = found.counts().errors;
        if errors > 0 {
            (self.watching.say)(&found.text(self.watching.look));
            self.say("has mistakes: the old text goes on");
            self.shared.watching.count("refused", "mistakes");
            return;
        }
        let Some(plan) = found.plan else { return };
        let text = Arc::new(Text { plan, program: found.program });
        let answers = Answers::of_text(on_change(&text.plan));
        (self.waiting, self.held) = (None, None);
        self.judge(&Waiting { text, answers }, true);
    }

    /// What is found, when it can be read: some editors take the file away for a moment, or empty it first, or write one
    /// half and then the other.
    fn found(&mut self) -> Option<Findings> {
        let started = Instant::now();
        loop {
            let found = findings::find(&self.watching.file, &self.catalog, &self.watching.overrides);
            let first = found.program.sources.iter().next();
            let empty = first.is_none_or(|(_, file)| file.text.trim().is_empty());
            let there = found.plan.is_some() && !empty;
            // What changed while it was read is read again; mistakes may be the half of a text.
            let moment = if found.counts().errors > 0 { HALF } else { Duration::ZERO };
            let patient = started.elapsed() < GONE;
            if there && (self.is_over() || !(patient && self.files.move_within(moment))) {
                return Some(found);
            }
            // A run that is over because its file is gone has nothing to say of it here.
            if !there && self.is_over() {
                return None;
            }
            if !there && !patient {
                return found.plan.is_some().then_some(found);
            }
            if !there {
                std::thread::sleep(Duration::from_millis(20));
                self.files.move_within(Duration::ZERO);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    /// Compares with what runs, and hands over, waits or does nothing.
    fn judge(&mut self, edit: &Waiting, fresh: bool) {
        loop {
            let running = self.shared.running();
            let aside = self.shared.state().aside.clone();
            let aside: Vec<_> = aside.iter().map(|(name, text)| (name.as_str(), &text.plan)).collect();
            let changes = compare_with(&running.plan, &edit.text.plan, &aside);
            if changes.same {
                self.shared.state().ready = None;
                self.desk.clear();
                self.shared.watching.count("same", "layout");
                if fresh {
                    self.say("is laid out otherwise and means the same");
                }
                return;
            }
            if self.shared.state().draining.is_some() {
                self.hold(edit);
                return;
            }
            match changes.settled(&edit.answers) {
                Err(pending) => {
                    self.wait(edit, &changes, &pending.wrong, fresh);
                    return;
                }
                Ok(taking) => {
                    if self.hand_over(edit, &running, taking, &changes, fresh) {
                        return;
                    }
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// One plan holds two texts, not three.
    fn hold(&mut self, edit: &Waiting) {
        let until = self.shared.state().draining.as_ref().map(Draining::until).unwrap_or_default();
        self.say(&format!(
            "windows of the text before are still open ({until}): what was saved now waits for their end"
        ));
        self.shared.watching.count("waits", "drain");
        self.held = Some(Waiting { text: edit.text.clone(), answers: edit.answers.clone() });
    }

    fn hand_over(
        &mut self,
        edit: &Waiting,
        running: &Arc<Text>,
        taking: Taking,
        changes: &Changes,
        fresh: bool,
    ) -> bool {
        let plan = |text: &Text| findings::plan_of(&text.program, &self.catalog, &self.watching.overrides);
        let alone = optimize(plan(&edit.text)).plan;
        let text = Kept::of(&edit.text.program, &self.watching.overrides);
        let what = if taking.drains.is_empty() {
            What::Plan(Box::new(Handover { plan: alone, taking, text: text.encode() }))
        } else {
            let before = Kept::of(&running.program, &self.watching.overrides);
            let (old, new) = (plan(running), plan(&edit.text));
            What::Both(Box::new(Texts { old, new, taking, alone, text, before }))
        };
        let ready = Ready { what, text: edit.text.clone() };
        let told = told(changes);
        if fresh && !told.is_empty() {
            let name = self.watching.file.display();
            (self.watching.say)(&format!("{name} has changed\n{told}"));
        }
        self.desk.clear();
        self.shared.offer(running, ready)
    }

    fn wait(&mut self, edit: &Waiting, changes: &Changes, wrong: &[String], fresh: bool) {
        let name = self.watching.file.display().to_string();
        self.wrong = !wrong.is_empty();
        for sentence in wrong {
            self.say(sentence);
        }
        if fresh {
            let answers: Vec<_> = changes
                .asked()
                .iter()
                .map(|entry| {
                    let answers: Vec<_> = entry.answers.iter().map(Answer::to_string).collect();
                    format!("{}={}", entry.name, answers.join("|"))
                })
                .collect();
            let how = format!("millstream decide {name} {}", answers.join(" "));
            (self.watching.say)(&format!("{name} has changed\n{}{}\n  {how}\n", told(changes), changes.when()));
            self.shared.watching.count("waits", "decision");
            if let Err(error) = self.desk.ask(changes) {
                self.say(&format!("cannot be answered beside the file ({error}): write `on_change` into it"));
            }
        }
        self.waiting = Some(Waiting { text: edit.text.clone(), answers: edit.answers.clone() });
    }

    /// Takes answers that were laid down.
    fn decided(&mut self) {
        let Some(answers) = self.desk.answers() else { return };
        match (answers, self.waiting.take()) {
            (Err(why), waiting) => {
                self.say(&why);
                self.waiting = waiting;
            }
            (Ok(_), None) => self.say("waits for no decision"),
            (Ok(answers), Some(mut waiting)) => {
                let before = waiting.answers.clone();
                waiting.answers.add(answers);
                self.judge(&waiting, false);
                if let Some(still) = self.waiting.as_mut().filter(|_| self.wrong) {
                    still.answers = before;
                }
            }
        }
    }

    fn say(&self, sentence: &str) {
        (self.watching.say)(&format!("{}: {sentence}\n", self.watching.file.display()));
    }
}

/// Every file whose text counts, and the one that answers come in.
fn watched(watching: &Watching, desk: &Desk, sources: &SourceMap) -> Vec<PathBuf> {
    let mut files = vec![watching.file.clone(), desk.inbox().to_path_buf()];
    files.extend(sources.iter().map(|(_, file)| PathBuf::from(&file.name)));
    files
}

/// The texts of all files.
fn texts(sources: &SourceMap) -> Vec<String> {
    sources.iter().map(|(_, file)| format!("{}\n{}", file.name, file.text)).collect()
}

/// The answer that the text itself gives.
pub(super) fn on_change(plan: &Plan) -> Option<Answer> {
    plan.header.settings.text("on_change")?.parse().ok()
}

/// The rows of the table that say something.
fn told(changes: &Changes) -> String {
    let entries = changes.entries.iter();
    let entries = entries.filter(|entry| entry.verdict != Verdict::Kept || !entry.says.is_empty());
    let some = Changes { entries: entries.cloned().collect(), same: changes.same };
    aligned(&some.rows(), "  ")
}
