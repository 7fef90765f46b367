//! The wanted fields of flat JSON objects, and nothing else of them.

use memchr::{memchr, memchr2};

/// The values of these keys as they stand in the line, strings without their quotes; empty where a key is missing. What
/// comes behind the last wanted key is not looked at.
pub(super) fn fields<'a, const N: usize>(line: &'a [u8], wanted: &[&[u8]; N]) -> [&'a [u8]; N] {
    let mut found: [&[u8]; N] = [&[]; N];
    let (mut at, mut left) = (1, N);
    while left > 0 && line.get(at) == Some(&b'"') {
        let Some(length) = memchr(b'"', &line[at + 1..]) else { break };
        let key = &line[at + 1..at + 1 + length];
        // Behind the key's quote is a colon.
        let from = at + length + 3;
        let (value, behind) = if line.get(from) == Some(&b'"') {
            let to = end_of_string(line, from + 1);
            (&line[from + 1..to], to + 1)
        } else {
            let rest = line.get(from..).unwrap_or_default();
            let length = memchr2(b',', b'}', rest).unwrap_or(rest.len());
            (&rest[..length], from + length)
        };
        if let Some(i) = wanted.iter().position(|name| *name == key) {
            found[i] = value;
            left -= 1;
        }
        at = behind + 1;
    }
    found
}

/// Where the string ends that began before; a quote behind a backslash does not end it.
fn end_of_string(line: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(length) = memchr2(b'"', b'\\', &line[at..]) {
        if line[at + length] == b'"' {
            return at + length;
        }
        at = (at + length + 2).min(line.len());
    }
    line.len()
}

/// A decimal with at most two digits behind its point, in hundredths.
pub(super) fn cents(text: &[u8]) -> u64 {
    let (mut cents, mut behind) = (0_u64, 0);
    let mut point = false;
    for byte in text {
        match byte {
            b'.' => point = true,
            digit => {
                cents = cents * 10 + u64::from(digit.wrapping_sub(b'0'));
                behind += u32::from(point);
            }
        }
    }
    cents * [100, 10, 1][behind.min(2) as usize]
}

/// A whole number.
pub(super) fn whole(text: &[u8]) -> u64 {
    text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_fields_are_found_in_any_order() {
        let line = br#"{"a":"x, \"y\"}","b":12.5,"c":"z","d":7}"#;
        assert_eq!(fields(line, &[b"c", b"b"]), [&b"z"[..], b"12.5"]);
        assert_eq!(fields(line, &[b"d", b"a", b"e"]), [&b"7"[..], br#"x, \"y\"}"#, b""]);
    }

    #[test]
    fn decimals_are_hundredths() {
        assert_eq!([cents(b"12.34"), cents(b"12"), cents(b"0.5")], [1234, 1200, 50]);
    }
}
