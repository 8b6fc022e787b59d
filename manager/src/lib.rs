//! The manager: owns the vfolder table, every status transition and the gate in front of every RPC.
//!
//! Dependencies point one way: `grpc` and `gate` → `vfolder`, `operation`, `mount`, `grant` → `storage`, `store` → `model`.
//! ARCHITECTURE.md has the map.

pub mod cli;
pub mod config;
pub mod context;
pub mod doctor;
pub mod faults;
pub mod gate;
pub mod grant;
pub mod grpc;
pub mod model;
pub mod mount;
pub mod operation;
pub mod server;
pub mod storage;
pub mod store;
pub mod vfolder;

pub use cli::main;
