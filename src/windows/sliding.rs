//! `sliding(60s, every 10s)`: windows that overlap.

use crate::plan::Settings;
use crate::plan::catalog::{Doc, OptionKind, OptionSpec, WindowEntry};
use crate::plan::seams::Window;

/// What `sliding` is.
pub fn entry() -> WindowEntry {
    let doc = Doc::new("sliding", "overlapping windows of one length", "sliding(LENGTH, every STEP[, start OFFSET])")
        .details(
            "A window starts every step, counted from 1970 (plus the offset), so a row is in `LENGTH / STEP` windows. \
             A step longer than the length leaves rows out, which `check` warns about.",
        )
        .example("aggregate sum(amount) as revenue by category over sliding(60s, every 10s)")
        .alias("hopping")
        .alias("hop")
        .alias("slide");
    let args = vec![OptionSpec::required("length", OptionKind::Duration, "how long a window is")];
    let labels = vec![
        OptionSpec::required("every", OptionKind::Duration, "how often one starts"),
        OptionSpec::with_default("start", OptionKind::Duration, "0s", "how long after 1970 the first one starts"),
    ];
    WindowEntry { doc, args, labels, plan }
}

fn plan(settings: &Settings) -> Result<Window, String> {
    let length = settings.duration("length").unwrap_or(0);
    let every = settings.duration("every").unwrap_or(0);
    let start = settings.duration("start").unwrap_or(0);
    if length <= 0 || every <= 0 {
        return Err("needs a length and a step longer than 0s".into());
    }
    Ok(Window::Sliding { length, every, start: start.rem_euclid(every) })
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    fn settings(pairs: &[(&str, i64)]) -> Settings {
        let mut settings = Settings::default();
        for (name, micros) in pairs {
            settings.set(*name, OptionValue::Duration(*micros), Span::default());
        }
        settings
    }

    #[test]
    fn an_offset_counts_within_the_step() {
        let window = plan(&settings(&[("length", 60), ("every", 10), ("start", 25)]));
        assert_eq!(window, Ok(Window::Sliding { length: 60, every: 10, start: 5 }));
    }

    #[test]
    fn nothing_slides_by_nothing() {
        assert!(plan(&settings(&[("length", 60), ("every", 0)])).is_err());
        assert!(plan(&settings(&[("length", 0), ("every", 10)])).is_err());
    }
}
