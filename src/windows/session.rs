//! `session(gap 30s)`: as long as rows of a key are no more than the gap apart.

use crate::plan::Settings;
use crate::plan::catalog::{Doc, OptionKind, OptionSpec, WindowEntry};
use crate::plan::seams::Window;

/// What `session` is.
pub fn entry() -> WindowEntry {
    let doc = Doc::new("session", "rows of a key that are no more than a gap apart", "session(gap DURATION)")
        .details(
            "A session ends the gap after its last row; a row at exactly that moment still belongs to it. A row between \
             two sessions joins them.",
        )
        .example("aggregate count() as clicks by user_id over session(gap 30m)")
        .alias("session_window");
    let labels = vec![OptionSpec::required("gap", OptionKind::Duration, "the longest pause within a session")];
    WindowEntry { doc, args: vec![], labels, plan }
}

fn plan(settings: &Settings) -> Result<Window, String> {
    match settings.duration("gap") {
        Some(gap) if gap > 0 => Ok(Window::Session { gap }),
        _ => Err("needs a gap longer than 0s".into()),
    }
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    #[test]
    fn a_gap_lasts() {
        let mut settings = Settings::default();
        settings.set("gap", OptionValue::Duration(30), Span::default());
        assert_eq!(plan(&settings), Ok(Window::Session { gap: 30 }));
        settings.set("gap", OptionValue::Duration(0), Span::default());
        assert!(plan(&settings).is_err());
    }
}
