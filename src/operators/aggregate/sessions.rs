//! Sessions: pieces of blocks that touch each other, or what is remembered, become one.

use datafusion_common::HashMap;

use crate::operators::aggregate::pieces::Piece;
use crate::operators::aggregate::shown::Shown;
use crate::operators::aggregate::store::Store;
use crate::operators::known::Timers;
use crate::plan::operator::TaskError;

/// Finds the cell of each piece. Sessions that a piece joins become one: the oldest cell takes the others in, and what
/// was shown of them is taken back with it. A piece touches a session when it starts no later than this ends.
pub(super) fn joined(
    store: &mut Store,
    shown: Option<&mut Shown>,
    timers: &mut Timers,
    pieces: &[Piece],
) -> Result<Vec<u32>, TaskError> {
    let fresh = store.heads.len() as u32;
    let mut moved: HashMap<u32, u32> = HashMap::default();
    let mut old: Vec<u32> = Vec::new();
    let mut cells = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let touches = |cell: &u32| {
            let head = &store.heads[*cell as usize];
            piece.start <= head.end && head.start <= piece.end
        };
        let touching: Vec<u32> = store.cells_of(piece.key).iter().copied().filter(touches).collect();
        let Some(survivor) = touching.iter().copied().min() else {
            let cell = store.add(piece.key, piece.start, piece.end);
            timers.set(piece.end, cell);
            cells.push(cell);
            continue;
        };
        let (mut start, mut end, mut rows) = (piece.start, piece.end, 0);
        for cell in &touching {
            let head = store.heads[*cell as usize];
            (start, end) = (start.min(head.start), end.max(head.end));
            if *cell != survivor {
                rows += head.rows;
                moved.insert(*cell, survivor);
                old.extend((*cell < fresh).then_some(*cell));
                store.forget(*cell);
            }
        }
        let head = &mut store.heads[survivor as usize];
        (head.start, head.end, head.rows) = (start, end, head.rows + rows);
        cells.push(survivor);
    }
    if !moved.is_empty() {
        take_in(store, shown, &moved, &old)?;
    }
    Ok(cells.into_iter().map(|cell| last(&moved, cell)).collect())
}

/// Where a cell went in the end.
fn last(moved: &HashMap<u32, u32>, mut cell: u32) -> u32 {
    while let Some(to) = moved.get(&cell) {
        cell = *to;
    }
    cell
}

fn take_in(
    store: &mut Store,
    shown: Option<&mut Shown>,
    moved: &HashMap<u32, u32>,
    old: &[u32],
) -> Result<(), TaskError> {
    let targets: Vec<u32> = old.iter().map(|cell| last(moved, *cell)).collect();
    let states = store.states(old)?;
    store.merge(&states, &targets.iter().map(|cell| *cell as usize).collect::<Vec<_>>())?;
    let straight: HashMap<u32, u32> = old.iter().copied().zip(targets).collect();
    for (_, _, kept) in store.keeping() {
        kept.move_rows(&straight);
    }
    if let Some(shown) = shown {
        old.iter().for_each(|cell| shown.move_to((0, *cell), straight[cell]));
    }
    Ok(())
}
