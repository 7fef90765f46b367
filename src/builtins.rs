//! The one list of everything a pipeline may use.

use std::sync::Arc;

use crate::plan::Catalog;
use crate::{formats, functions, operators, sinks, sources, windows};

/// Every word there is.
pub fn catalog() -> Catalog {
    Catalog {
        stages: stages(),
        sources: shared(sources::entries()),
        sinks: shared(sinks::entries()),
        formats: shared(formats::entries()),
        windows: windows(),
        functions: functions::scalars(),
        inferred: <_>::default(),
        aggregates: functions::aggregates(),
    }
}

fn shared<E>(entries: Vec<E>) -> Vec<Arc<E>> {
    entries.into_iter().map(Arc::new).collect()
}

fn stages() -> Vec<Arc<crate::plan::StageEntry>> {
    let entries = vec![
        operators::r#where::entry(),
        operators::select::entry(),
        operators::extend::entry(),
        operators::drop::entry(),
        operators::rename::entry(),
        operators::explode::entry(),
        operators::aggregate::entry(),
        operators::window::entry(),
        operators::join::entry(),
        operators::cogroup::entry(),
        operators::union::entry(),
        operators::distinct::entry(),
        operators::dedupe::entry(),
        operators::sort::entry(),
        operators::limit::entry(),
        operators::top::entry(),
        operators::sample::entry(),
        operators::repartition::entry(),
        operators::fold::entry(),
        operators::split::entry(),
        operators::meter::entry(),
        operators::through::entry(),
        operators::tap::entry(),
    ];
    entries.into_iter().map(Arc::new).collect()
}

fn windows() -> Vec<Arc<crate::plan::WindowEntry>> {
    let entries = vec![
        windows::tumbling::entry(),
        windows::sliding::entry(),
        windows::session::entry(),
        windows::cumulative::entry(),
        windows::count::entry(),
    ];
    entries.into_iter().map(Arc::new).collect()
}
