//! How a batch gets into the database: one transaction that locks the mark, writes the rows and sets the mark. Rows that
//! the database refuses are found by halving, and the others go in.

use std::collections::BTreeMap;

use crate::connect::postgres::{Server, Session, Target, Trouble, failed};
use crate::model::Schema;
use crate::plan::operator::TaskError;
use crate::plan::seams::Giver;
use crate::sinks::postgres::statements::{MARKS, Shape, lock, mark, set_mark};

/// Rows by number, each with why it is refused.
pub(super) type Refused = BTreeMap<usize, String>;

/// A table, and the way to it.
pub(super) struct Base {
    server: Server,
    shape: Shape,
    /// The columns before those with parts became JSON.
    original: Schema,
    create: bool,
    giver: Giver,
    session: Option<Session>,
    /// The table's columns, once it was seen that the rows fit.
    targets: Vec<Target>,
}

impl Base {
    pub(super) fn new(server: Server, shape: Shape, original: Schema, create: bool) -> Self {
        Base { server, shape, original, create, giver: Giver::default(), session: None, targets: Vec::new() }
    }

    pub(super) fn marks_as(&mut self, giver: &Giver) {
        self.giver = giver.clone();
    }

    /// Looks whether the rows fit the table, the first time.
    pub(super) fn ready(&mut self) -> Result<(), TaskError> {
        if self.targets.is_empty() { self.with("use postgres", |_, _| Ok(())) } else { Ok(()) }
    }

    /// The newest batch of this history that is in the table.
    pub(super) fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        let giver = self.giver.clone();
        let found = self.with("read the mark in postgres", |session, _| session.run(&mark(&giver)))?;
        Ok(found.first().and_then(|row| Mark::of(row)).and_then(|mark| mark.batch_of(&giver)))
    }

    /// Writes a batch, unless it is there; gives the rows that were refused when it was.
    pub(super) fn deliver(&mut self, batch: u64, rows: usize, copied: &[u8]) -> Result<Refused, TaskError> {
        let giver = self.giver.clone();
        let written = self.with("write to postgres", |session, base| {
            match base.attempt(session, &giver, (batch, rows), copied, false) {
                Err(trouble) if trouble.is_about_rows() => {
                    session.run("rollback")?;
                    base.attempt(session, &giver, (batch, rows), copied, true)
                }
                other => other,
            }
        });
        if written.is_err() {
            // The table may be another one by now.
            self.targets.clear();
        }
        written
    }

    /// Uses the session, made anew where there is none; one that met trouble is not used again.
    fn with<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&mut Session, &Attempt<'_>) -> Result<T, Trouble>,
    ) -> Result<T, TaskError> {
        let mut session = match self.session.take() {
            Some(session) if !self.targets.is_empty() => session,
            _ => {
                let mut session = Session::begin(&self.server).map_err(|t| failed("connect to postgres", &t))?;
                self.look(&mut session)?;
                session
            }
        };
        let attempt = Attempt { shape: &self.shape, targets: &self.targets };
        let done = work(&mut session, &attempt).map_err(|trouble| failed(doing, &trouble))?;
        self.session = Some(session);
        Ok(done)
    }

    /// Whether everything is there that is needed, and fits.
    fn look(&mut self, session: &mut Session) -> Result<(), TaskError> {
        let name = &self.shape.table;
        let marks = session.run(MARKS);
        // Two that make it at the same time: one of them is told so.
        marks.or_else(|t| if t.code() == "23505" { session.run(MARKS) } else { Err(t) }).map_err(|trouble| {
            failed("make the table `millstream_delivered`, which marks what was written", &trouble)
        })?;
        if self.create {
            let made = session.run(&self.shape.create(&self.original));
            made.map_err(|trouble| failed(&format!("make the table `{name}`"), &trouble))?;
        }
        let looking = |trouble: Trouble| failed(&format!("look at the table `{name}`"), &trouble);
        let found = session.run(&self.shape.targets()).map_err(looking)?;
        let targets: Vec<Target> = found.into_iter().filter_map(target).collect();
        if targets.is_empty() {
            let why = format!("there is no table `{name}`; make it, or write `create: if_missing`");
            return Err(TaskError::Stop(why));
        }
        if let Some(why) = self.shape.misfits(&targets) {
            return Err(TaskError::Stop(why));
        }
        if !self.shape.key.is_empty() {
            let found = session.run(&self.shape.unique()).map_err(looking)?;
            let unique = found.first().and_then(|row| row.first()).is_some_and(|n| n.as_deref() != Some("0"));
            if !unique {
                let key = self.shape.key.join("`, `");
                let why = format!("table `{name}` has no unique index on `{key}`, by which rows are replaced");
                return Err(TaskError::Stop(why));
            }
        }
        session.run(&self.shape.stage()).map_err(|trouble| failed("make a temporary table", &trouble))?;
        self.targets = targets;
        Ok(())
    }
}

/// A batch on its way.
struct Attempt<'a> {
    shape: &'a Shape,
    targets: &'a [Target],
}

impl Attempt<'_> {
    /// One transaction, all rows at once or by halving.
    fn attempt(
        &self,
        session: &mut Session,
        giver: &Giver,
        (batch, rows): (u64, usize),
        copied: &[u8],
        halving: bool,
    ) -> Result<Refused, Trouble> {
        let found = session.run(&format!("begin; set constraints all immediate; {}", lock(giver)))?;
        let known = found.first().and_then(|row| Mark::of(row));
        if let Some(known) = known.filter(|mark| mark.batch_of(giver).is_some_and(|have| have >= batch)) {
            session.run("rollback")?;
            return Ok(if known.batch == Some(batch) { known.refused() } else { Refused::new() });
        }
        session.copy(&self.shape.copy(), copied)?;
        let clear = self.shape.clear().map(|clear| format!("{clear}; ")).unwrap_or_default();
        if !halving {
            let merge = self.shape.merge(self.targets, None);
            session.run(&format!("{clear}{merge}; {}; commit", set_mark(giver, batch, "[]")))?;
            return Ok(Refused::new());
        }
        if !clear.is_empty() {
            session.run(&clear)?;
        }
        let mut refused = Refused::new();
        self.halve(session, (0, rows.saturating_sub(1)), &mut refused)?;
        let told: Vec<(&usize, &String)> = refused.iter().collect();
        let told = serde_json::to_string(&told).map_err(|e| Trouble::Refused(e.to_string()))?;
        session.run(&format!("{}; commit", set_mark(giver, batch, &told)))?;
        Ok(refused)
    }

    /// Rows of these numbers, both included: all, or where one of them is refused its halves.
    fn halve(&self, session: &mut Session, (from, to): (usize, usize), refused: &mut Refused) -> Result<(), Trouble> {
        let merge = self.shape.merge(self.targets, Some((from, to)));
        let trouble = match session.run(&format!("savepoint half; {merge}; release savepoint half")) {
            Ok(_) => return Ok(()),
            Err(trouble) if trouble.is_about_rows() => trouble,
            Err(trouble) => return Err(trouble),
        };
        session.run("rollback to savepoint half; release savepoint half")?;
        if from >= to {
            refused.insert(from, trouble.to_string());
            return Ok(());
        }
        let middle = from + (to - from) / 2;
        self.halve(session, (from, middle), refused)?;
        self.halve(session, (middle + 1, to), refused)
    }
}

/// What the table of marks says of a sink.
struct Mark {
    history: String,
    /// None: nothing was written yet.
    batch: Option<u64>,
    rejected: String,
}

impl Mark {
    fn of(row: &[Option<String>]) -> Option<Mark> {
        let [history, batch, rejected] = row else { return None };
        let batch = batch.as_ref()?.parse().ok();
        Some(Mark { history: history.clone()?, batch, rejected: rejected.clone()? })
    }

    /// The newest batch, where it is of that history.
    fn batch_of(&self, giver: &Giver) -> Option<u64> {
        self.batch.filter(|_| self.history == giver.history)
    }

    fn refused(&self) -> Refused {
        let told: Vec<(usize, String)> = serde_json::from_str(&self.rejected).unwrap_or_default();
        told.into_iter().collect()
    }
}

fn target(row: Vec<Option<String>>) -> Option<Target> {
    let mut row = row.into_iter();
    let mut text = || row.next().flatten();
    Some(Target {
        name: text()?,
        ty: text()?,
        base: text()?,
        category: text()?,
        needed: text()? == "t",
        generated: text()? == "t",
    })
}
