//! Windows against what a calendar and a naive search say.

use chrono::DateTime;

use super::*;
use crate::plan::operator::BatchTime;

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn span(start: i64, end: i64) -> TimeSpan {
    TimeSpan { start, end }
}

fn sliding(length: i64, every: i64, start: i64) -> Spans {
    Spans::of(&Window::Sliding { length, every, start }).unwrap()
}

fn days(days: u32, start: i64, zone: &str) -> Spans {
    Spans::of(&Window::Tumbling { length: Length::Days(days), start, zone: Some(zone.into()) }).unwrap()
}

#[test]
fn an_instant_is_in_every_window_that_has_begun_and_not_ended() {
    let spans = sliding(60, 20, 5);
    assert_eq!(spans.containing(65), [span(25, 85), span(45, 105), span(65, 125)]);
    assert_eq!(spans.containing(64), [span(5, 65), span(25, 85), span(45, 105)]);
    assert_eq!(spans.containing(-1), [span(-55, 5), span(-35, 25), span(-15, 45)]);
    assert_eq!(spans.pane(64), Some(span(45, 65)));
    assert_eq!((spans.first_end(64), spans.last_end(64)), (Some(65), Some(105)));
}

#[test]
fn a_step_longer_than_the_window_leaves_gaps() {
    let spans = sliding(10, 30, 0);
    assert_eq!(spans.containing(39), [span(30, 40)]);
    assert_eq!(spans.containing(40), []);
    assert_eq!((spans.pane(40), spans.last_end(40), spans.first_end(40)), (None, None, None));
    assert_eq!(spans.ending(10, 70).collect::<Vec<_>>(), [span(30, 40), span(60, 70)]);
}

#[test]
fn questions_about_an_instant_agree_with_each_other() {
    let windows = [
        Window::Sliding { length: 60, every: 20, start: 5 },
        Window::Sliding { length: 50, every: 20, start: 0 },
        Window::Sliding { length: 7, every: 20, start: 3 },
        Window::Cumulative { length: 60, every: 15 },
        Window::Tumbling { length: Length::Fixed(25), start: 10, zone: None },
    ];
    for window in windows {
        let spans = Spans::of(&window).unwrap();
        for instant in -200..200 {
            let all = spans.containing(instant);
            let naive: Vec<_> = spans.ending(-400, 400).filter(|s| s.start <= instant && instant < s.end).collect();
            assert_eq!(all, naive, "{window} at {instant}");
            assert_eq!(spans.first_end(instant), all.first().map(|s| s.end), "{window} at {instant}");
            assert_eq!(spans.last_end(instant), all.last().map(|s| s.end), "{window} at {instant}");
            let pane = spans.pane(instant);
            assert_eq!(pane.is_some(), !all.is_empty());
            for other in pane.into_iter().flat_map(|pane| pane.start..pane.end) {
                assert_eq!(spans.containing(other), all, "{window} at {instant} and {other}");
            }
        }
    }
}

#[test]
fn cumulative_windows_share_their_start() {
    let spans = Spans::of(&Window::Cumulative { length: 60, every: 20 }).unwrap();
    assert_eq!(spans.containing(75), [span(60, 80), span(60, 100), span(60, 120)]);
    assert_eq!(spans.containing(119), [span(60, 120)]);
}

#[test]
fn days_have_23_to_25_hours_where_clocks_are_changed() {
    let spans = days(1, 0, "Europe/Berlin");
    let spring = spans.containing(at("2026-03-29T12:00:00Z"));
    assert_eq!(spring, [span(at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z"))]);
    let autumn = spans.containing(at("2026-10-25T22:59:59Z"));
    assert_eq!(autumn, [span(at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"))]);
    // Midnight itself is skipped in Sao Paulo, and shown twice in Havana.
    let skipped = days(1, 0, "America/Sao_Paulo").containing(at("2018-11-04T03:00:00Z"));
    assert_eq!(skipped, [span(at("2018-11-04T03:00:00Z"), at("2018-11-05T02:00:00Z"))]);
    let twice = days(1, 0, "America/Havana").containing(at("2026-11-01T04:00:00Z"));
    assert_eq!(twice, [span(at("2026-11-01T04:00:00Z"), at("2026-11-02T05:00:00Z"))]);
}

#[test]
fn a_day_that_never_was_holds_nothing() {
    let spans = days(1, 0, "Pacific/Apia");
    let before = spans.containing(at("2011-12-30T09:59:59Z"));
    let after = spans.containing(at("2011-12-30T10:00:00Z"));
    assert_eq!(before, [span(at("2011-12-29T10:00:00Z"), at("2011-12-30T10:00:00Z"))]);
    assert_eq!(after, [span(at("2011-12-30T10:00:00Z"), at("2011-12-31T10:00:00Z"))]);
}

#[test]
fn weeks_begin_on_monday_and_days_where_they_are_told_to() {
    let week = days(7, 0, "UTC").containing(at("2026-11-21T13:00:00Z"));
    assert_eq!(week, [span(at("2026-11-16T00:00:00Z"), at("2026-11-23T00:00:00Z"))]);
    let from_six = days(1, DAY / 4, "Europe/Berlin").containing(at("2026-01-01T04:59:00Z"));
    assert_eq!(from_six, [span(at("2025-12-31T05:00:00Z"), at("2026-01-01T05:00:00Z"))]);
}

#[test]
fn months_and_years_are_as_long_as_they_are() {
    let months = |n| {
        let zone = Some("America/New_York".to_owned());
        Spans::of(&Window::Tumbling { length: Length::Months(n), start: 0, zone }).unwrap()
    };
    let leap = months(1).containing(at("2028-02-29T12:00:00Z"));
    assert_eq!(leap, [span(at("2028-02-01T05:00:00Z"), at("2028-03-01T05:00:00Z"))]);
    let year = months(12).containing(at("1969-06-01T00:00:00Z"));
    assert_eq!(year, [span(at("1969-01-01T05:00:00Z"), at("1970-01-01T05:00:00Z"))]);
    let two: Vec<_> = months(1).ending(at("2026-01-15T00:00:00Z"), at("2026-03-01T05:00:00Z")).collect();
    assert_eq!(two.iter().map(|s| s.end).collect::<Vec<_>>(), [at("2026-02-01T05:00:00Z"), at("2026-03-01T05:00:00Z")]);
}

#[test]
fn monstrous_times_are_no_trouble() {
    for spans in [sliding(60, 10, 5), days(1, 0, "Europe/Berlin")] {
        for instant in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            spans.containing(instant);
            spans.pane(instant);
            spans.last_end(instant);
            spans.ending(instant, i64::MAX).take(3).for_each(drop);
        }
    }
}

fn step(micros: i64) -> StepTime {
    StepTime { batch: BatchTime { number: 0, micros }, ..StepTime::default() }
}

#[test]
fn windows_of_batch_time_are_counted_from_the_interval_before_the_first_batch() {
    let mut ticks = Ticks::new(&Window::Sliding { length: 30, every: 10, start: 0 }, 10);
    let due = |ticks: &Ticks, tick: Tick| ticks.spans().unwrap().ending(tick.after, tick.until).collect::<Vec<_>>();
    let first = ticks.tick(&step(107)).unwrap();
    assert_eq!(due(&ticks, first), [span(77, 107)]);
    let here = ticks.spans().unwrap().containing(first.instant);
    assert_eq!(here, [span(77, 107), span(87, 117), span(97, 127)]);
    // Two ticks were skipped: every end that fell due comes.
    let later = ticks.tick(&step(137)).unwrap();
    assert_eq!(due(&ticks, later).iter().map(|s| s.end).collect::<Vec<_>>(), [117, 127, 137]);
}

#[test]
fn batch_time_goes_on_where_it_was_saved() {
    let window = Window::Sliding { length: 30, every: 20, start: 0 };
    let mut ticks = Ticks::new(&window, 10);
    ticks.tick(&step(110)).unwrap();
    let mut again = Ticks::new(&window, 10);
    again.load(&ticks.save("clock").unwrap()).unwrap();
    assert_eq!(again.tick(&step(120)).unwrap(), ticks.tick(&step(120)).unwrap());
    let ends: Vec<_> = again.spans().unwrap().ending(100, 150).map(|s| s.end).collect();
    assert_eq!(ends, [120, 140]);
}
