//! What the manager and the storage-proxy both use. Knows nothing of vfolders beyond their ids.

pub mod body;
pub mod config;
pub mod error;
pub mod fault;
pub mod path;
mod path_text;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod token;
