//! "Did you mean": the legal word that is nearest to the one that was written.

/// Names longer than this are nobody's typing slip.
const LONGEST: usize = 64;

/// The word of `legal` that is most likely meant by `wanted`; none where none is near. Words that differ in
/// upper and lower case only are nearest; the first of several equally near ones wins.
pub fn closest<'a>(wanted: &str, legal: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(wanted)?;
    let most = threshold(wanted.len());
    let mut best: Option<(usize, &'a str)> = None;
    for word in legal {
        let Some(folded) = folded(word) else { continue };
        if folded.len().abs_diff(wanted.len()) > most {
            continue;
        }
        let distance = distance(&wanted, &folded);
        if distance <= most && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word)
}

/// How many slips are forgiven in a word of so many characters.
fn threshold(length: usize) -> usize {
    match length {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    }
}

/// The characters of a word in lower case; none for words too long to compare.
fn folded(word: &str) -> Option<Vec<char>> {
    let chars: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    (chars.len() <= LONGEST).then_some(chars)
}

/// The optimal string alignment distance: characters inserted, removed, replaced, or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 6] = ["where", "select", "aggregate", "extend", "amount", "größe"];

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        for (wrong, right) in [("whree", "where"), ("selct", "select"), ("agregate", "aggregate"), ("amout", "amount")]
        {
            assert_eq!(closest(wrong, WORDS), Some(right));
        }
    }

    #[test]
    fn upper_case_is_no_difference() {
        assert_eq!(closest("WHERE", WORDS), Some("where"));
        assert_eq!(closest("Id", ["ie", "id"]), Some("id"));
    }

    #[test]
    fn words_of_several_bytes_a_character_are_compared_by_characters() {
        assert_eq!(closest("grösse", WORDS), Some("größe"));
        assert_eq!(closest("日本", ["日木"]), Some("日木"));
    }

    #[test]
    fn what_is_near_nothing_finds_nothing() {
        assert_eq!(closest("kafka", WORDS), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("", WORDS), None);
    }

    #[test]
    fn a_huge_name_costs_nothing() {
        let huge = "a".repeat(5_000_000);
        assert_eq!(closest(&huge, WORDS), None);
        assert_eq!(closest("aaaa", [huge.as_str()]), None);
    }
}
