//! Row-wise operators in a row, run block by block without waiting for each other.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::engine::blocks::bytes_of;
use crate::engine::clock::Clock;
use crate::engine::failure::{Failure, at, sampled};
use crate::engine::flow::Parts;
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
    /// What leaves its end the straight way, in the parts the rows came in.
    pub(super) rows: Parts,
    /// What leaves its operators otherwise.
    pub(super) sides: Vec<(usize, Port, RecordBatch)>,
    /// What became of the rows of each operator.
    pub(super) counts: Vec<LinkCount>,
}

/// What became of the rows that went into an operator of a chain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LinkCount {
    pub(super) rows_in: u64,
    /// Rows that came out the straight way.
    pub(super) rows_out: u64,
    pub(super) bytes_out: u64,
    pub(super) handed: u64,
    pub(super) filtered: u64,
    pub(super) taken: u64,
    pub(super) took: Duration,
}

impl ChainOut {
    fn of(links: usize) -> Self {
        ChainOut { counts: vec![LinkCount::default(); links], ..ChainOut::default() }
    }

    fn absorb(&mut self, part: usize, one: One) {
        self.rows[part].extend(one.rows);
        self.sides.extend(one.sides);
        for (sum, more) in self.counts.iter_mut().zip(one.counts) {
            sum.rows_in += more.rows_in;
            sum.rows_out += more.rows_out;
            sum.bytes_out += more.bytes_out;
            sum.handed += more.handed;
            sum.filtered += more.filtered;
            sum.taken += more.taken;
            sum.took += more.took;
        }
    }
}

/// Runs all blocks through all links; results in the order of the blocks, whatever the threads.
pub(super) fn run(
    links: &[Link],
    parts: Parts,
    batch: &BatchTime,
    pool: &Pool,
    clock: &dyn Clock,
) -> Result<ChainOut, Failure> {
    let first = links.first().map_or(0, |link| link.node);
    let mut all = ChainOut::of(links.len());
    all.rows = vec![Vec::new(); parts.len()];
    let blocks: Vec<_> =
        parts.into_iter().enumerate().flat_map(|(part, blocks)| blocks.into_iter().map(move |b| (part, b))).collect();
    let results = pool.map(blocks, |(part, block)| Ok((part, one(links, block, batch, clock)))).map_err(at(first))?;
    for (part, result) in results {
        all.absorb(part, result?);
    }
    Ok(all)
}

/// What came of one block.
struct One {
    rows: Vec<RecordBatch>,
    sides: Vec<(usize, Port, RecordBatch)>,
    counts: Vec<LinkCount>,
}

fn one(links: &[Link], block: RecordBatch, batch: &BatchTime, clock: &dyn Clock) -> Result<One, Failure> {
    let mut out = One { rows: vec![block], sides: Vec::new(), counts: vec![LinkCount::default(); links.len()] };
    for (link, count) in links.iter().zip(&mut out.counts) {
        let started = clock.ticks();
        for block in std::mem::take(&mut out.rows) {
            count.rows_in += block.num_rows() as u64;
            let evaluated = guarded(|| link.task.eval(&block, batch)).map_err(|e| at(link.node)(sampled(e, &block)))?;
            count.filtered += evaluated.filtered as u64;
            count.taken += evaluated.taken as u64;
            let mut went = 0;
            for (port, rows) in evaluated.rows {
                if rows.num_rows() == 0 {
                    continue;
                }
                went += if matches!(port, Port::Out | Port::Branch(_)) { rows.num_rows() } else { 0 };
                if port == Port::Out {
                    count.rows_out += rows.num_rows() as u64;
                    count.bytes_out += bytes_of(&rows);
                    out.rows.push(rows);
                } else {
                    out.sides.push((link.node, port, rows));
                }
            }
            count.handed += evaluated.handed.unwrap_or(went) as u64;
        }
        count.took += clock.ticks().saturating_sub(started);
    }
    Ok(out)
}
