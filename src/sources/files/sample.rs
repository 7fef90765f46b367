//! What `schema: infer` looks into: the first files of the pattern by name, and of each its front.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::plan::Settings;
use crate::plan::sample::Sample;
use crate::sources::files::columns::pairs;
use crate::sources::files::listing::Listing;
use crate::sources::files::opened::Packed;
use crate::sources::files::pattern::Pattern;

/// So many files are looked into.
const FILES: usize = 20;

/// So much of each, unpacked.
const FRONT: u64 = 1 << 20;

/// The fronts of files that hold something. `Err` says why there is none.
pub(super) fn samples(settings: &Settings, base: &Path) -> Result<Vec<Sample>, String> {
    let path = settings.text("path").unwrap_or_default();
    let pattern = Pattern::new(path, base, settings.flag("recursive")).map_err(|refused| refused.0)?;
    let found = Listing::new(pattern, base.to_owned(), None).look(0).unwrap_or_default();
    let mut samples = Vec::new();
    for name in found.into_keys() {
        let sample = sample(&name, settings, base).map_err(|e| format!("`{name}` cannot be read: {e}"))?;
        samples.extend((!sample.front.is_empty()).then_some(sample));
        if samples.len() == FILES {
            break;
        }
    }
    if samples.is_empty() {
        return Err(format!("no file matches `{path}` that holds something"));
    }
    Ok(samples)
}

fn sample(name: &str, settings: &Settings, base: &Path) -> std::io::Result<Sample> {
    let file = File::open(base.join(name))?;
    let packed = Packed::of(settings).unwrap_or_else(|| Packed::by_name(name));
    let unpacked: Box<dyn Read> = match packed {
        Packed::No => Box::new(file.try_clone()?),
        Packed::Gzip => Box::new(MultiGzDecoder::new(file.try_clone()?)),
        Packed::Zstd => Box::new(zstd::stream::read::Decoder::new(file.try_clone()?)?),
    };
    let mut front = Vec::new();
    unpacked.take(FRONT + 1).read_to_end(&mut front)?;
    let whole = front.len() as u64 <= FRONT;
    front.truncate(usize::try_from(FRONT).unwrap_or(usize::MAX));
    let folders = if settings.flag("hive") { pairs(name).map(|(key, _)| key.to_owned()).collect() } else { Vec::new() };
    Ok(Sample { place: name.to_owned(), front, whole, file: (packed == Packed::No).then_some(file), folders })
}
