//! A digest in the making, by any number of threads: each has a sum of its own, and they meet at the end.

use std::{
    ffi::CStr,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    TreeDigest,
    content::ContentHasher,
    domain::Hash,
    lattice::Sum,
    links::{Links, Scratch},
    record::{Body, Content, PathDigest, Records},
};
use crate::tree::{Control, Fault, FileKind, Meta, meta::FileId};

/// What the threads share.
pub struct Digester<'a> {
    links: Mutex<Links<'a>>,
    /// What the threads have added that have ended.
    added: Mutex<Added>,
}

/// What was added, but for hard links.
#[derive(Clone, Default)]
struct Added {
    sum: Sum,
    entries: u64,
    bytes: u64,
}

impl fmt::Debug for Digester<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester").finish_non_exhaustive()
    }
}

/// What one thread has for itself. Whoever copies a tree can digest it on the way: the content goes through
/// [`DigestWorker::content`] as it is copied, the extended attributes through [`DigestWorker::attribute`], and then the
/// entry is added.
#[derive(Default)]
pub struct DigestWorker {
    /// The content of the file at hand.
    pub content: ContentHasher,
    records: Records,
    added: Added,
}

impl<'a> Digester<'a> {
    /// Begins. `scratch` is needed for more than some ten thousand hard links.
    pub fn new(scratch: &'a Scratch<'a>) -> Self {
        Self {
            links: Mutex::new(Links::new(scratch)),
            added: Mutex::default(),
        }
    }

    /// Whether this inode was added, or is about to be, under another name: then only this name of it remains to be
    /// added (`DigestWorker::add_link`). False for one that was added too long ago: adding it again is harmless.
    pub fn is_known(&self, meta: &Meta) -> bool {
        may_be_linked(meta) && self.links().is_known(meta.id, meta.links)
    }

    /// This inode, which was not known, was not added, since it has vanished.
    pub fn forget(&self, meta: &Meta) {
        if may_be_linked(meta) {
            self.links().forget(meta.id);
        }
    }

    /// Takes in what a thread has added that ends.
    pub fn take(&self, worker: &DigestWorker) {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        added.sum.merge(&worker.added.sum);
        added.entries += worker.added.entries;
        added.bytes += worker.added.bytes;
    }

    /// The digest of all that was added, once all threads have ended.
    ///
    /// # Errors
    /// Those of the scratch file, and the wish to stop.
    pub fn finish(&self, control: &Control) -> Result<TreeDigest, Fault> {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = added.clone();
        drop(added);
        let linked = self.links().sum_up(&mut all.sum, control)?;
        Ok(TreeDigest {
            digest: all.sum.digest(),
            entries: all.entries + linked.entries,
            bytes: all.bytes + linked.bytes,
        })
    }

    fn links(&self) -> MutexGuard<'_, Links<'a>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DigestWorker {
    /// The path of the tree's root.
    pub fn root(&mut self) -> PathDigest {
        self.records.root()
    }

    /// The path of the entry `name` of the directory at `parent`.
    pub fn path(&mut self, parent: &PathDigest, name: &CStr) -> PathDigest {
        self.records.path(parent, name)
    }

    /// Another inode comes to hand: what was taken in of one that was not added is forgotten.
    pub fn begin(&mut self) {
        self.content.finish(0);
        self.records.attributes();
    }

    /// Takes in an extended attribute of the inode at hand. They come by ascending name.
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) {
        self.records.attribute(name, value);
    }

    /// The inode at hand: a regular file's `size`, as far as its content was taken in.
    pub fn file(&mut self, meta: &Meta, size: u64) -> Body {
        let content = Content::Bytes(size, self.content.finish(size));
        self.body(meta, content)
    }

    /// The inode at hand: a symlink to `target`.
    pub fn symlink(&mut self, meta: &Meta, target: &[u8]) -> Body {
        self.body(meta, Content::Target(target))
    }

    /// The inode at hand: what has no content, or is a directory.
    pub fn other(&mut self, meta: &Meta) -> Body {
        self.body(meta, Content::Nothing)
    }

    /// Adds an inode with this name.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn add(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        meta: &Meta,
        body: &Body,
    ) -> Result<(), Fault> {
        if may_be_linked(meta) {
            let mut links = digester.links();
            links.note_body(meta.id, body)?;
            return links.note_path(meta.id, path);
        }
        let added = &mut self.added;
        added.sum.update(&body.hash).update(&path.0).add();
        added.entries += 1;
        added.bytes += body.bytes;
        Ok(())
    }

    /// Adds a further name of an inode.
    ///
    /// # Errors
    /// Those of the scratch file.
    pub fn add_link(
        &mut self,
        digester: &Digester<'_>,
        path: &PathDigest,
        id: FileId,
    ) -> Result<(), Fault> {
        digester.links().note_path(id, path)
    }

    fn body(&mut self, meta: &Meta, content: Content<'_>) -> Body {
        let attributes: Hash = self.records.attributes();
        self.records.body(meta, &attributes, content)
    }
}

/// A directory's links are its subdirectories' ".." on some filesystems.
fn may_be_linked(meta: &Meta) -> bool {
    meta.links > 1 && meta.kind != FileKind::Directory
}
