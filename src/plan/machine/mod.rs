//! What changes on one machine: the content of the generation that is active × the one that must be × what was observed there
//! → ordered steps with reasons.
//!
//! Refuses: I/O, and knowing how a closure came about: one that was just compiled and one from the store are the same.

pub mod content;
pub mod gates;
pub mod model;
pub mod secrets;

pub use content::{Content, Placed};
pub use model::{Act, MachinePlan, MachineStep, Observation, SeenFile, SeenUnit, Why};

// Until the planner is there.
pub mod unit_effects {
    pub fn wanted_units(_: &super::Content) -> std::collections::BTreeSet<String> {
        unimplemented!()
    }
}
pub fn between(_: Option<&Content>, _: &Content, _: &Observation) -> MachinePlan {
    unimplemented!()
}
pub fn paths_and_units(
    _: Option<&Content>,
    _: &Content,
) -> (std::collections::BTreeSet<String>, std::collections::BTreeSet<String>) {
    unimplemented!()
}
