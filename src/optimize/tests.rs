//! Each rule over small pipelines: `tests/cases/rules/RULE/WHAT.stream` lies next to the plan before the rule, what the
//! rule said, and the plan behind it (`BLESS=1` writes it anew). Rules that come before it are applied first. A line
//! `# watched: a, b` names streams that somebody looks at. What stands in `head.stream` comes before every case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_dsl::Diagnostic;

use super::*;
use crate::check::{Program, ProgramFile};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/rules")
}

/// The plan of a text.
fn plan(text: &str) -> Plan {
    let text = fs::read_to_string(cases().join("head.stream")).unwrap() + text;
    let mut program = Program::default();
    let id = program.sources.add("p.stream", text.as_str());
    let parsed = crate::load::parse(&text, id, crate::load::Form::Stream);
    assert!(!parsed.problems.iter().any(Diagnostic::is_error), "{:#?}", parsed.problems);
    program.files.push(ProgramFile { id, path: "p.stream".into(), tree: parsed.tree, imports: Vec::new() });
    let checked = crate::check::check(&program, &crate::builtins::catalog(), &BTreeMap::new());
    let errors: Vec<_> = checked.problems.iter().filter(|p| p.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    checked.plan
}

/// What a rule makes of a text.
fn by(rule: &str, text: &str) -> String {
    let watched = text.lines().find_map(|line| line.strip_prefix("# watched: ")).unwrap_or_default();
    let watched: Vec<&str> = watched.split(", ").collect();
    let watched = Watched(&|name| watched.contains(&name));
    let mut plan = plan(text);
    let before_all = sink_inputs(&plan);
    let at = RULES.iter().position(|r| r.name == rule).unwrap_or_else(|| panic!("rule `{rule}` does not exist"));
    for earlier in &RULES[..at] {
        (earlier.apply)(&mut plan, &watched);
    }
    let before = plan.to_string();
    let remarks = (RULES[at].apply)(&mut plan, &watched);
    assert_eq!(before_all, sink_inputs(&plan));
    assert_eq!(sound::broken(&plan), None, "{plan}");
    let said = remarks.iter().map(|r| format!("{} {}\n", if r.fired { "+" } else { "-" }, r.text));
    format!("--- before ---\n{before}--- said ---\n{}--- after ---\n{}", said.collect::<String>(), plan)
}

#[test]
fn every_rule_makes_of_a_plan_what_lies_next_to_it() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for rule in RULES {
        let folder = cases().join(rule.name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "stream")) {
            count += 1;
            let found = by(rule.name, &fs::read_to_string(file).unwrap());
            let expected = file.with_extension("out");
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &found).unwrap();
            } else if fs::read_to_string(&expected).unwrap_or_default() != found {
                wrong.push(format!("{}:\n{found}", file.display()));
            }
        }
    }
    assert!(count >= RULES.len(), "a rule has no case");
    assert!(wrong.is_empty(), "BLESS=1 writes anew what is right:\n{}", wrong.join("\n"));
}
