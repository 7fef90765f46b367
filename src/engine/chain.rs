//! Row-wise operators in a row, run block by block without waiting for each other.

use arrow::array::RecordBatch;

use crate::engine::failure::{Failure, at};
use crate::engine::pool::{Pool, guarded};
use crate::plan::Port;
use crate::plan::operator::{BatchTime, RowTask};

/// One operator of a chain.
pub(super) struct Link {
    /// Its place in the program.
    pub(super) node: usize,
    /// What runs.
    pub(super) task: Box<dyn RowTask>,
}

/// What came out of a chain.
#[derive(Default)]
pub(super) struct ChainOut {
    /// What leaves its end the straight way.
    pub(super) rows: Vec<RecordBatch>,
    /// What leaves its operators otherwise.
    pub(super) sides: Vec<(usize, Port, RecordBatch)>,
    /// Rows that went into each operator.
    pub(super) rows_in: Vec<u64>,
    /// Rows that came out of each operator the straight way.
    pub(super) rows_out: Vec<u64>,
    /// Rows that each operator filtered.
    pub(super) filtered: Vec<u64>,
}

impl ChainOut {
    fn of(links: usize) -> Self {
        ChainOut { rows_in: vec![0; links], rows_out: vec![0; links], filtered: vec![0; links], ..ChainOut::default() }
    }

    fn absorb(&mut self, other: ChainOut) {
        self.rows.extend(other.rows);
        self.sides.extend(other.sides);
        let add = |sum: &mut Vec<u64>, more: Vec<u64>| sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
        add(&mut self.rows_in, other.rows_in);
        add(&mut self.rows_out, other.rows_out);
        add(&mut self.filtered, other.filtered);
    }
}

/// Runs all blocks through all links; results in the order of the blocks, whatever the threads.
pub(super) fn run(
    links: &[Link],
    blocks: Vec<RecordBatch>,
    batch: &BatchTime,
    pool: &Pool,
) -> Result<ChainOut, Failure> {
    let first = links.first().map_or(0, |link| link.node);
    let results = pool.map(blocks, |block| Ok(one(links, block, batch))).map_err(at(first))?;
    let mut all = ChainOut::of(links.len());
    for result in results {
        all.absorb(result?);
    }
    Ok(all)
}

fn one(links: &[Link], block: RecordBatch, batch: &BatchTime) -> Result<ChainOut, Failure> {
    let mut out = ChainOut::of(links.len());
    let mut current = vec![block];
    for (i, link) in links.iter().enumerate() {
        let mut next = Vec::new();
        for block in current {
            out.rows_in[i] += block.num_rows() as u64;
            let evaluated = guarded(|| link.task.eval(&block, batch)).map_err(at(link.node))?;
            out.filtered[i] += evaluated.filtered as u64;
            for (port, rows) in evaluated.rows {
                if rows.num_rows() == 0 {
                    continue;
                }
                if port == Port::Out {
                    out.rows_out[i] += rows.num_rows() as u64;
                    next.push(rows);
                } else {
                    out.sides.push((link.node, port, rows));
                }
            }
        }
        current = next;
    }
    out.rows = current;
    Ok(out)
}
