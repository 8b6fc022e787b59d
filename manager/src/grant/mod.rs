//! Grants: admission straight to the storage-proxy, for callers whose bytes need not pass through the manager.
//!
//! Nothing is stored. What ends a grant is its time, or the vfolder's epoch: whatever takes the tree away from writers or
//! readers raises it, and tells the storage-proxy before it relies on it (`vfolder/fence.rs`).

pub mod create;

pub use create::{Asked, Created, create};
