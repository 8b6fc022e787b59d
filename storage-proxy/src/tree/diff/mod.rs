//! What differs between two trees: all that a clone copies, but for the times of the last read, which reading changes.
//!
//! One tree is walked, and each of its entries is looked up in the other by name; then the other's directories are looked
//! through for what the first has not. So nothing is listed or sorted, however wide a directory is, and differences come
//! in no particular order.
//!
//! `walk` goes through both, `entry` compares what both have under one name, `content` the bytes of two files, `links`
//! which names belong together.

mod content;
mod entry;
mod links;
mod walk;

use crate::tree::FileKind;

pub use walk::{Compared, diff};

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path from the roots; empty: the roots themselves.
    pub path: Vec<u8>,
    /// What.
    pub what: What,
}

/// What differs under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Only the first tree has it, with all that is below.
    OnlyFirst,
    /// Only the second tree has it, with all that is below.
    OnlySecond,
    /// Both have it, and these things are not the same.
    Aspects(Vec<Aspect>),
}

/// Something about an entry, in the first tree and in the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// What it is. Nothing else is compared.
    Kind(FileKind, FileKind),
    /// Permission bits with setuid, setgid and sticky.
    Mode(u32, u32),
    /// User and group.
    Owner((u32, u32), (u32, u32)),
    /// Last change of its data; seconds and nanoseconds since 1970.
    Modified((i64, i64), (i64, i64)),
    /// Extended attributes: the names of those that differ.
    Attributes(Vec<Vec<u8>>),
    /// Bytes of a regular file.
    Size(u64, u64),
    /// The first byte of a regular file that is not the same, counted from 0.
    Content(u64),
    /// What a symlink says.
    Target,
    /// Which device a node is for.
    Device(u64, u64),
    /// It shares its inode with other names in one tree than in the other.
    Links,
}
