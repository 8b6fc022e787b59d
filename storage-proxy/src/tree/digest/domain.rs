//! The hash functions of the digest: BLAKE3's key derivation mode with a context of its own for each kind of input, so
//! that what one of them has hashed never passes for what another has.

use blake3::Hasher;

/// Of a block of a file.
pub const BLOCK: &str = "vfolder 2026-11-22 tree-digest v1 block";
/// Of a file's blocks.
pub const CONTENT: &str = "vfolder 2026-11-22 tree-digest v1 content";
/// Of an inode's extended attributes.
pub const ATTRIBUTES: &str = "vfolder 2026-11-22 tree-digest v1 attributes";
/// Of an inode without its names.
pub const BODY: &str = "vfolder 2026-11-22 tree-digest v1 body";
/// Of a path.
pub const NAME: &str = "vfolder 2026-11-22 tree-digest v1 name";
/// Of an inode with its names: an element of the sum.
pub const ELEMENT: &str = "vfolder 2026-11-22 tree-digest v1 element";
/// Of the sum.
pub const TREE: &str = "vfolder 2026-11-22 tree-digest v1 tree";

/// A digest of one of the parts.
pub type Hash = [u8; 32];

/// One of the functions, to be used again and again: making one costs as much as hashing a short input.
#[derive(Clone, Debug)]
pub struct Function(Hasher);

impl Function {
    /// The one of this context.
    pub fn new(context: &str) -> Self {
        Self(Hasher::new_derive_key(context))
    }

    /// Takes in more.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The digest of what it has taken in. Begins anew.
    pub fn finish(&mut self) -> Hash {
        let hash = self.0.finalize().into();
        self.0.reset();
        hash
    }

    /// As many bytes of output as `into` has room for. Begins anew.
    pub fn finish_into(&mut self, into: &mut [u8]) {
        self.0.finalize_xof().fill(into);
        self.0.reset();
    }
}
