//! The laws of the language crate, held against random trees and mangled texts: printing and reading are inverse, in
//! both spellings; printing twice is printing once; no comment is lost; every prefix of a chain is a stream; and
//! whatever is wrong, the message points into its file.
//!
//! `PROPTEST_CASES=10000 cargo test -p millstream-dsl --test laws` for a long run.

mod generate;

use generate::{Comments, file};
use millstream_dsl::ast::{Chain, File, Statement, StatementKind};
use millstream_dsl::walk::{self, Node};
use millstream_dsl::{Diagnostic, FileId, parse, print, yaml};
use proptest::prelude::*;

const FILE: FileId = FileId(0);

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
}

/// Reads text without problems.
fn read(text: &str) -> File {
    let parsed = parse::file(FILE, text);
    assert!(parsed.problems.is_empty(), "{text}\n{:#?}", parsed.problems);
    parsed.tree
}

fn comments(tree: &File) -> Vec<String> {
    let mut comments = Vec::new();
    walk::file(tree, |node| {
        if let Node::Comment(comment) = node {
            comments.push(comment.text.clone());
        }
    });
    comments
}

fn points_into(text: &str, problems: &[Diagnostic]) {
    for problem in problems {
        for label in &problem.labels {
            let range = label.span.range();
            assert!(text.get(range.clone()).is_some(), "{range:?} of {} bytes in {text:?}: {problem:?}", text.len());
        }
        for edit in &problem.edits {
            assert!(text.get(edit.span.range()).is_some(), "{text:?}: {problem:?}");
        }
    }
}

/// Damages a text: cuts, doubles and inserts at random places.
fn mangled(text: &str, damage: &[(u16, u8)]) -> String {
    const SPLINTERS: &[&str] = &[
        "", "é", "日", "🎉", "\t", "\r\n", "\n", "\u{FEFF}", "\"", "'", "{", "}", "(", "]", "|>", "#", ": ", "- ",
        "\\", "${", " ", "=", "&a ", "*a", "!t ", "---\n", "|\n", ">-\n  ", "? ", "\u{85}", "\0", "%", "stream ", "``",
        "r#\"",
    ];
    let mut text = text.to_owned();
    for (place, what) in damage {
        let mut at = usize::from(*place) * (text.len() + 1) / 65_536;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        match what % 4 {
            0 => text.truncate(at),
            1 if at < text.len() => {
                text.remove(at);
            }
            _ => text.insert_str(at, SPLINTERS[usize::from(*what) % SPLINTERS.len()]),
        }
        if text.is_empty() {
            break;
        }
    }
    text
}

/// As many cases as `PROPTEST_CASES` says; what fails is not written down, its bytes are in the message.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn printing_then_reading_is_identity(bytes in bytes()) {
        let tree = file(&bytes, Comments::Everywhere);
        let text = print::file(&tree);
        let back = read(&text);
        prop_assert!(back == tree, "{}\nis read as\n{}", text, print::file(&back));
    }

    #[test]
    fn formatting_twice_is_formatting_once_and_keeps_every_comment(bytes in bytes()) {
        let tree = file(&bytes, Comments::Everywhere);
        let text = print::file(&tree);
        prop_assert_eq!(&print::file(&read(&text)), &text);
        let kept: Vec<String> = parse::comments(&text).iter().map(|comment| comment[1..].to_owned()).collect();
        prop_assert_eq!(kept, comments(&tree));
    }

    #[test]
    fn lines_carry_no_trailing_blanks_and_the_file_ends_with_one_line_feed(bytes in bytes()) {
        let text = print::file(&file(&bytes, Comments::Everywhere));
        prop_assert!(text.lines().all(|line| line == line.trim_end()), "{}", text);
        prop_assert!(text.is_empty() || text.ends_with('\n') && !text.ends_with("\n\n"));
        prop_assert!(!text.contains("\n\n\n"), "{}", text);
    }

    #[test]
    fn stream_to_yaml_and_back_is_identity(bytes in bytes()) {
        let tree = file(&bytes, Comments::InValues);
        let text = yaml::write(&tree);
        let parsed = yaml::read(FILE, &text);
        prop_assert!(parsed.problems.is_empty(), "{}\n{:#?}", text, parsed.problems);
        prop_assert!(parsed.tree == tree, "{}\nis read as\n{}\nnot\n{}", text, print::file(&parsed.tree), print::file(&tree));
    }

    #[test]
    fn yaml_is_yaml_to_an_independent_reader(bytes in bytes()) {
        let text = yaml::write(&file(&bytes, Comments::Everywhere));
        let value = serde_yaml::from_str::<serde_yaml::Value>(&text);
        prop_assert!(value.is_ok(), "{}\n{:?}", text, value);
    }

    #[test]
    fn no_comment_is_lost_on_the_way_to_yaml(bytes in bytes()) {
        let tree = file(&bytes, Comments::Everywhere);
        let mut expected = comments(&tree);
        let text = yaml::write(&tree);
        let mut kept = comments(&yaml::read(FILE, &text).tree);
        expected.sort();
        kept.sort();
        prop_assert_eq!(kept, expected, "{}", text);
    }

    #[test]
    fn every_prefix_of_a_chain_is_a_stream(bytes in bytes()) {
        for statement in file(&bytes, Comments::Everywhere).statements {
            let StatementKind::Stream { name, chain } = statement.kind else { continue };
            for length in 0..=chain.stages.len() {
                let chain = Chain { stages: chain.stages[..length].to_vec(), ..chain.clone() };
                let kind = StatementKind::Stream { name: name.clone(), chain };
                let statement = Statement { trivia: Default::default(), kind, at: statement.at };
                let text = print::file(&File { statements: vec![statement], end: Vec::new() });
                let parsed = parse::file(FILE, &text);
                prop_assert!(parsed.problems.is_empty(), "{}\n{:#?}", text, parsed.problems);
            }
        }
    }

    #[test]
    fn whatever_is_wrong_with_a_stream_file_the_message_points_into_it(
        bytes in bytes(),
        damage in proptest::collection::vec(any::<(u16, u8)>(), 1..6),
    ) {
        let text = mangled(&print::file(&file(&bytes, Comments::Everywhere)), &damage);
        points_into(&text, &parse::file(FILE, &text).problems);
    }

    #[test]
    fn whatever_is_wrong_with_a_yaml_file_the_message_points_into_it(
        bytes in bytes(),
        damage in proptest::collection::vec(any::<(u16, u8)>(), 1..6),
    ) {
        let text = mangled(&yaml::write(&file(&bytes, Comments::Everywhere)), &damage);
        points_into(&text, &yaml::read(FILE, &text).problems);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
        points_into(&text, &parse::file(FILE, &text).problems);
        points_into(&text, &yaml::read(FILE, &text).problems);
    }

    #[test]
    fn carriage_returns_and_a_byte_order_mark_change_no_yaml_tree(bytes in bytes()) {
        let tree = file(&bytes, Comments::InValues);
        let text = format!("\u{FEFF}{}", yaml::write(&tree).replace('\n', "\r\n"));
        let parsed = yaml::read(FILE, &text);
        prop_assert!(parsed.problems.is_empty(), "{}\n{:#?}", text, parsed.problems);
        prop_assert!(parsed.tree == tree, "{}\nis read as\n{}\nnot\n{}", text, print::file(&parsed.tree), print::file(&tree));
    }
}
