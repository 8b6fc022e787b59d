//! The harness of the end-to-end tests: both services as real processes, on real databases and real directory trees.
//!
//! A test is an `async fn(Engine)` that [`on_each_engine!`] runs on SQLite and on PostgreSQL. It builds a [`System`],
//! talks to it through a [`User`]'s typed clients, looks at the trees on disk and asks the doctor whether all is sound.
//! Whatever a test starts ends with it, also when it panics, overruns its deadline or is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that can't do its part fails the test"
)]

mod binaries;
mod database;
mod deadline;
mod engine;
mod place;
pub mod postgres;
mod process;
mod refused;
mod relay;
pub mod storm;
mod system;
mod tokens;
mod tree;
mod user;

pub use binaries::{Binaries, die_with_parent};
pub use database::Database;
pub use deadline::{eventually, run, until};
pub use engine::Engine;
pub use place::{Place, ROOT_VARIABLE, make_root};
pub use process::Service;
pub use refused::{assert_field_refused, assert_refused, reason_of, refused_fields};
pub use relay::{Relay, Target, Weather};
pub use system::{Certificates, Settings, System, SystemBuilder, Volume};
pub use tokens::Tokens;
pub use tree::{
    assert_same_but_for_directories_times, assert_same_tree, count_entries, fill, tree_path,
};
pub use user::{Authorized, User, operation_metadata};
