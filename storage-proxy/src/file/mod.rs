//! The files inside vfolders, for whoever brings a grant: what gRPC and plain HTTP have in common.
//!
//! Every verb begins with [`granted`], so that forwarded and direct calls are checked by the same code, and does its work
//! by [`Files::in_tree`], so that it holds a place behind the tree's fence while it is in there.

mod access;
pub mod archive;

pub use access::{Files, Visit, cut_off, granted, in_scope};
pub use archive::ArchiveStream;
