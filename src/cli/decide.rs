//! `millstream decide`: answers what a saved edit of a running pipeline asks.

use std::io::Write;
use std::path::PathBuf;

use super::args;
use super::fmt::stream_files;
use super::table::aligned;
use super::terminal::Terminal;
use super::watch::waiting::{Desk, Question};
use super::{Exit, Failure, Outcome};
use crate::reload::{Answer, Answers};

/// Without answers: says what is asked. With answers: gives them to the process that runs the pipeline. A folder stands
/// for the pipeline in it that waits, or all of them where nothing is answered.
pub(crate) fn decide(args: &args::Decide, terminal: &mut Terminal) -> Outcome {
    let name = args.file.display();
    let waiting: Vec<PathBuf> = if args.file.is_dir() {
        let files = stream_files(&args.file)?;
        files.into_iter().filter(|file| !Desk::of(file).questions().is_empty()).collect()
    } else {
        vec![args.file.clone()]
    };
    let file = match waiting.as_slice() {
        [] => return Err(Failure::new(format!("`{name}` waits for no decision (is it running?)"))),
        [file] => file,
        several if args.answers.is_empty() => {
            for file in several {
                let text = format!("{}\n{}", file.display(), told(&Desk::of(file).questions()));
                terminal.out().write_all(text.as_bytes())?;
            }
            return Ok(Exit::Clean);
        }
        several => {
            let names: Vec<_> = several.iter().map(|file| format!("`{}`", file.display())).collect();
            return Err(Failure::new(format!("say which one is answered: {}", names.join(", "))));
        }
    };
    let desk = Desk::of(file);
    let questions = desk.questions();
    if questions.is_empty() {
        return Err(Failure::new(format!("`{name}` waits for no decision (is it running?)")));
    }
    if args.answers.is_empty() {
        terminal.out().write_all(told(&questions).as_bytes())?;
        return Ok(Exit::Clean);
    }
    let mut given = Vec::new();
    for text in &args.answers {
        let (name, answer) = Answers::read(text).map_err(Failure::new)?;
        fits(&questions, &name, answer)?;
        given.push((name, answer));
    }
    desk.answer(&given).map_err(|e| Failure::of(file, &e))?;
    let open = |question: &&Question| given.iter().all(|(name, _)| *name != question.name && name != "all");
    let left: Vec<_> = questions.into_iter().filter(|question| open(&question)).collect();
    if !left.is_empty() {
        terminal.out().write_all(format!("still to be answered:\n{}", told(&left)).as_bytes())?;
    }
    Ok(Exit::Clean)
}

/// Refuses what nobody asked and what cannot be answered.
fn fits(questions: &[Question], name: &str, answer: Answer) -> Result<(), Failure> {
    let allowed = |question: &Question| question.answers.contains(&answer.to_string());
    if name == "all" {
        return match questions.iter().find(|question| !allowed(question)) {
            None => Ok(()),
            Some(not) => Err(refused(not, answer)),
        };
    }
    let Some(question) = questions.iter().find(|question| question.name == name) else {
        let names: Vec<_> = questions.iter().map(|question| format!("`{}`", question.name)).collect();
        return Err(Failure::new(format!("`{name}` is not asked for; asked is {}", names.join(", "))));
    };
    if allowed(question) { Ok(()) } else { Err(refused(question, answer)) }
}

fn refused(question: &Question, answer: Answer) -> Failure {
    let instead = question.answers.join("` or `");
    let why = match (answer, &question.hindrance) {
        (Answer::Drain, Some(why)) => format!(": {why}"),
        _ => String::new(),
    };
    Failure::new(format!("`{}` cannot be answered with `{answer}`{why}; answer `{instead}`", question.name))
}

fn told(questions: &[Question]) -> String {
    let row = |question: &Question| {
        let answers = format!("{}={}", question.name, question.answers.join("|"));
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (i, says) in question.says.iter().enumerate() {
            rows.push(vec![if i == 0 { answers.clone() } else { String::new() }, says.clone()]);
        }
        if rows.is_empty() { vec![vec![answers]] } else { rows }
    };
    aligned(&questions.iter().flat_map(row).collect::<Vec<_>>(), "")
}
