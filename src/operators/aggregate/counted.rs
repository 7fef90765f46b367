//! Windows of so many rows of a key, in the order in which rows come.

use datafusion_common::HashMap;

use crate::operators::aggregate::pieces::{Cut, Piece};
use crate::operators::aggregate::store::Store;

/// Cuts a block: pieces start with the number of their window. The second is the pieces with which a window is full,
/// as rows fill them.
pub(super) fn cut(store: &Store, size: i64, keys: &[u32]) -> (Cut, Vec<usize>) {
    let mut cut = Cut { of_row: Vec::with_capacity(keys.len()), ..Cut::default() };
    let mut full = Vec::new();
    // The piece of each key at the moment, and how many rows its window has.
    let mut open: HashMap<u32, (usize, i64)> = HashMap::default();
    for key in keys {
        let (piece, rows) = open.entry(*key).or_insert_with(|| {
            let newest = store.cells_of(*key).last().map(|cell| store.heads[*cell as usize]);
            let (number, rows) = match newest {
                Some(head) if head.rows < size => (head.start, head.rows),
                Some(head) => (head.start + 1, 0),
                None => (0, 0),
            };
            cut.pieces.push(Piece { key: *key, start: number, end: number, rows: 0 });
            (cut.pieces.len() - 1, rows)
        });
        if *rows == size {
            let number = cut.pieces[*piece].start + 1;
            cut.pieces.push(Piece { key: *key, start: number, end: number, rows: 0 });
            (*piece, *rows) = (cut.pieces.len() - 1, 0);
        }
        *rows += 1;
        cut.pieces[*piece].rows += 1;
        cut.of_row.push(*piece);
        if *rows == size {
            full.push(*piece);
        }
    }
    (cut, full)
}
