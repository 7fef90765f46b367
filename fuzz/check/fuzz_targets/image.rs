//! A copy of a checkpoint that somebody has changed, with a sum that is right, is refused or read: no panic, and no more memory
//! than there are bytes. Copies hold the same frames as commits and snapshots, and are read by the same reader.
//!
//! The input is a list of edits of a copy that `checkpoint export` wrote, so that it needs no corpus to get far.
#![no_main]

use std::io::Cursor;

use crc32c::crc32c;
use libfuzzer_sys::fuzz_target;
use millstream::engine::Copied;

/// Of the checkpoint in `tests/checkpoints`.
const GENUINE: &[u8] = include_bytes!("../../seeds/image/copy");

/// How many bytes its sum has, and the line in front that names the version.
const SUM: usize = 4;
const LINE: u8 = b'\n';

// Arrow may panic where it is caught; libfuzzer's own hook would end the process there already.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |edits: &[u8]| {
    let mut bytes = GENUINE[..GENUINE.len() - SUM].to_vec();
    let front = bytes.iter().position(|byte| *byte == LINE).map_or(0, |end| end + 1);
    let mut edits = edits;
    while let Some((edit, rest)) = edits.split_first_chunk::<8>() {
        edits = rest;
        change(&mut bytes, front, *edit);
    }
    bytes.extend(crc32c(&bytes).to_le_bytes());
    if let Ok(copied) = Copied::read(Cursor::new(bytes)) {
        let mut again = Vec::new();
        copied.write(&mut again).expect("what was read can be written");
    }
});

/// Makes one edit behind the first line: what, where, and a value.
fn change(bytes: &mut Vec<u8>, front: usize, [what, a, b, c, values @ ..]: [u8; 8]) {
    let place = front + usize::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]) % (bytes.len() - front + 1);
    let end = (place + 4).min(bytes.len());
    match what % 6 {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, values[0]),
        2 if place < bytes.len() => bytes[place] = values[0],
        3 => drop(bytes.splice(place..end, values)),
        4 if place < bytes.len() => drop(bytes.remove(place)),
        _ => {
            let end = (place + usize::from(values[0])).min(bytes.len());
            let copy = bytes[place..end].to_vec();
            bytes.splice(place..place, copy);
        }
    }
}
