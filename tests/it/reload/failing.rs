//! A sink that fails while a running pipeline is switched to a text with it: the old text goes on, with everything it
//! remembers and the sinks it has.

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use millstream::builtins;
use millstream::check::{Overrides, check};
use millstream::engine::{Opening, Session};
use millstream::load;
use millstream::optimize::optimize;
use millstream::plan::catalog::{Changes, SinkEntry};
use millstream::plan::operator::{BatchTime, NotRunnable, TaskError};
use millstream::plan::seams::{Artifact, Delivered, Sink};
use millstream::plan::{Catalog, Doc, OptionKind, OptionSpec, Plan};
use millstream::reload::{Answers, compare};

use super::draining::{all_of, begun};
use super::{Running, totals, whole};

/// The batches that each sink was given, and how many are open.
#[derive(Clone, Default)]
struct World {
    rows: Arc<Mutex<Vec<(String, usize)>>>,
    open: Arc<AtomicUsize>,
}

struct Told {
    name: String,
    reachable: bool,
    world: World,
}

impl Sink for Told {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        Ok(Artifact { bytes: Vec::new(), rows: rows.iter().map(RecordBatch::num_rows).sum() })
    }

    fn deliver(&mut self, _: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        if self.name == "full" {
            return Err(TaskError::Stop("no room is left".into()));
        }
        self.world.rows.lock().unwrap().push((self.name.clone(), artifact.rows));
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        if self.reachable { Ok(None) } else { Err(TaskError::Stop("nobody is there".into())) }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.world.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `into told("name")`; one called `broken` cannot be opened, one called `away` cannot be reached, one called `full`
/// takes no rows.
fn catalog(world: &World) -> Catalog {
    let world = world.clone();
    let mut catalog = builtins::catalog();
    catalog.sinks.push(Arc::new(SinkEntry {
        doc: Doc::new("told", "tells a test", "told(NAME)"),
        args: vec![OptionSpec::required("name", OptionKind::Text, "its name")],
        options: Vec::new(),
        takes_changes: |_| Changes::Any,
        format: None,
        guarantee: |_| String::new(),
        target: |_| None,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(move |endpoint| {
            let name = endpoint.settings.text("name").unwrap_or_default().to_owned();
            if name == "broken" {
                return Err(NotRunnable("the target is broken".into()));
            }
            world.open.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Told { reachable: name != "away", name, world: world.clone() }))
        }),
    }));
    catalog
}

fn plan(catalog: &Catalog, sinks: &[&str], added: &str) -> Plan {
    let into: String = sinks.iter().map(|name| format!("from total |> into told(\"{name}\")\n")).collect();
    let text = format!(
        "pipeline p {{ every: 1s }}\nsource ticks = generate() {{ rows_per_second: 10 }}\n\
         stream total = from ticks |> aggregate count() as n{added} running ttl 1d named total\n{into}"
    );
    let (program, problems) = load::text(&text);
    let checked = check(&program, catalog, &Overrides::new());
    let errors: Vec<_> = problems.iter().chain(&checked.problems).filter(|p| p.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    checked.plan
}

#[test]
fn a_sink_that_fails_during_the_switch_leaves_everything_as_it_was() {
    let world = World::default();
    let catalog = catalog(&world);
    let running = || plan(&catalog, &["a"], "");
    let opening = Opening { queued: false, sinks: true, ..Opening::default() };
    let mut session = Session::open(&optimize(running()).plan, opening).unwrap();
    let step = |session: &mut Session, n: i64| session.step(1_800_000_000_000_000 + n * 1_000_000).unwrap();
    step(&mut session, 0);
    let saved = session.save().unwrap();
    for bad in ["broken", "away"] {
        let next = || plan(&catalog, &["a", "b", bad], ", max(value) as top");
        let taking = compare(&running(), &next()).settled(&Answers::default()).unwrap();
        let failed = session.switch(&optimize(next()).plan, &taking).unwrap_err().to_string();
        assert!(failed.contains(if bad == "broken" { "is broken" } else { "nobody is there" }), "{failed}");
        assert_eq!(session.save().unwrap(), saved, "nothing was touched");
        assert_eq!(world.open.load(Ordering::Relaxed), 1, "what was opened for nothing is closed");
    }
    step(&mut session, 1);
    // One that is well: the old sink goes on, and is not opened a second time.
    let next = || plan(&catalog, &["a", "b"], ", max(value) as top");
    let taking = compare(&running(), &next()).settled(&Answers::default()).unwrap();
    session.switch(&optimize(next()).plan, &taking).unwrap();
    step(&mut session, 2);
    let told = world.rows.lock().unwrap().clone();
    let of = |name: &str| told.iter().filter(|(told, _)| told == name).count();
    // The first batch had no rows.
    assert_eq!((of("a"), of("b")), (2, 1), "{told:?}");
    drop(session);
    assert_eq!(world.open.load(Ordering::Relaxed), 0);
}

const TOP: &str = ", max(value) as top";

#[test]
fn a_text_whose_first_batch_fails_is_taken_back_and_the_batch_goes_by_the_old_one() {
    let start = |world: &World, catalog: &Catalog| {
        let opening = Opening { queued: false, sinks: true, ..Opening::default() };
        let running = plan(catalog, &["a"], TOP);
        (Session::open(&optimize(running).plan, opening).unwrap(), world.clone())
    };
    let step = |session: &mut Session, n: i64| session.step(1_800_000_000_000_000 + n * 1_000_000).unwrap();
    let of = |world: &World, name: &str| -> Vec<usize> {
        let told = world.rows.lock().unwrap();
        told.iter().filter(|(told, _)| told == name).map(|(_, rows)| *rows).collect()
    };
    let (still, edited) = (World::default(), World::default());
    let catalogs = (catalog(&still), catalog(&edited));
    let ((mut still, told_still), (mut session, told)) = (start(&still, &catalogs.0), start(&edited, &catalogs.1));
    let catalog = &catalogs.1;
    (0..2).for_each(|n| drop((step(&mut still, n), step(&mut session, n))));
    // Another total, a sink that works and one that does not.
    let edit = |session: &mut Session, sinks: &[&str], added: &str| {
        let (old, new) = (plan(catalog, &["a"], TOP), plan(catalog, sinks, added));
        let taking = compare(&old, &new).settled(&Answers::default()).unwrap();
        session.switch(&optimize(new).plan, &taking).unwrap();
    };
    edit(&mut session, &["a", "b", "full"], ", max(value) as top, min(value) as least");
    assert!(session.is_tried());
    drop((step(&mut still, 2), step(&mut session, 2)));
    let failed = session.came_of_it().unwrap().unwrap_err().to_string();
    assert!(failed.contains("no room is left"), "{failed}");
    assert!(!session.is_tried() && session.came_of_it().is_none());
    assert!(session.save().unwrap() == still.save().unwrap(), "as if nothing had been saved");
    drop((step(&mut still, 3), step(&mut session, 3)));
    assert!(session.save().unwrap() == still.save().unwrap());
    assert_eq!(of(&told, "a"), of(&told_still, "a"), "its rows went out once");
    assert_eq!(told.open.load(Ordering::Relaxed), 1);
    // What went out in the place of an old sink does not go out there a second time.
    edit(&mut session, &["x", "full"], TOP);
    step(&mut session, 4);
    assert!(session.came_of_it().unwrap().is_err());
    assert_eq!((of(&told, "x").len(), of(&told, "a").len()), (1, of(&told_still, "a").len()));
    step(&mut session, 5);
    assert_eq!(of(&told, "a").len(), of(&told_still, "a").len() + 1);
    // Columns that the old text did not read want another source; the old one reads that batch's rows with the next.
    edit(&mut session, &["a", "full"], ", max(value) as top, max(ts) as newest");
    (6..8).for_each(|n| drop(step(&mut session, n)));
    assert!(session.came_of_it().unwrap().is_err());
    (4..8).for_each(|n| drop(step(&mut still, n)));
    assert!(session.save().unwrap() == still.save().unwrap(), "and no row is lost");
    // One that works stays.
    edit(&mut session, &["a", "b"], TOP);
    step(&mut session, 8);
    assert!(session.came_of_it().unwrap().is_ok());
    step(&mut session, 9);
    assert_eq!(of(&told, "b").len(), 3, "one of them before it was taken back");
}

/// A sink where nobody listens any more.
fn refusing() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("from total |> into http(\"http://{address}/x\") {{ retries: 2, backoff: 20ms }}\n")
}

#[test]
fn a_new_sink_that_takes_no_row_is_taken_back_and_no_row_is_lost() {
    let running = Running::start(&totals("", "", ""), &[]);
    running.save(&(totals("", ", min(value) as least", "") + &refusing()));
    running.until_said("the new text cannot be run, the old one goes on", 1);
    let before = running.out().lines().count();
    running.until("more rows", || running.out().lines().count() > before + 5);
    running.save(&totals("", ", sum(value) as s", ""));
    running.until_applied(1);
    let (said, out) = running.end();
    assert_eq!(said.matches("the new text runs from batch").count(), 1, "{said}");
    whole(&out);
}

#[test]
fn with_a_checkpoint_a_batch_that_was_taken_back_is_there_once_even_after_a_kill() {
    let text = |added: &str| {
        let text = totals("", added, "").replace("every: 50ms", "every: 50ms, checkpoint: \"state\"");
        let text = text.replace("ttl 1d", "ttl 1d emit all").replace(" |> where op == \"+\"", "");
        text.replace("console { format: csv }", "files(\"out\") { format: csv, header: false }")
    };
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), text("")).unwrap();
    let lines = |running: &Running| all_of(&running.folder.path().join("out")).lines().count();
    let more = |running: &Running| {
        let before = lines(running);
        running.until("more rows", || lines(running) > before + 5);
    };
    let mut running = begun(folder);
    more(&running);
    running.save(&(text(", min(value) as least") + &refusing()));
    running.until_said("the new text cannot be run, the old one goes on", 1);
    more(&running);
    running.signal("-KILL");
    running.child.wait().unwrap();
    let folder = std::mem::replace(&mut running.folder, tempfile::TempDir::new().unwrap());
    fs::write(folder.path().join("p.stream"), text("")).unwrap();
    let running = begun(folder);
    more(&running);
    let out = all_of(&running.folder.path().join("out"));
    whole(&out);
    let said = running.said();
    assert!(!said.contains("has changed since the last run"), "{said}");
}

#[test]
fn a_batch_that_was_taken_back_and_not_delivered_is_delivered_once_by_the_next_run() {
    // The sink that goes on fails as soon as the new one has, so that the run ends between the two.
    const KEPT: &str = "#!/bin/sh\ntest -e fail && exit 1\ncat >> out.csv\n";
    const NEW: &str = "#!/bin/sh\ntouch fail\nexit 1\n";
    let text = |added: &str| {
        let text = totals("", added, "").replace("every: 50ms", "every: 50ms, checkpoint: \"state\"");
        let text = text.replace("ttl 1d", "ttl 1d emit all").replace(" |> where op == \"+\"", "");
        text.replace(
            "console { format: csv }",
            "exec(\"sh\") { args: [\"kept.sh\"], format: csv, header: false, retries: 0 }",
        )
    };
    let folder = tempfile::TempDir::new().unwrap();
    for (name, text) in [("p.stream", text("")), ("kept.sh", KEPT.into()), ("new.sh", NEW.into())] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let out = |running: &Running| fs::read_to_string(running.folder.path().join("out.csv")).unwrap_or_default();
    let more = |running: &Running| {
        let before = out(running).lines().count();
        running.until("more rows", || out(running).lines().count() > before + 5);
    };
    let mut running = begun(folder);
    more(&running);
    let new = "from total |> into exec(\"sh\") { args: [\"new.sh\"], format: csv, retries: 0 }\n";
    running.save(&(text(", min(value) as least") + new));
    assert_eq!(running.child.wait().unwrap().code(), Some(1), "{}", running.said());
    let folder = std::mem::replace(&mut running.folder, tempfile::TempDir::new().unwrap());
    fs::remove_file(folder.path().join("fail")).unwrap();
    fs::write(folder.path().join("p.stream"), text("")).unwrap();
    let running = begun(folder);
    more(&running);
    let out = out(&running);
    whole(&out);
    let numbers: Vec<_> = out.lines().collect();
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "no batch is there twice: {out}");
}
