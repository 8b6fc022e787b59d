//! Copies a tree with everything Linux lets one copy: contents with their holes, symlinks, hard links, owners, modes,
//! times, extended attributes, fifos, sockets and device nodes.
//!
//! `walk` decides where to go; `entry` copies one directory entry between two directory handles and is all that
//! knows file kinds; `content` copies bytes of a `pair` of files, `direct` past the page cache; `links` remembers hard
//! links; `digest` digests what is copied. A copy that was killed is gone on with: `checkpoint` says what may be relied
//! on, `resume` looks at what is there.

mod alike;
mod checkpoint;
mod content;
mod digest;
mod direct;
mod entry;
mod habits;
mod links;
mod pair;
mod resume;
mod walk;

pub use checkpoint::{Checkpoint, Moment, Ongoing};
pub use walk::{CloneTarget, Cloned, clone_tree};
