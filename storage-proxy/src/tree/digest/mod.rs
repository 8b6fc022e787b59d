//! A tree's digest: BLAKE3 over all that a clone copies, in a form that depends on neither the filesystem nor the way
//! through the tree. docs/tree-digest.md specifies it.
//!
//! Each inode, with its names, is hashed to an element (`record`, `content`; `links` finds out which names belong
//! together), and the elements are added up in any order, by any number of threads (`lattice`). So a tree is digested
//! without listing or sorting directories, and the same as it is walked or while it is copied (`worker`).

mod content;
mod domain;
mod file;
mod inode;
mod lattice;
mod links;
mod record;
mod walk;
mod worker;

use std::fmt;

pub(super) use self::file::read_content;
pub use self::{
    content::ContentHasher, inode::InodeReader, links::Scratch, record::PathDigest, walk::digest,
    worker::Digester,
};

/// How the text of a digest begins.
const PREFIX: &str = "blake3-tree-v1:";

/// A tree's digest. Its text is `blake3-tree-v1:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeDigest {
    /// The digest.
    pub digest: [u8; 32],
    /// Directory entries, the root included.
    pub entries: u64,
    /// Bytes of file data, each hard-linked file once.
    pub bytes: u64,
}

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.digest
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
