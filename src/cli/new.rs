//! `millstream new`: a folder with a pipeline that checks and runs, its sample data and a test block.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::args::New;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};

/// What a new folder holds.
const FILES: [(&str, &str); 2] =
    [("pipeline.stream", include_str!("new/pipeline.stream")), ("data/orders.json", include_str!("new/orders.json"))];

/// Writes the files, unless there is something already.
pub(crate) fn new(args: &New, terminal: &mut Terminal) -> Outcome {
    let dir = &args.dir;
    let shown = dir.display();
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(Failure::new(format!("folder `{shown}` is not empty: name one that does not exist yet")));
        }
        Ok(false) => {}
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        Err(refused) => return Err(Failure::of(dir, &refused)),
    }
    for (name, text) in FILES {
        write_new(&dir.join(name), text).map_err(|refused| Failure::of(&dir.join(name), &refused))?;
        writeln!(terminal.out(), "{shown}/{name}")?;
    }
    writeln!(terminal.out(), "\nnext:\n  millstream check {shown}/pipeline.stream")?;
    writeln!(terminal.out(), "  millstream test {shown}/pipeline.stream")?;
    writeln!(terminal.out(), "  millstream run {shown}/pipeline.stream --once")?;
    Ok(Exit::Clean)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}
