//! One file off the disk as text, and text as a syntax tree by the form its name tells.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use millstream_dsl::parse::Parsed;
use millstream_dsl::{Diagnostic, FileId, SourceMap, Span, ast};

/// Stands for standard input.
pub const STDIN: &str = "-";

/// More is never read: the parser refuses longer texts by their length.
const LONGEST: u64 = 17 << 20;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.stream`
    Stream,
    /// `.yaml` or `.yml`
    Yaml,
}

impl Form {
    /// What the name of a file tells; `.stream` where it tells nothing.
    pub fn of(path: &Path) -> Form {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml") => Form::Yaml,
            _ => Form::Stream,
        }
    }
}

/// Reads a text in its form.
pub fn parse(text: &str, file: FileId, form: Form) -> Parsed<ast::File> {
    match form {
        Form::Stream => millstream_dsl::parse::file(file, text),
        Form::Yaml => millstream_dsl::yaml::read(file, text),
    }
}

/// Why a file is no text.
#[derive(Debug)]
pub enum Refused {
    /// The operating system's reason.
    Io(io::Error),
    /// It is no UTF-8.
    Encoding {
        /// The text with a replacement for what is no UTF-8.
        text: String,
        /// Where that is.
        offset: usize,
    },
}

impl Refused {
    /// The mistake, with the text as far as it can be shown added to the map.
    pub fn diagnostic(self, sources: &mut SourceMap, path: &Path) -> Diagnostic {
        let name = path.display().to_string();
        match self {
            Refused::Io(error) => {
                let file = sources.add(&name, "");
                let message = format!("file `{name}` cannot be read: {}", plain_words(&error));
                Diagnostic {
                    labels: Vec::new(),
                    ..Diagnostic::error("unreadable-file", Span::new(file, 0, 0), message)
                }
            }
            Refused::Encoding { text, offset } => {
                let file = sources.add(&name, text);
                let place = Span::new(file, offset, offset + char::REPLACEMENT_CHARACTER.len_utf8());
                Diagnostic::error("invalid-utf8", place, format!("file `{name}` is not UTF-8 text"))
                    .label("the first byte that is no character")
                    .help("save the file as UTF-8")
            }
        }
    }
}

/// The text of a file, or of standard input for `-`.
pub fn read_text(path: &Path) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    let read = if path == Path::new(STDIN) {
        io::stdin().lock().take(LONGEST).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
    };
    read.map_err(Refused::Io)?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        Refused::Encoding { text: String::from_utf8_lossy(error.as_bytes()).into_owned(), offset }
    })
}

/// An operating system's error without its number.
pub fn plain_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "it is a folder".into(),
        _ => {
            let text = error.to_string();
            let plain = text.split(" (os error").next().unwrap_or_default();
            let mut chars = plain.chars();
            chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
        }
    }
}

/// Writes a tree in a form.
pub fn print(tree: &ast::File, form: Form) -> String {
    match form {
        Form::Stream => millstream_dsl::print::file(tree),
        Form::Yaml => millstream_dsl::yaml::write(tree),
    }
}
