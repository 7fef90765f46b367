//! Edits that wait for a decision, as files beside the pipeline: `.millstream/NAME.waiting` says what is asked, and
//! `.millstream/NAME.decide` what was answered. Whoever may write into the folder of the pipeline may decide.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::reload::{Answer, Answers, Changes};

/// The folder beside a pipeline in which lies what processes tell each other of it.
pub(in crate::cli) const FOLDER: &str = ".millstream";

/// The file of a pipeline file in that folder.
pub(in crate::cli) fn beside(file: &Path, ending: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.parent().unwrap_or(Path::new("")).join(FOLDER).join(format!("{name}.{ending}"))
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Question {
    /// Of which state or source.
    pub(in crate::cli) name: String,
    /// Why.
    pub(in crate::cli) says: Vec<String>,
    /// What can be answered.
    pub(in crate::cli) answers: Vec<String>,
    /// Why `drain` is not among them.
    #[serde(default)]
    pub(in crate::cli) hindrance: Option<String>,
}

/// Where the two files of a pipeline lie.
pub(in crate::cli) struct Desk {
    questions: PathBuf,
    answers: PathBuf,
}

impl Desk {
    /// Of a pipeline file.
    pub(in crate::cli) fn of(file: &Path) -> Self {
        Desk { questions: beside(file, "waiting"), answers: beside(file, "decide") }
    }

    /// Lays questions out.
    pub(in crate::cli) fn ask(&self, changes: &Changes) -> io::Result<()> {
        let question = |entry: &&crate::reload::Entry| Question {
            name: entry.name.clone(),
            says: entry.says.clone(),
            answers: entry.answers.iter().map(Answer::to_string).collect(),
            hindrance: entry.hindrance.clone(),
        };
        let questions: Vec<_> = changes.asked().iter().map(question).collect();
        // An answer to an older question is none to this one.
        self.forget_answers();
        write(&self.questions, &serde_json::to_vec_pretty(&questions)?)
    }

    /// Takes the questions away.
    pub(in crate::cli) fn clear(&self) {
        // Where there are none there is nothing to do.
        let _ = fs::remove_file(&self.questions);
        self.forget_answers();
        if let Some(folder) = self.questions.parent() {
            let _ = fs::remove_dir(folder);
        }
    }

    fn forget_answers(&self) {
        let _ = fs::remove_file(&self.answers);
    }

    /// What is asked now.
    pub(in crate::cli) fn questions(&self) -> Vec<Question> {
        let text = fs::read(&self.questions).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Lays answers beside the questions.
    pub(in crate::cli) fn answer(&self, answers: &[(String, Answer)]) -> io::Result<()> {
        let lines: String = answers.iter().map(|(name, answer)| format!("{name}={answer}\n")).collect();
        write(&self.answers, lines.as_bytes())
    }

    /// Takes the answers that were laid down. `Err` says what is wrong with them.
    pub(in crate::cli) fn answers(&self) -> Option<Result<Answers, String>> {
        let text = fs::read_to_string(&self.answers).ok()?;
        self.forget_answers();
        let mut answers = Answers::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match Answers::read(line) {
                Ok((name, answer)) => answers.give(name, answer),
                Err(why) => return Some(Err(why)),
            }
        }
        Some(Ok(answers))
    }

    /// The file that answers come in.
    pub(super) fn inbox(&self) -> &Path {
        &self.answers
    }
}

/// Whole or not at all: a reader never sees half of it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let half = path.with_extension("half");
    fs::write(&half, bytes)?;
    fs::rename(&half, path)
}
