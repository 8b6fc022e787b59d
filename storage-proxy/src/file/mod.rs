//! The files inside vfolders, for whoever brings a grant: what gRPC and plain HTTP have in common.
//!
//! Every verb begins with [`granted`], so that forwarded and direct calls are checked by the same code, and does its work
//! by [`Files::in_tree`], so that it holds a place behind the tree's fence while it is in there.

mod access;
pub mod archive;
mod bearer;
mod directory;
mod etag;
mod find;
mod glob;
mod list;
mod read;
mod remove;
mod rename;
mod stat;
mod transfer;
mod turns;
mod upload;

pub use access::{Files, Visit, cut_off, granted, in_scope};
pub use archive::ArchiveStream;
pub use bearer::{bearer, verified};
pub use etag::etag;
pub use find::Find;
pub use glob::{Glob, GlobError};
pub use list::ListPage;
pub use read::{LARGEST_PIECE, OpenFile};
pub use remove::{Removal, Removed};
pub use transfer::{Limits, Transfer};
pub use turns::Turns;
pub use upload::{
    FileCheck, NewUpload, SYNCS, Start, UploadState, UploadWriter, Whole, WholeWriter,
};
