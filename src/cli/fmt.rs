//! `millstream fmt`: the one layout, for files, whole folders or standard input.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::Fmt;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use super::{findings, write};
use crate::load::{self, Form, STDIN};

/// Formats every path; a file that cannot be formatted does not keep the others from it.
pub(crate) fn fmt(args: &Fmt, terminal: &mut Terminal) -> Outcome {
    let mut worst = Exit::Clean;
    for path in &args.paths {
        let files = if path.is_dir() { stream_files(path)? } else { vec![path.clone()] };
        for file in files {
            worst = worst.max(one(&file, args.check, terminal)?);
        }
    }
    Ok(worst)
}

fn one(path: &Path, check: bool, terminal: &mut Terminal) -> Outcome {
    let form = Form::of(path);
    let read = match findings::single(path, form, terminal) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let laid_out = load::print(&read.tree, form);
    let changed = laid_out != read.text;
    if check {
        if changed {
            writeln!(terminal.out(), "{}", path.display())?;
        }
        return Ok(if changed { Exit::Mistakes } else { Exit::Clean });
    }
    if path == Path::new(STDIN) {
        terminal.out().write_all(laid_out.as_bytes())?;
    } else if changed {
        write::replace(path, &laid_out).map_err(|refused| Failure::of(path, &refused))?;
    }
    Ok(Exit::Clean)
}

/// Every `.stream` file below a folder, in order. YAML is left alone there: it may be anybody's.
pub(crate) fn stream_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|refused| Failure::of(folder, &refused))?;
    let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !path.is_symlink() && !hidden {
            files.extend(stream_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "stream") && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}
