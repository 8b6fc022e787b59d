//! The tables, on SQLite or PostgreSQL. The only place that knows diesel, and the only one that knows which engine runs.
//!
//! One query source serves both engines: [`engine::Tx`] is an enum of two connections, and `on!` compiles one query
//! text for each. Where the engines differ (row locks, SKIP LOCKED, the clock) the difference is in this folder.
//!
//! Lock order, everywhere: the rows of `vfolders` first, by ascending id, then `operations` and `mounts`.

mod clock;
mod connect;
mod engine;
mod error;
pub mod events;
pub mod feed;
mod hub;
pub mod inspect;
pub mod lease;
pub mod migrate;
pub mod mounts;
mod notify;
pub mod operations;
pub mod queue;
pub mod quotas;
pub mod requests;
mod schema;
pub mod sole;
mod sql_types;
pub mod vfolders;
pub mod volumes;

pub use clock::Timestamp;
pub use engine::{Engine, Store, StoreConfig, Tx};
pub use error::StoreError;
pub use events::Event;
pub use hub::{Change, Hub};
pub use mounts::{Mode, Mount};
pub use operations::{Operation, Progress};
pub use quotas::OwnerQuota;
pub use sql_types::Id;
pub use vfolders::Vfolder;
pub use volumes::VolumeRow;
