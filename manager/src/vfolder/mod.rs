//! The life of a vfolder, one verb a file.
//!
//! Every verb that changes a row goes the same way: begin a transaction, take the row as [`locked::Locked`] (its lock,
//! what backs it, the database's clock), admit the warrant against it, change it by a [`crate::model::Transition`],
//! commit. `Locked::change` is the only place that writes a status, and it writes the event with it.

pub mod change;
pub mod clone;
pub mod create;
pub mod delete;
pub mod explain;
pub mod feed;
pub mod fence;
pub mod fields;
pub mod list;
pub mod locked;
pub mod look;
pub mod perform;
pub mod purge;
pub mod quota;
pub mod refuse;
pub mod replay;
pub mod reset;
pub mod restore;
pub mod room;
pub mod update;
pub mod watch;

pub use change::Cause;
pub use fields::NewVfolder;
pub use locked::Locked;
