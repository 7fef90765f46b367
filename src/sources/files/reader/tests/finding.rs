//! Which files are found, in which order, and when.

use super::*;

#[test]
fn what_may_not_be_read_is_left_out_and_read_when_it_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("a.txt");
    fs::write(&secret, "1\n").unwrap();
    fs::write(folder.path().join("b.txt"), "2\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    if File::open(&secret).is_ok() {
        // Whoever may do everything cannot try this.
        return;
    }
    let mut source = text(folder.path(), &[path("*.txt")]);
    let mut known = Positions::new();
    assert_eq!(batch(&mut *source, &mut known, limits(9)).0, ["2"]);
    assert_eq!(reasons(&mut *source), ["a.txt: it may not be read"]);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let later = Limits { now: 60_000_000, ..limits(9) };
    assert_eq!(batch(&mut *source, &mut known, later).0, ["1"]);
}

#[test]
fn start_latest_takes_what_appears_after_the_first_start_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.txt"), "1\n").unwrap();
    let start = now() + 1_000_000;
    let options = [path("*.txt"), ("start", symbol("latest"))];
    let at = |now| Limits { now, drain: false, ..limits(usize::MAX) };
    let mut known = Positions::new();
    let mut source = text(folder.path(), &options);
    assert_eq!(batch(&mut *source, &mut known, at(start)).0, Vec::<String>::new());
    assert_eq!(batch(&mut *source, &mut known, at(start + 2_000_000)).0, Vec::<String>::new());
    assert_eq!(reasons(&mut *source), ["old.txt: last changed before `start`"]);
    let new = File::create(folder.path().join("new.txt")).unwrap();
    (&new).write_all(b"2\n").unwrap();
    let time = UNIX_EPOCH + Duration::from_micros(start.unsigned_abs() + 5_000_000);
    new.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    let mut restarted = text(folder.path(), &options);
    assert_eq!(batch(&mut *restarted, &mut known, at(start + 60_000_000)).0, ["2"]);
}

#[test]
fn files_come_in_the_order_of_their_time_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (name, seconds) in [("a.txt", 30), ("b.txt", 10), ("c.txt", 20), ("d.txt", 10)] {
        let file = File::create(folder.path().join(name)).unwrap();
        (&file).write_all(format!("{name}\n").as_bytes()).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds))).unwrap();
    }
    let mut source = text(folder.path(), &[path("*.txt"), ("order", symbol("time"))]);
    assert_eq!(batch(&mut *source, &mut Positions::new(), limits(9)).0, ["b.txt", "d.txt", "c.txt", "a.txt"]);
    let backlog = source.backlog();
    assert_eq!((backlog.pieces, backlog.bytes), (Some(4), Some(24)));
}

#[test]
fn a_change_rings_and_the_folder_is_listed_before_the_next_poll() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let options = [path("in/*.txt"), ("poll", OptionValue::Duration(3_600_000_000))];
    let mut source = text(folder.path(), &options);
    let bell = Bell::default();
    source.ring(&bell);
    let mut known = Positions::new();
    let at = |now| Limits { now, drain: false, ..limits(9) };
    assert_eq!(batch(&mut *source, &mut known, at(now())).0, Vec::<String>::new());
    fs::write(folder.path().join("in/a.txt"), "1\n").unwrap();
    assert!(bell.wait(Duration::from_secs(10)), "nothing rang");
    let mut found = Vec::new();
    for _ in 0..100 {
        found.extend(batch(&mut *source, &mut known, at(now())).0);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found, ["1"]);
}

#[test]
fn without_a_watcher_the_folder_is_listed_at_every_poll() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = text(folder.path(), &[path("*.txt"), ("poll", OptionValue::Duration(1_000_000))]);
    let mut known = Positions::new();
    let at = |now| Limits { now, drain: false, ..limits(9) };
    let start = now();
    assert_eq!(batch(&mut *source, &mut known, at(start)).0, Vec::<String>::new());
    fs::write(folder.path().join("a.txt"), "1\n").unwrap();
    assert_eq!(batch(&mut *source, &mut known, at(start + 500_000)).0, Vec::<String>::new());
    assert_eq!(batch(&mut *source, &mut known, at(start + 1_000_000)).0, ["1"]);
}
