//! The storage-proxy: owns volumes and does the filesystem work on the vfolders' trees.
//!
//! Arrows point one way: [`direct`] → [`grpc`], [`http`] → [`mod@file`] → [`task`] → [`volume`] → [`backend`] → [`tree`]. It knows trees by the vfolder's id and nothing of
//! statuses or users, and has no database: what must survive a restart is on the volume that it is about.

pub mod account;
pub mod archive;
pub mod backend;
pub mod cli;
pub mod config;
pub mod direct;
pub mod faults;
pub mod file;
pub mod grpc;
pub mod http;
pub mod offline;
pub mod refuse;
pub mod server;
pub mod task;
pub mod tree;
pub mod volume;

pub use cli::main;
