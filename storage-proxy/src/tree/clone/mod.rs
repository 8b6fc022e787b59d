//! Copies a tree with everything Linux lets one copy: contents with their holes, symlinks, hard links, owners, modes,
//! times, extended attributes, fifos, sockets and device nodes.
//!
//! `walk` decides where to go; `entry` copies one directory entry between two directory handles and is all that
//! knows file kinds; `content` copies bytes; `links` remembers hard links.

mod content;
mod entry;
mod links;
mod walk;

pub use walk::{CloneTarget, clone_tree};
