//! `tumbling(1m)`: windows back to back; with a zone by the calendar there.

use std::str::FromStr;

use crate::plan::catalog::{Doc, OptionKind, OptionSpec, WindowEntry};
use crate::plan::seams::{Length, Window};
use crate::plan::{OptionValue, Settings};

const DAY: i64 = 86_400_000_000;

/// What `tumbling` is.
pub fn entry() -> WindowEntry {
    let doc = Doc::new("tumbling", "windows back to back", "tumbling(LENGTH[, start OFFSET][, zone \"ZONE\"])")
        .details(
            "Counted from 1970 UTC (plus the offset). With a zone, days, weeks (from Monday), months and years are \
             those of the calendar there, so a day may have 23 or 25 hours; `1mo` and `1y` want a zone.",
        )
        .example("aggregate count() as n by page over tumbling(1m)")
        .example("aggregate sum(amount) as revenue over tumbling(1d, zone \"Europe/Berlin\")")
        .alias("tumble")
        .alias("fixed");
    let args = vec![OptionSpec::required("length", OptionKind::Period, "how long a window is")];
    let labels = vec![
        OptionSpec::with_default(
            "start",
            OptionKind::Duration,
            "0s",
            "how long after 1970 (or midnight) the first one starts",
        ),
        OptionSpec::optional("zone", OptionKind::Text, "the zone whose calendar counts, e.g. \"Europe/Berlin\""),
    ];
    WindowEntry { doc, args, labels, plan }
}

fn plan(settings: &Settings) -> Result<Window, String> {
    let zone = settings.text("zone").map(str::to_owned);
    if let Some(zone) = &zone {
        chrono_tz::Tz::from_str(zone).map_err(|_| format!("has the zone \"{zone}\", which does not exist"))?;
    }
    let length = match settings.get("length") {
        Some(OptionValue::Months(0)) => return Err("needs a length longer than nothing".into()),
        Some(OptionValue::Months(_)) if zone.is_none() => {
            return Err("needs a zone for months and years, e.g. zone \"UTC\"".into());
        }
        Some(OptionValue::Months(months)) => Length::Months(*months),
        Some(OptionValue::Duration(micros)) if *micros > 0 => fixed(*micros, zone.is_some())?,
        _ => return Err("needs a length longer than 0s".into()),
    };
    let start = settings.duration("start").unwrap_or(0);
    let start = if let Length::Fixed(length) = length { start.rem_euclid(length) } else { start };
    Ok(Window::Tumbling { length, start, zone })
}

/// A length without months; by the calendar where there is a zone.
fn fixed(micros: i64, calendar: bool) -> Result<Length, String> {
    if !calendar {
        return Ok(Length::Fixed(micros));
    }
    match u32::try_from(micros / DAY) {
        Ok(days) if micros % DAY == 0 => Ok(Length::Days(days)),
        _ => Err("takes a zone for whole days only".into()),
    }
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;

    fn window(length: OptionValue, zone: Option<&str>) -> Result<Window, String> {
        let mut settings = Settings::default();
        settings.set("length", length, Span::default());
        if let Some(zone) = zone {
            settings.set("zone", OptionValue::Text(zone.into()), Span::default());
        }
        plan(&settings)
    }

    #[test]
    fn days_in_a_zone_are_the_calendars() {
        let days = window(OptionValue::Duration(7 * DAY), Some("Europe/Berlin"));
        let zone = Some("Europe/Berlin".to_owned());
        assert_eq!(days, Ok(Window::Tumbling { length: Length::Days(7), start: 0, zone }));
        let fixed = window(OptionValue::Duration(DAY), None);
        assert_eq!(fixed, Ok(Window::Tumbling { length: Length::Fixed(DAY), start: 0, zone: None }));
    }

    #[test]
    fn months_want_a_zone_and_hours_do_not() {
        assert!(window(OptionValue::Months(1), None).is_err());
        assert!(window(OptionValue::Months(1), Some("UTC")).is_ok());
        assert!(window(OptionValue::Duration(DAY / 24), Some("UTC")).is_err());
    }

    #[test]
    fn a_zone_must_exist() {
        assert!(window(OptionValue::Duration(DAY), Some("Europe/Berlino")).is_err());
    }
}
