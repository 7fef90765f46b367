//! `count(100)`: so many rows of a key.

use crate::plan::Settings;
use crate::plan::catalog::{Doc, OptionKind, OptionSpec, WindowEntry};
use crate::plan::seams::Window;

/// What `count` is.
pub fn entry() -> WindowEntry {
    let doc = Doc::new("count", "so many rows of a key, whatever their time", "count(ROWS)")
        .details("Needs no event time. A result comes when the key's last row of the window does.")
        .example("aggregate avg(value) as mean by sensor over count(100)")
        .alias("rows");
    let args = vec![OptionSpec::required("rows", OptionKind::Integer { min: 1, max: 1_000_000_000 }, "how many rows")];
    WindowEntry { doc, args, labels: vec![], plan }
}

fn plan(settings: &Settings) -> Result<Window, String> {
    let rows = settings.integer("rows").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
    rows.map(|rows| Window::Count { rows }).ok_or_else(|| "holds no row".into())
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    #[test]
    fn a_window_of_rows_holds_at_least_one() {
        let mut settings = Settings::default();
        settings.set("rows", OptionValue::Integer(100), Span::default());
        assert_eq!(plan(&settings), Ok(Window::Count { rows: 100 }));
        settings.set("rows", OptionValue::Integer(0), Span::default());
        assert!(plan(&settings).is_err());
    }
}
