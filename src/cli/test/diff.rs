//! Rows that are not as expected, as a table: `-` for what is missing, `+` for what was not expected, and carets under
//! the cells in which two rows that are alike differ.

use unicode_width::UnicodeWidthStr;

use crate::cli::report::Look;
use crate::trial::Mismatch;
use crate::trial::compare::{Finding, Row, Wanted};

/// Longer cells are cut.
const CELL: usize = 60;

/// So many lines are shown; nobody reads on.
const LINES: usize = 60;

/// Longer runs of rows that are as expected are cut in their middle.
const RUN: usize = 5;

/// A line of the table.
struct Line {
    sign: char,
    cells: Vec<String>,
    /// Which cells have carets under them.
    wrong: Vec<bool>,
}

/// The table, each line indented.
pub(super) fn table(mismatch: &Mismatch, look: Look) -> String {
    let shown = mismatch.shown_columns();
    let mut lines = vec![Line {
        sign: ' ',
        cells: shown.iter().map(|i| mismatch.columns[*i].name.clone()).collect(),
        wrong: Vec::new(),
    }];
    let findings = &mismatch.difference.findings;
    let mut omitted = Vec::new();
    for (number, finding) in findings.iter().enumerate() {
        if lines.len() > LINES {
            omitted.push((lines.len(), format!("... and {} more", findings.len() - number)));
            break;
        }
        match hidden(findings, number) {
            Some(0) => {}
            Some(run) => omitted.push((lines.len(), format!("... {run} rows as expected"))),
            None => lines.extend(lines_of(mismatch, *finding, &shown)),
        }
    }
    drawn(mismatch, &shown, &lines, &omitted, look)
}

/// Whether a row is left out: the first of several such rows says how many they are.
fn hidden(findings: &[Finding], number: usize) -> Option<usize> {
    let kept = |finding: &&Finding| matches!(finding, Finding::Kept(_) | Finding::Other(_));
    if !kept(&&findings[number]) {
        return None;
    }
    let before = findings[..number].iter().rev().take_while(kept).count();
    let run = before + findings[number..].iter().take_while(kept).count();
    let after = run - before - 1;
    if run <= RUN || before < RUN / 2 || after < RUN / 2 {
        return None;
    }
    Some(if before == RUN / 2 { run - 2 * (RUN / 2) } else { 0 })
}

fn lines_of(mismatch: &Mismatch, finding: Finding, shown: &[usize]) -> Vec<Line> {
    let line = |sign, cells| Line { sign, cells, wrong: Vec::new() };
    let given = |sign, g: usize| line(sign, given_cells(&mismatch.given[g], shown));
    let missing = |w: usize| line('-', wanted_cells(&mismatch.wanted[w], shown));
    let pair = |sign, w: usize, g: usize| {
        let wrong = shown.iter().map(|i| differs(&mismatch.wanted[w], &mismatch.given[g], *i)).collect();
        vec![missing(w), Line { wrong, ..given(sign, g) }]
    };
    match finding {
        Finding::Kept(g) | Finding::Other(g) => vec![given(' ', g)],
        Finding::Missing(w) => vec![missing(w)],
        Finding::Unexpected(g) => vec![given('+', g)],
        Finding::Changed(w, g) => pair('+', w, g),
        Finding::Near(w, g) => pair(' ', w, g),
    }
}

fn differs(wanted: &Wanted, given: &Row, column: usize) -> bool {
    wanted.iter().any(|(i, value)| *i == column && !given.get(column).is_some_and(|cell| cell.same(value)))
}

fn given_cells(row: &Row, shown: &[usize]) -> Vec<String> {
    shown.iter().map(|i| row.get(*i).map_or_else(String::new, |value| cut(&value.to_string()))).collect()
}

/// Columns that are not written are empty.
fn wanted_cells(row: &Wanted, shown: &[usize]) -> Vec<String> {
    let cell = |i: &usize| row.iter().find(|(column, _)| column == i).map(|(_, value)| cut(&value.to_string()));
    shown.iter().map(|i| cell(i).unwrap_or_default()).collect()
}

fn drawn(mismatch: &Mismatch, shown: &[usize], lines: &[Line], omitted: &[(usize, String)], look: Look) -> String {
    let width = |i: usize| lines.iter().filter_map(|line| line.cells.get(i)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..shown.len()).map(|i| width(i).unwrap_or(0)).collect();
    let right: Vec<bool> = shown.iter().map(|i| mismatch.columns[*i].slot.ty.is_number()).collect();
    let row = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(i, cell)| {
            let gap = " ".repeat(widths[i].saturating_sub(cell.width()));
            if right[i] { gap + cell } else { cell.clone() + &gap }
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    let mut text = String::new();
    let mut push = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for (number, line) in lines.iter().enumerate() {
        omitted.iter().filter(|(at, _)| *at == number).for_each(|(_, said)| push(format!("    {said}")));
        let said = format!("  {} {}", line.sign, row(&line.cells));
        push(match line.sign {
            '-' => look.bad(said.trim_end()),
            '+' => look.good(said.trim_end()),
            _ => said,
        });
        if line.wrong.contains(&true) {
            let carets = line.cells.iter().zip(&line.wrong);
            let carets: Vec<_> =
                carets.map(|(c, wrong)| if *wrong { "^".repeat(c.width().max(1)) } else { String::new() }).collect();
            push(format!("    {}", row(&carets)));
        }
    }
    omitted.iter().filter(|(at, _)| *at == lines.len()).for_each(|(_, said)| push(format!("    {said}")));
    text
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= CELL {
        return cell.to_owned();
    }
    cell.chars().take(CELL - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, Slot, Type};
    use crate::trial::compare::{Demand, difference};
    use crate::trial::value::Value;

    const PLAIN: Look = Look { color: false, lines: false, width: 100 };

    fn row(word: &str, n: i128) -> Row {
        vec![Value::Text(word.into()), Value::Whole(n), Value::Bool(true)]
    }

    fn mismatch(demand: Demand, wanted: &[(&str, i128)], given: Vec<Row>) -> Mismatch {
        let wanted: Vec<Wanted> =
            wanted.iter().map(|(w, n)| vec![(0, Value::Text((*w).into())), (1, Value::Whole(*n))]).collect();
        let difference = difference(demand, &wanted, &given).expect("they differ");
        let column = |name: &str, ty| Column::new(name, Slot::required(ty));
        let columns = vec![column("word", Type::String), column("n", Type::Int64), column("ok", Type::Bool)];
        Mismatch { of: "`counts`".into(), demand, columns, wanted, given, difference }
    }

    #[test]
    fn missing_unexpected_and_differing_rows_have_their_signs() {
        let given = vec![row("be", 2), row("to", 12), row("日本", 1)];
        let found = mismatch(Demand::Exactly, &[("to", 2), ("be", 2), ("or", 5)], given);
        let drawn = [
            "    word     n",
            "  - \"to\"     2",
            "  + \"to\"    12",
            "            ^^",
            "    \"be\"     2",
            "  - \"or\"     5",
            "  + \"日本\"   1",
        ];
        assert_eq!(table(&found, PLAIN), drawn.join("\n") + "\n");
        assert_eq!(found.sentence(), "1 row of `counts` is not as expected, 1 is missing, 1 was not expected");
    }

    #[test]
    fn all_columns_are_shown_where_nothing_was_expected() {
        let found = mismatch(Demand::Exactly, &[], vec![row("be", 2)]);
        assert_eq!(table(&found, PLAIN), "    word  n  ok\n  + \"be\"  2  true\n");
        assert_eq!(found.sentence(), "`counts` gave 1 row, but nothing was expected");
    }

    #[test]
    fn the_nearest_row_stands_under_one_that_is_missing_among_others() {
        let found = mismatch(Demand::Contains, &[("be", 3)], vec![row("be", 2), row("to", 1)]);
        assert_eq!(table(&found, PLAIN), "    word  n\n  - \"be\"  3\n    \"be\"  2\n          ^\n    \"to\"  1\n");
        assert_eq!(found.sentence(), "`counts` gave 2 rows, but not the one that was expected");
    }

    #[test]
    fn rows_that_are_as_expected_do_not_crowd_out_the_others() {
        let wanted: Vec<(&str, i128)> = (0..100).map(|n| ("w", n)).collect();
        let mut given: Vec<Row> = (0..100).map(|n| row("w", n)).collect();
        given[50] = row("w", 1_000);
        let drawn = table(&mismatch(Demand::InOrder, &wanted, given), PLAIN);
        assert_eq!(drawn.lines().count(), 14, "{drawn}");
        assert!(drawn.contains("    ... 46 rows as expected\n"), "{drawn}");
        let many = table(&mismatch(Demand::Exactly, &[], (0..1_000).map(|n| row("w", n)).collect()), PLAIN);
        assert!(many.ends_with("    ... and 940 more\n"), "{many}");
    }

    #[test]
    fn signs_are_coloured_where_colours_are_wanted() {
        let look = Look { color: true, ..PLAIN };
        let drawn = table(&mismatch(Demand::Exactly, &[("be", 2)], vec![row("to", 1)]), look);
        assert!(drawn.contains("\x1b[31m  - \"be\"") && drawn.contains("\x1b[32m  + \"to\""), "{drawn:?}");
    }
}
