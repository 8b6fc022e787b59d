//! The engine on plain directory trees: clone, remove, count, digest, list, find, make directories, rename.
//!
//! It knows no volumes, no tasks and no gRPC, and it is synchronous: call it from threads that may block. Whoever calls
//! shares a [`Control`] with it, to follow the work and to stop it.
//!
//! What holds everywhere here, whatever a hostile writer does inside a tree meanwhile:
//! * a directory is only ever reached from the tree's root handle, one component at a time, by opens that follow no
//!   symlink and cross no mount ([`open`]); every other call takes such a handle and a single component;
//! * nothing but directories and regular files is opened for reading, and never so that the open could block;
//! * memory and descriptors do not grow with the width or depth of the tree ([`walk`]), names apart.

pub mod attributes;
pub mod clone;
pub mod control;
pub mod diff;
pub mod digest;
pub mod dirents;
pub mod entry;
pub mod error;
mod extents;
pub mod filesystem;
pub mod find;
pub mod list;
pub mod meta;
pub mod mkdir;
pub mod name_lock;
pub mod names;
pub mod open;
pub mod preorder;
pub mod put;
pub mod remove;
pub mod rename;
pub mod root;
pub mod shelf;
pub mod sync;
pub mod unlink;
pub mod usage;
pub mod walk;

pub use clone::{Checkpoint, CloneTarget, Cloned, Moment, Ongoing, clone_tree};
pub use control::{Control, Pace, Progress, StopOnDrop};
pub use diff::{Aspect, Compared, Difference, What, diff};
pub use digest::{Scratch, TreeDigest, digest};
pub use entry::Entry;
pub use error::{Fault, TreeError};
pub use filesystem::Filesystem;
pub use find::{Findings, Found, Wanted};
pub use list::Page;
pub use meta::{FileKind, Meta};
pub use name_lock::NameLock;
pub use names::{By, Names, Order, Position};
pub use preorder::Preorder;
pub use put::Put;
pub use remove::remove_tree;
pub use rename::{Renamed, Replaced};
pub use root::TreeRoot;
pub use shelf::{Reading, Shelf};
pub use sync::sync;
pub use usage::{Usage, usage};
pub use vfolder_common::path::{self, PathError, RelativePath};
pub use walk::Workers;
