//! `penstock._engine`: the native module. Thin: it carries Python objects to and from the engine, starts
//! attempts on the event loop, and holds nothing that the engine could.
//!
//! What crosses: ids, numbers, strings and tuples. Never is Python called, nor a Python object dropped,
//! while the engine's lock is held.

mod again;
mod asyncio;
mod books;
mod budgets;
mod carrier;
mod cell;
mod clock;
mod codec;
mod cold;
mod core;
mod disk;
mod durable;
mod effects;
mod faults;
mod flight;
mod forecast;
mod graph;
mod inline;
mod notes;
mod operate;
mod own_task;
mod plan;
mod pump;
mod python;
mod queries;
mod queues;
mod reader;
mod recount;
mod recovery;
mod report;
mod runs;
mod state;
mod store;
mod tags;
mod tariff;
mod values;

use pyo3::prelude::*;

/// The engine of penstock.
#[pymodule(gil_used = true)]
mod _engine {
    use penstock_engine::{NODE_STATES, NODE_TABLE, RUN_STATES, RUN_TABLE, TABLE_VERSION};
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::carrier::Carrier;
    #[pymodule_export]
    use crate::core::Core;
    #[pymodule_export]
    use crate::faults::inject_faults;
    #[pymodule_export]
    use crate::forecast::{Scenario, Simulation, play};
    #[pymodule_export]
    use crate::plan::Plan;
    #[pymodule_export]
    use crate::queues::stability;
    #[pymodule_export]
    use crate::reader::StoreReader;
    #[pymodule_export]
    use crate::tariff::Tariff;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        module.add("BUILD_PROFILE", profile)?;
        module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
        module.add("TABLE_VERSION", TABLE_VERSION)?;
        let run_states: Vec<_> = RUN_STATES.iter().map(|state| state.name()).collect();
        module.add("RUN_STATES", run_states)?;
        let node_states: Vec<_> = NODE_STATES.iter().map(|state| state.name()).collect();
        module.add("NODE_STATES", node_states)?;
        let run_table: Vec<_> =
            RUN_TABLE.iter().map(|row| (row.0.name(), row.1.name(), row.2)).collect();
        module.add("RUN_TABLE", run_table)?;
        let node_table: Vec<_> =
            NODE_TABLE.iter().map(|row| (row.0.name(), row.1.name(), row.2)).collect();
        module.add("NODE_TABLE", node_table)?;
        Ok(())
    }
}
