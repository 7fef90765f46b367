//! `millstream infer`: a `type` statement for a sample of data.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use millstream_dsl::ast::{self, At, Ident, StatementKind, Trivia};

use super::args::Infer;
use super::terminal::{self, Terminal};
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::check::written;
use crate::load::{STDIN, plain_words};
use crate::model::{Slot, Type};
use crate::plan::Settings;
use crate::plan::catalog::find;
use crate::plan::sample::Sample;

/// What files of formats that carry their schema start with.
const MAGIC: [(&[u8], &str); 3] = [(b"PAR1", "parquet"), (b"Obj\x01", "avro"), (b"ARROW1", "arrow")];

/// Prints the type in the layout of `fmt`.
pub(crate) fn infer(args: &Infer, terminal: &mut Terminal) -> Outcome {
    let ty = sampled(&args.file, args.rows)?;
    let name = args.name.clone().unwrap_or_else(|| type_name(&args.file));
    let kind = StatementKind::Type { name: Ident { name, at: At::default() }, ty: written(&Slot::required(ty)) };
    let statement = ast::Statement { trivia: Trivia::default(), kind, at: At::default() };
    let text = millstream_dsl::print::file(&ast::File { statements: vec![statement], end: Vec::new() });
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn sampled(path: &Path, rows: usize) -> Result<Type, Failure> {
    let is_file = path != Path::new(STDIN);
    let front = if is_file { std::fs::read(path) } else { terminal::read_stdin() };
    let front = front.map_err(|refused| Failure::of(path, &refused))?;
    let file = is_file.then(|| File::open(path)).transpose().map_err(|refused| Failure::new(plain_words(&refused)))?;
    let place = path.display().to_string();
    let format = match MAGIC.iter().find(|(magic, _)| front.starts_with(magic)) {
        Some((_, format)) => *format,
        None => match front.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(&front).trim_ascii_start() {
            [] => return Err(Failure::new(format!("`{place}`: it is empty"))),
            [b'{' | b'[', ..] => "json",
            _ => "csv",
        },
    };
    let infer = find(&builtins::catalog().formats, format).and_then(|entry| entry.infer);
    let infer = infer.ok_or_else(|| Failure::new(format!("nothing can be seen of format `{format}`")))?;
    let sample = Sample { place, front, whole: true, file, folders: Vec::new() };
    infer(&Settings::default(), &[sample], rows).map(Type::Struct).map_err(Failure::new)
}

/// `shop-orders.json` gives `ShopOrders`.
fn type_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let words = stem.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    let name: String = words.map(capital).collect();
    if name.chars().next().is_some_and(char::is_alphabetic) { name } else { "Row".into() }
}
