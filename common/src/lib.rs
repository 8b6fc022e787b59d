//! What the manager and the storage-proxy both use. Knows nothing of vfolders beyond their ids.

pub mod config;
pub mod error;
pub mod fault;
pub mod path;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod token;
