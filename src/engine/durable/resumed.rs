//! A session that goes on where a checkpoint ends, and says there what becomes of it.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;

use crate::engine::durable::image::{Owner, Piece};
use crate::engine::durable::merging::Failed;
use crate::engine::durable::snapshots::Retention;
use crate::engine::durable::{Durable, Recovered, Start, Undelivered, failed};
use crate::engine::failure::{EngineError, Failure, at};
use crate::engine::pool::Pool;
use crate::engine::program::{Held, Program};
use crate::engine::session::{Opening, Session, before_start};
use crate::engine::snapshot::State;
use crate::plan::Plan;
use crate::plan::graph::Work;
use crate::plan::operator::{Changes, SavedTable, TaskError};

impl Session {
    /// Opens a plan to go on where a checkpoint ends, and to commit every batch there.
    pub(in crate::engine) fn resume(
        plan: &Plan,
        mut opening: Opening,
        start: Start,
    ) -> Result<(Self, Vec<String>), EngineError> {
        let Start { checkpoint, text, changed } = start;
        let retention = Retention::of(&plan.header.settings);
        opening.cold.clone_from(&checkpoint.cold);
        let (mut durable, mut recovered) =
            checkpoint.begin(retention).map_err(|trouble| before_start(plan, failed(&trouble)))?;
        if let Some(durable) = &durable {
            opening.history = durable.history();
        }
        let same = recovered.text.as_ref() == Some(&text);
        let undelivered = recovered.undelivered();
        let mut notes = Vec::new();
        let Some((old, taking)) = changed else {
            let mut session = Session::open(plan, opening)?;
            let resumed = session
                .go_on_from_checkpoint(&mut recovered, false)
                .and_then(|()| session.catch_up(undelivered, durable.as_mut(), &mut notes))
                .and_then(|()| session.keep(durable, &text, same))
                .and_then(|()| session.program.ack_known());
            resumed.map_err(|failure| session.failed(failure))?;
            session.forget_logs();
            return Ok((session, notes));
        };
        // By the old text only what was committed is delivered; nothing is read.
        let before = Opening { queued: true, sinks: !undelivered.is_empty(), ..opening.clone() };
        let mut session = Session::open_but(&old, before, idle_sinks(&old, &undelivered))?;
        let resumed = session
            .go_on_from_checkpoint(&mut recovered, true)
            .and_then(|()| session.catch_up(undelivered, durable.as_mut(), &mut notes));
        resumed.map_err(|failure| session.failed(failure))?;
        session.opening = opening;
        session.text = recovered.text.take().unwrap_or_default();
        let taking = taking.anew();
        notes.extend(session.switch(plan, &taking)?.notes);
        // The old text only told what there was: it cannot be gone back to.
        session.stays();
        session.came_of_it();
        let kept = session.keep(durable, &text, false).and_then(|()| session.program.ack_known());
        kept.map_err(|failure| session.failed(failure))?;
        session.forget_logs();
        Ok((session, notes))
    }

    /// The same for programs, which are told nothing of what was still to be delivered.
    pub fn open_at(plan: &Plan, opening: Opening, start: Start) -> Result<Self, EngineError> {
        let (session, notes) = Session::resume(plan, opening, start)?;
        notes.iter().for_each(|note| tracing::info!("{note}"));
        Ok(session)
    }

    /// Whether what it remembers outlives the process.
    pub(in crate::engine) fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    /// Another text runs from now on.
    pub(in crate::engine) fn runs_by(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.durable.take().map_or(Ok(()), |durable| self.keep(Some(durable), text, false))
    }

    /// Logs of sources that are not there any more go, once no text is taken back that has them.
    pub(in crate::engine) fn forget_logs(&mut self) {
        if let (false, Some(durable)) = (self.is_tried(), &mut self.durable) {
            self.program.forget_logs(&mut durable.logs);
        }
    }

    /// Commits every batch from now on, where there is a place for it. `text`: what runs now, `same` as before or not.
    fn keep(&mut self, durable: Option<Durable>, text: &[u8], same: bool) -> Result<(), Failure> {
        self.text = text.to_vec();
        let Some(mut durable) = durable else { return Ok(()) };
        // A log must be known before anything is in it.
        let (clock, stop) = (&*self.opening.clock, &self.stopping);
        durable.limit(self.program.state_limit);
        let has_new_logs = self.program.keep_received(&mut durable.logs, clock, stop)?;
        if !same || has_new_logs {
            let head = self.program.head(self.number, self.last, &self.carry.marks);
            let as_before = std::mem::take(&mut self.told);
            let mut all = self.program.everything(head, &self.carry, durable.told(), as_before)?;
            let aside = self.saved_aside().map_err(at(usize::MAX))?.into_iter();
            all.tables.extend(
                aside.map(|(identity, State { word, tables })| (Owner::Aside(identity), word, Changes::All(tables))),
            );
            durable.say_all(text, all, &*self.opening.clock, &self.stopping).map_err(at(usize::MAX))?;
        }
        self.program.track();
        self.told = self.program.keyed().map(|(node, _)| self.program.nodes[node].identity.clone()).collect();
        self.durable = Some(durable);
        Ok(())
    }

    fn go_on_from_checkpoint(&mut self, recovered: &mut Recovered, whole: bool) -> Result<(), Failure> {
        let mut loading = Loading { program: &mut self.program, pool: &self.pool, now: None, loaded: BTreeSet::new() };
        let snapshot = recovered.snapshot(&mut |piece| loading.take(piece).map_err(Failed::Task));
        loading.end().map_err(at(usize::MAX))?;
        self.told = loading.loaded;
        let unread = |why| at(usize::MAX)(TaskError::Stop(format!("the checkpoint cannot be read: {why}")));
        self.go_on_from(snapshot.map_err(unread)?, whole)
    }

    /// Delivers what was committed before the process ended, and may not have been delivered.
    fn catch_up(
        &mut self,
        undelivered: Vec<Undelivered>,
        durable: Option<&mut Durable>,
        notes: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let Some(durable) = durable else { return Ok(()) };
        let committed = self.number;
        let mut carry = std::mem::take(&mut self.carry);
        let (program, means) = self.split();
        let caught = program.catch_up(committed, undelivered, &mut carry, durable, notes, &means);
        self.carry = carry;
        caught
    }
}

/// Gives operators what they remembered, as it is read.
struct Loading<'a> {
    program: &'a mut Program,
    pool: &'a Pool,
    /// Whose it is and which table; none where nobody is there for it.
    now: Option<(String, String, usize)>,
    loaded: BTreeSet<String>,
}

impl Loading<'_> {
    fn take(&mut self, piece: Piece) -> Result<(), TaskError> {
        match piece {
            Piece::Owner(owner, word) => {
                self.end()?;
                let Owner::State(identity) = owner else { return Ok(()) };
                let is_there = self.program.nodes.iter().any(|node| node.identity == identity && node.word == word);
                self.now = is_there.then(|| (identity, String::new(), 0));
            }
            Piece::Table(table, width) => {
                if let Some((_, name, identity)) = &mut self.now {
                    (*name, *identity) = (table, width);
                }
                self.rows(Vec::new())?;
            }
            Piece::Rows(rows) => self.rows(vec![rows])?,
        }
        Ok(())
    }

    fn rows(&mut self, rows: Vec<RecordBatch>) -> Result<(), TaskError> {
        let Some((owner, table, identity)) = &self.now else { return Ok(()) };
        let Some(keyed) = self.program.keyed_named(owner) else { return Ok(()) };
        keyed.arrive(SavedTable { name: table.clone(), identity: *identity, rows })
    }

    /// All of somebody's was read.
    fn end(&mut self) -> Result<(), TaskError> {
        let Some((owner, ..)) = self.now.take() else { return Ok(()) };
        if let Some(keyed) = self.program.keyed_named(&owner) {
            keyed.arrived(self.pool)?;
            self.loaded.insert(owner);
        }
        Ok(())
    }
}

/// The sinks of an old text that have nothing to deliver: they are not opened, should they not be there any more.
fn idle_sinks(old: &Plan, undelivered: &[Undelivered]) -> Held {
    let due: BTreeSet<&str> =
        undelivered.iter().flat_map(|of| &of.prepared).map(|prepared| prepared.sink.as_str()).collect();
    let sink = |id| match &old.node(id).work {
        Work::Sink(_) => Some(old.node(id).identity.clone()),
        Work::Source(_) | Work::Table(_) | Work::Operator(_) => None,
    };
    let sinks = old.ordered().into_iter().filter_map(sink).filter(|sink| !due.contains(sink.as_str()));
    Held { sinks: sinks.collect(), ..Held::default() }
}
