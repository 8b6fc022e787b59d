//! The protocol between managers, table and storage-proxy as a model, searched state by state.
//!
//! The table of transitions, the admission table and `settle` are the manager's own, imported. What each transaction does
//! with them is in `rows`, what a worker does in `worker`, what a storage-proxy does in `disk` and `fences`; `possible` has
//! what can happen next, `step` what comes of it, `properties` what must hold. [`Piece`] names the parts of the protocol
//! that can be left out, to see what they are for. docs/model.md says what is modelled and what isn't.

mod disk;
mod explore;
mod fences;
mod possible;
mod properties;
mod protocol;
mod rows;
mod scenario;
mod step;
mod worker;
mod world;

pub use explore::{Counterexample, Found, check, is_acyclic};
pub use protocol::{Piece, Protocol};
pub use scenario::{Bounds, Scenario};
pub use step::Step;
pub use world::World;
