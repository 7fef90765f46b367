//! What was read without problems is the same when it is printed and read again, in both forms; printing what was
//! printed changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millstream_dsl::{FileId, parse, print, yaml};

fuzz_target!(|text: &str| {
    let first = parse::file(FileId(0), text);
    if !first.problems.is_empty() {
        return;
    }
    let printed = print::file(&first.tree);
    let second = parse::file(FileId(0), &printed);
    assert!(second.problems.is_empty(), "{:?}\n{printed}", second.problems);
    assert_eq!(second.tree, first.tree, "{printed}");
    assert_eq!(print::file(&second.tree), printed);

    let written = yaml::write(&first.tree);
    let third = yaml::read(FileId(0), &written);
    if !third.problems.is_empty() {
        // A mapping cannot hold one name twice; that is said, and `convert` refuses it.
        assert!(third.problems.iter().all(|p| p.code == "yaml-shape"), "{:?}\n{written}", third.problems);
        return;
    }
    assert_eq!(third.tree, first.tree, "{written}");
});
