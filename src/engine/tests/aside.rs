//! State whose stage an edit took away, on a disk and a clock of a test's own: how long it is kept, and what a crash in the
//! middle of an edit leaves of it.

use std::path::Path;
use std::sync::Arc;

use super::SECOND;
use super::crashes::{Had, TEXT, opening, plan};
use crate::engine::aside::parted;
use crate::engine::durable::image::Owner;
use crate::engine::durable::{Checkpoint, Start};
use crate::engine::{ManualClock, Session};
use crate::journal::simulated::SimulatedDisk;
use crate::optimize::optimize;
use crate::plan::memory::Taking;
use crate::reload::{Answer, Answers, compare_with};

const HOUR: i64 = 3_600 * SECOND;

/// What the stage is called.
const TOTALS: &str = "totals/aggregate/1";

/// What runs, once in each life.
struct World {
    disk: SimulatedDisk,
    had: Had,
    clock: Arc<ManualClock>,
}

fn without_totals() -> String {
    TEXT.lines().filter(|line| !line.contains("totals")).map(|line| format!("{line}\n")).collect()
}

impl World {
    fn new() -> Self {
        World { disk: SimulatedDisk::new(1), had: Had::default(), clock: Arc::new(ManualClock::at(0)) }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(self.disk.arc(), Path::new("/checkpoint"), "p").unwrap()
    }

    fn taking(&self, before: &str, text: &str, aside: &[(String, Vec<u8>)], answer: Answer) -> Taking {
        let plan = |text: &str| plan(text, &self.had, 1);
        let stood: Vec<_> = aside.iter().map(|(name, text)| (name, plan(std::str::from_utf8(text).unwrap()))).collect();
        let stood: Vec<_> = stood.iter().map(|(name, plan)| (name.as_str(), plan)).collect();
        let changes = compare_with(&plan(before), &plan(text), &stood);
        changes.settled(&Answers::of_text(Some(answer))).unwrap()
    }

    /// Goes on by a text, which may be another one than before.
    fn begin(&self, text: &str, answer: Answer) -> Session {
        let checkpoint = self.checkpoint();
        let before = checkpoint.text().map(|text| String::from_utf8(text.to_vec()).unwrap());
        let changed = before.filter(|before| before != text).map(|before| {
            let taking = self.taking(&before, text, &checkpoint.aside().unwrap(), answer);
            (optimize(plan(&before, &self.had, 1)).plan, taking)
        });
        let start = Start { checkpoint, text: text.as_bytes().to_vec(), changed };
        Session::resume(&optimize(plan(text, &self.had, 1)).plan, opening(&self.clock), start).unwrap().0
    }

    fn step(&self, session: &mut Session) {
        let time = session.next_time(crate::engine::Clock::now(&*self.clock));
        session.step(time).unwrap();
        self.clock.advance(time - crate::engine::Clock::now(&*self.clock));
    }

    /// Runs a few batches by a text and ends.
    fn live(&self, text: &str, answer: Answer) {
        let mut session = self.begin(text, answer);
        (0..3).for_each(|_| self.step(&mut session));
        session.finish().unwrap();
    }

    /// What the totals have, in the checkpoint: as state, and put aside.
    fn totals(&self) -> [usize; 2] {
        let found = self.checkpoint().found().unwrap().owned().unwrap();
        let rows = |owner: Owner| {
            let tables = found.get(&owner).map(|(_, tables)| parted(tables.clone()).0).unwrap_or_default();
            tables.iter().flat_map(|table| &table.rows).map(arrow::array::RecordBatch::num_rows).sum()
        };
        [rows(Owner::State(TOTALS.into())), rows(Owner::Aside(TOTALS.into()))]
    }
}

#[test]
fn state_that_is_put_aside_is_there_for_an_hour_and_then_gone() {
    for (minutes, stays) in [(50, true), (61, false)] {
        let world = World::new();
        world.live(TEXT, Answer::Reset);
        let [totals, none] = world.totals();
        assert!(totals > 0 && none == 0);
        world.live(&without_totals(), Answer::Reset);
        assert_eq!(world.totals(), [0, totals]);
        world.clock.advance(minutes * HOUR / 60);
        world.live(&without_totals(), Answer::Reset);
        assert_eq!(world.totals(), [0, if stays { totals } else { 0 }], "after {minutes} minutes");
        if stays {
            let session = world.begin(TEXT, Answer::Keep);
            drop(session);
            assert_eq!(world.totals(), [totals, 0]);
        } else {
            assert_eq!(world.checkpoint().aside().unwrap(), []);
        }
    }
}

#[test]
fn a_run_lets_go_of_it_after_an_hour() {
    let world = World::new();
    world.live(TEXT, Answer::Reset);
    let mut session = world.begin(&without_totals(), Answer::Reset);
    world.step(&mut session);
    assert!(session.has_aside(TOTALS));
    world.clock.advance(HOUR);
    world.step(&mut session);
    assert!(!session.has_aside(TOTALS));
    drop(session);
    assert_eq!(world.totals(), [0, 0]);
}

#[test]
fn a_crash_before_the_first_batch_of_a_text_with_a_new_sink_leaves_what_it_puts_aside() {
    let world = World::new();
    world.live(TEXT, Answer::Reset);
    let [totals, _] = world.totals();
    assert!(totals > 0);
    let mut session = world.begin(TEXT, Answer::Reset);
    let text = without_totals().replace("from windows |> into windows", "from windows |> into totals");
    let taking = world.taking(TEXT, &text, &[], Answer::Reset);
    session.switch(&optimize(plan(&text, &world.had, 1)).plan, &taking).unwrap();
    assert!(session.is_tried());
    session.runs_by(text.as_bytes()).unwrap();
    drop(session);
    world.disk.kill();
    assert_eq!(world.totals(), [0, totals]);
    drop(world.begin(TEXT, Answer::Keep));
    assert_eq!(world.totals(), [totals, 0]);
}
