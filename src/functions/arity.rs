//! How many arguments a function takes, read from how it is written: `f(a, b[, c])`.

/// How many arguments fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arity {
    /// At least.
    pub min: usize,
    /// At most; none: any number.
    pub max: Option<usize>,
}

impl Arity {
    /// Reads a usage. Commas in brackets are optional arguments, `...` is any number of them.
    pub(super) fn of(usage: &str) -> Self {
        let inside = usage.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(inside, _)| inside);
        let (mut depth, mut required, mut optional) = (0_usize, String::new(), String::new());
        for letter in inside.chars() {
            match letter {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                _ if depth == 0 => required.push(letter),
                _ => optional.push(letter),
            }
        }
        let count = |text: &str| text.split(',').filter(|part| !part.trim().is_empty()).count();
        let (min, more) = (count(&required), count(&optional));
        Arity { min, max: (!inside.contains("...")).then_some(min + more) }
    }

    /// Whether so many fit.
    pub(super) fn takes(self, count: usize) -> bool {
        count >= self.min && self.max.is_none_or(|max| count <= max)
    }

    /// "takes 2 arguments, got 3"
    pub(super) fn refuse(self, count: usize) -> String {
        let Arity { min, max } = self;
        let wants = match max {
            Some(0) => "no arguments".to_owned(),
            Some(max) if max == min => arguments(min),
            Some(max) if max == min + 1 => format!("{min} or {}", arguments(max)),
            Some(max) => format!("{min} to {}", arguments(max)),
            None => format!("at least {}", arguments(min)),
        };
        format!("takes {wants}, got {count}")
    }
}

fn arguments(count: usize) -> String {
    format!("{count} argument{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_tells_how_many_arguments_fit() {
        let cases = [
            ("pi()", 0, Some(0)),
            ("lower(str)", 1, Some(1)),
            ("lpad(str, n[, padding_str])", 2, Some(3)),
            ("regexp_instr(str, regexp[, start[, N[, flags[, subexpr]]]])", 2, Some(6)),
            ("concat(str[, ..., str_n])", 1, None),
            ("make_array([value, ...])", 0, None),
        ];
        for (usage, min, max) in cases {
            assert_eq!(Arity::of(usage), Arity { min, max }, "{usage}");
        }
    }

    #[test]
    fn a_wrong_number_of_arguments_is_said_plainly() {
        assert_eq!(Arity { min: 2, max: Some(2) }.refuse(3), "takes 2 arguments, got 3");
        assert_eq!(Arity { min: 1, max: Some(2) }.refuse(0), "takes 1 or 2 arguments, got 0");
        assert_eq!(Arity { min: 1, max: None }.refuse(0), "takes at least 1 argument, got 0");
        assert_eq!(Arity { min: 0, max: Some(0) }.refuse(1), "takes no arguments, got 1");
    }
}
