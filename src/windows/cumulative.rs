//! `cumulative(1d, every 1h)`: growing results within windows that stand back to back.

use crate::plan::Settings;
use crate::plan::catalog::{Doc, OptionKind, OptionSpec, WindowEntry};
use crate::plan::seams::Window;

/// What `cumulative` is.
pub fn entry() -> WindowEntry {
    let doc =
        Doc::new("cumulative", "a window that grows step by step up to its length", "cumulative(LENGTH, every STEP)")
            .details("Each step gives a result over everything since the start: revenue of the day so far, every hour.")
            .example("aggregate sum(amount) as so_far over cumulative(1d, every 1h)")
            .alias("cumulate")
            .alias("expanding");
    let args = vec![OptionSpec::required("length", OptionKind::Duration, "how long until it starts anew")];
    let labels = vec![OptionSpec::required("every", OptionKind::Duration, "how often a result comes")];
    WindowEntry { doc, args, labels, plan }
}

fn plan(settings: &Settings) -> Result<Window, String> {
    let length = settings.duration("length").unwrap_or(0);
    let every = settings.duration("every").unwrap_or(0);
    if length <= 0 || every <= 0 {
        return Err("needs a length and a step longer than 0s".into());
    }
    if length % every != 0 {
        let show = crate::model::time::show_duration;
        return Err(format!(
            "needs a length that is a multiple of its step: {} is none of {}",
            show(length),
            show(every)
        ));
    }
    Ok(Window::Cumulative { length, every })
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    #[test]
    fn the_last_step_ends_with_the_window() {
        let mut settings = Settings::default();
        settings.set("length", OptionValue::Duration(60), Span::default());
        settings.set("every", OptionValue::Duration(20), Span::default());
        assert_eq!(plan(&settings), Ok(Window::Cumulative { length: 60, every: 20 }));
        settings.set("every", OptionValue::Duration(25), Span::default());
        assert_eq!(plan(&settings), Err("needs a length that is a multiple of its step: 60us is none of 25us".into()));
    }
}
