//! Entries of a program's own, put into the catalog.

use std::sync::Arc;

use crate::plan::catalog::Entry;
use crate::plan::{
    AggregateEntry, Catalog, FormatEntry, FunctionEntry, SinkEntry, SourceEntry, StageEntry, WindowEntry,
};

/// An entry that has a list in the catalog.
pub trait Listed: Entry + Sized {
    /// The list.
    fn list(catalog: &mut Catalog) -> &mut Vec<Arc<Self>>;
}

macro_rules! listed {
    ($($entry:ty: $list:ident),* $(,)?) => {$(
        impl Listed for $entry {
            fn list(catalog: &mut Catalog) -> &mut Vec<Arc<Self>> {
                &mut catalog.$list
            }
        }
    )*};
}
listed!(
    StageEntry: stages,
    SourceEntry: sources,
    SinkEntry: sinks,
    FormatEntry: formats,
    WindowEntry: windows,
    FunctionEntry: functions,
    AggregateEntry: aggregates,
);

impl Catalog {
    /// Adds a word. It takes the place of one of the same name, and of an alias.
    pub fn add<E: Listed>(&mut self, entry: E) -> &mut Self {
        let list = E::list(self);
        match list.iter_mut().find(|known| known.doc().name == entry.doc().name) {
            Some(known) => *known = Arc::new(entry),
            None => list.push(Arc::new(entry)),
        }
        self
    }
}
