//! Reads a pipeline file and everything it imports. The only place where texts of pipelines come off the disk;
//! what they mean is not its business.

mod pattern;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use millstream_dsl::{Diagnostic, FileId, ast};

use crate::check::{Program, ProgramFile};

pub use pattern::unmatched_patterns;
pub use text::{Form, Refused, STDIN, parse, plain_words, print, read_text};

/// Reads `path` (`-`: standard input) and its imports, each file once. Mistakes in syntax and imports come along;
/// where the file itself cannot be read the program has no files.
pub fn program(path: &Path) -> (Program, Vec<Diagnostic>) {
    let mut loader = Loader::default();
    match read_text(path) {
        Ok(text) => {
            let id = loader.program.sources.add(path.display().to_string(), text);
            loader.read(path, id);
        }
        Err(refused) => {
            let refused = refused.diagnostic(&mut loader.program.sources, path);
            loader.problems.push(refused);
        }
    }
    loader.program.incomplete = loader.problems.iter().any(Diagnostic::is_error);
    (loader.program, loader.problems)
}

/// Reads a text that lies in no file; imports and other relative paths start from the current folder.
pub fn text(text: &str) -> (Program, Vec<Diagnostic>) {
    let mut loader = Loader::default();
    let id = loader.program.sources.add("pipeline", text);
    loader.read(Path::new("pipeline.stream"), id);
    loader.program.incomplete = loader.problems.iter().any(Diagnostic::is_error);
    (loader.program, loader.problems)
}

/// Reads texts that were kept: by path, the pipeline file first. What they import is among them.
pub fn kept(texts: &[(PathBuf, String)]) -> (Program, Vec<Diagnostic>) {
    let mut loader = Loader { kept: Some(texts.to_vec()), ..Loader::default() };
    if let Some((path, text)) = texts.first() {
        let id = loader.program.sources.add(path.display().to_string(), text.as_str());
        loader.read(path, id);
    }
    loader.program.incomplete = loader.problems.iter().any(Diagnostic::is_error);
    (loader.program, loader.problems)
}

#[derive(Default)]
struct Loader {
    program: Program,
    /// The texts to read instead of those on the disk.
    kept: Option<Vec<(PathBuf, String)>>,
    problems: Vec<Diagnostic>,
    /// By real path, so that two spellings are one file; the position in `program.files`.
    known: Vec<(PathBuf, usize)>,
    /// The files that are being read, outermost first, each with its import statement that led on.
    open: Vec<(usize, ast::At)>,
}

impl Loader {
    /// Reads a text that is in the source map already, then its imports. The position in `program.files`.
    fn read(&mut self, path: &Path, id: FileId) -> usize {
        let text = self.program.sources.get(id).map(|f| f.text.clone()).unwrap_or_default();
        let parsed = parse(&text, id, Form::of(path));
        self.problems.extend(parsed.problems);
        let position = self.program.files.len();
        let imports = import_statements(&parsed.tree);
        self.program.files.push(ProgramFile { id, path: path.to_path_buf(), tree: parsed.tree, imports: Vec::new() });
        self.known.push((real_path(path), position));
        for wanted in imports {
            self.open.push((position, wanted.at));
            let found = self.import(path, &wanted);
            self.open.pop();
            self.program.files[position].imports.push(found);
        }
        position
    }

    fn text(&self, path: &Path) -> Result<String, Refused> {
        let Some(kept) = &self.kept else { return read_text(path) };
        let text = kept.iter().find(|(known, _)| known == path).map(|(_, text)| text.clone());
        text.ok_or_else(|| Refused::Io(io::ErrorKind::NotFound.into()))
    }

    /// The file that an import statement asks for, read now unless it has been read before.
    fn import(&mut self, importing: &Path, wanted: &ast::Text) -> Option<usize> {
        let path = importing.parent().unwrap_or(Path::new("")).join(&wanted.value);
        let real = real_path(&path);
        if let Some((_, position)) = self.known.iter().find(|(known, _)| *known == real) {
            let position = *position;
            return if self.refuse_cycle(position, wanted) { None } else { Some(position) };
        }
        match self.text(&path) {
            Ok(text) => {
                let id = self.program.sources.add(path.display().to_string(), text);
                Some(self.read(&path, id))
            }
            Err(text::Refused::Io(error)) => {
                let message = format!("imported file `{}` cannot be read", wanted.value);
                let problem = Diagnostic::error("import-missing", *wanted.at, message).label(plain_words(&error));
                let help =
                    format!("paths start from the folder of the importing file; looked for `{}`", path.display());
                self.problems.push(problem.help(help));
                None
            }
            Err(refused) => {
                let problem = refused.diagnostic(&mut self.program.sources, &path).also(*wanted.at, "imported here");
                self.problems.push(problem);
                None
            }
        }
    }

    /// Reports an import of a file that is being read, i.e. that imports the importing file.
    fn refuse_cycle(&mut self, position: usize, wanted: &ast::Text) -> bool {
        let Some(start) = self.open.iter().position(|(file, _)| *file == position) else { return false };
        let message = format!("importing `{}` leads back to this file", wanted.value);
        let problem = Diagnostic::error("import-cycle", *wanted.at, message).label("closes the circle");
        let chain = &self.open[start..self.open.len() - 1];
        let problem = chain.iter().fold(problem, |problem, (_, at)| problem.also(**at, "leads here"));
        self.problems.push(problem.help("move what both files need into a third one that imports neither"));
        true
    }
}

fn import_statements(tree: &ast::File) -> Vec<ast::Text> {
    let imports = tree.statements.iter().filter_map(|statement| match &statement.kind {
        ast::StatementKind::Import { path } => Some(path.clone()),
        _ => None,
    });
    imports.collect()
}

/// The path without detours; as it is written where there is no such file.
fn real_path(path: &Path) -> PathBuf {
    let real: io::Result<PathBuf> = path.canonicalize();
    real.unwrap_or_else(|_| path.to_path_buf())
}
