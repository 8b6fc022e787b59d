//! The storm: clients at work while everything under them is killed, paused, restarted and cut off, and the proof
//! afterwards that nothing was lost, nothing is stuck and nothing happened that nobody asked for.
//!
//! [`plan`] says how long, how many and from which seed. [`world`] is what runs: managers, storage-proxies, PostgreSQL
//! and the relays between them, as real processes. [`client`] asks, [`nemesis`] breaks, [`history`] writes down what
//! was asked and answered. When the nemesis has stopped, [`settle`] waits until all is at rest and reads what there is,
//! and [`check`] compares: it knows nothing but the histories, the final state and the trees on disk. [`report`] tells.

pub mod check;
pub mod client;
pub mod contents;
pub mod disturbed;
pub mod history;
pub mod nemesis;
pub mod plan;
pub mod recovery;
pub mod report;
pub mod run;
pub mod settle;
pub mod trees;
pub mod world;

pub use plan::Plan;
pub use report::Report;
pub use run::run;
