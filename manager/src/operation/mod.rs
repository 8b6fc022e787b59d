//! Durable long-running work.
//!
//! An operation is a row, written in the transaction of the status that it backs. [`worker`] takes no input: woken by a
//! signal and by a timer it claims rows, [`run`] drives one on its storage-proxy while it holds the lease, [`finish`]
//! writes the outcome and settles the vfolders in one transaction. [`sweep`] does what time alone makes due.

pub mod cancel;
pub mod finish;
pub mod leftovers;
pub mod pause;
pub mod rate;
pub mod read;
pub mod returns;
pub mod run;
pub mod sweep;
pub mod wait;
pub mod worker;

pub use read::{get, not_found};
