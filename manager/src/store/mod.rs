//! The tables, on SQLite or PostgreSQL. The only place that knows diesel, and the only one that knows which engine runs.
//!
//! One query source serves both engines: [`engine::Tx`] is an enum of two connections, and `on!` compiles one query
//! text for each. Where the engines differ (row locks, SKIP LOCKED, the clock) the difference is in this folder.
//!
//! Lock order, everywhere: the rows of `vfolders` first, by ascending id, then `operations` and `mounts`.

mod clock;
mod engine;
mod error;
pub mod events;
mod hub;
pub mod inspect;
pub mod lease;
pub mod migrate;
pub mod mounts;
pub mod operations;
pub mod requests;
mod schema;
mod sql_types;
pub mod vfolders;

pub use clock::Timestamp;
pub use engine::{Engine, Store, StoreConfig, Tx};
pub use error::StoreError;
pub use events::Event;
pub use hub::{Change, Hub};
pub use mounts::{Mode, Mount};
pub use operations::{Operation, Progress};
pub use sql_types::Id;
pub use vfolders::Vfolder;
