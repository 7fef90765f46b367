//! The functions of the language: DataFusion's under their own names and under Spark's, and a few of ours.
//! Each is an entry that knows its texts, its overloads and what can happen to a row in it.

mod aggregates;
mod arity;
mod borrowed;
mod bounded;
mod calendar;
mod choose;
mod clock;
pub(crate) mod coerce;
mod fact;
mod facts;
pub(crate) mod json;
mod kernel;
mod lambdas;
mod mended;
pub mod own;
mod parts;
mod reduce;
pub(crate) mod resolve;
mod settled;
mod wording;

use std::sync::Arc;

pub use aggregates::aggregates;

use crate::plan::catalog::FunctionEntry;

/// Every function of rows, by group.
pub fn scalars() -> Vec<Arc<FunctionEntry>> {
    let mut udfs = datafusion_functions::all_default_functions();
    udfs.extend(datafusion_functions_nested::all_default_nested_functions());
    let mut all: Vec<_> = facts::FAMILIES.iter().flat_map(|family| borrowed::entries(family, &udfs)).collect();
    all.extend(choose::entries());
    all.extend(clock::entries());
    all.extend(calendar::entries());
    all.extend(json::entries());
    all.extend(parts::entries());
    all.extend(lambdas::entries());
    all.push(Arc::new(reduce::entry()));
    all.sort_by(|a, b| (a.group, &a.doc.name).cmp(&(b.group, &b.doc.name)));
    all
}

#[cfg(test)]
mod tests;
