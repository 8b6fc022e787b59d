//! What filesystems do differently: how a tree's root is made, how a tree is cloned, removed and counted, and what else
//! one may ask for.
//!
//! A volume's backend is chosen once, when the volume is opened: by the filesystem's type, and by trying
//! ([`probe`]). What a filesystem refuses later all the same is done the way that works everywhere, on the tree engine
//! of [`crate::tree`]: a backend is a shortcut, never a condition.
//!
//! To add one (CephFS's snapshots, a vendor's call, …): a file beside this one with a type that implements [`Backend`],
//! holds a [`Plain`] for what it doesn't do better, and has a `probe` that tries its calls in the volume's staging
//! directory and answers none if they don't work; and a line in [`probe`]. What it must keep:
//! * A tree's root is a directory that rename(2) moves within the volume, also to another directory.
//! * A clone is complete and detached when the call returns: a later write on one side never shows on the other. It has
//!   the root's own attributes too. It is durable, or says that it isn't ([`Cloned::durable`]).
//! * What a clone has made before it failed is at the target's name, for [`Backend::remove`].
//! * Nothing outside the tree is read or written, whatever is in it; see [`crate::tree`] for how.
//! * Removing may be repeated, after a crash at any point.
//! * A raw call goes into the crate `vfolder-ioctl`: no unsafe code here.

mod btrfs;
mod plain;
mod projects;

use std::{
    ffi::CStr,
    fmt,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::io::Errno;
use thiserror::Error;

use self::{btrfs::Btrfs, projects::Projects};
pub use self::{
    btrfs::remove_tree_and_subvolumes,
    plain::{Plain, write_out},
};
use crate::tree::{self, CloneTarget, Control, Filesystem, TreeError, Usage, Workers};

/// The best way that a filesystem has to clone a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The whole tree at once, whatever its size. A tree for which that can't be is walked; its files share blocks.
    Snapshot,
    /// Entry by entry; files share their blocks until one of them is written (ioctl_ficlone(2)).
    Reflink,
    /// Entry by entry, byte by byte.
    Copy,
}

/// What a backend can do on this volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How trees are cloned.
    pub method: Method,
    /// How many threads a clone by entries profits from.
    pub clone_workers: Workers,
    /// How many threads a removal by entries profits from.
    pub remove_workers: Workers,
    /// A tree's size can be limited ([`Backend::set_quota`]).
    pub quota: bool,
}

/// How a clone was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cloned {
    /// All of it survives a power cut. If not, syncfs(2) makes it so.
    pub durable: bool,
    /// What the walk has done, which has counted what it cloned. Nothing for a snapshot: nobody looks at what is in it.
    pub walked: Option<tree::Cloned>,
}

/// How large a tree may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes on disk at most; nothing: no limit.
    pub bytes: Option<u64>,
    /// Entries at most, the root included; nothing: no limit.
    pub entries: Option<u64>,
}

/// How large a tree is, by the filesystem's own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// Bytes on disk.
    pub bytes: u64,
    /// Entries; nothing where they are not accounted.
    pub entries: Option<u64>,
}

/// Why a quota is not set or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuotaError {
    /// Not on this filesystem, or not as it is mounted.
    #[error("this volume's filesystem keeps no quotas of directories")]
    NotSupported,
    /// A system call failed.
    #[error("{0} failed: {1}")]
    System(&'static str, Errno),
}

/// A filesystem's own ways with trees. Everything blocks.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Its name, for people: "btrfs", "plain".
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes `name` in `parent`, an empty tree's root, of mode 0700, and opens it. Durable once `parent` is synced.
    ///
    /// # Errors
    /// Those of mkdir(2).
    fn create(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno>;

    /// Clones the tree below `source`, a tree's root, to `target`, or goes on with what an earlier life has left there.
    /// Nobody writes into the source meanwhile who could be kept from it.
    ///
    /// # Errors
    /// The first fault and where. What was made until then stays at the target, for the caller to remove.
    fn clone_tree(
        &self,
        source: BorrowedFd<'_>,
        target: CloneTarget<'_>,
        control: &Control,
    ) -> Result<Cloned, TreeError>;

    /// Destroys `name` in `parent`: a tree, a directory with trees in it, or a file. Succeeds if there is none. Only we
    /// write into `parent`.
    ///
    /// # Errors
    /// The first fault and where. What was destroyed until then stays destroyed; calling again goes on.
    fn remove(
        &self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<(), TreeError>;

    /// Whether [`Backend::remove`] takes about as long for this tree whatever is in it: then it isn't worth counting
    /// before.
    fn removes_at_once(&self, tree: BorrowedFd<'_>) -> bool;

    /// Counts the tree below `root`. Of `control` only the wish to stop is used.
    ///
    /// # Errors
    /// The first fault and where; what vanishes meanwhile is none.
    fn usage(
        &self,
        root: BorrowedFd<'_>,
        workers: Workers,
        control: &Control,
    ) -> Result<Usage, TreeError>;

    /// Lifts what its owner has put on the root of a tree and what keeps it from being renamed (`EROFS`). Answers whether
    /// there was something.
    ///
    /// # Errors
    /// Those of the calls.
    fn make_movable(&self, _tree: BorrowedFd<'_>) -> Result<bool, Errno> {
        Ok(false)
    }

    /// Limits the size of a tree, or ends its limits.
    ///
    /// # Errors
    /// [`QuotaError::NotSupported`] unless [`Capabilities::quota`].
    fn set_quota(&self, _tree: BorrowedFd<'_>, _quota: Quota) -> Result<(), QuotaError> {
        Err(QuotaError::NotSupported)
    }

    /// Makes a new file, which is outside of `tree` and on its way into it, count for it already. What is refused here is
    /// only quicker than it would be otherwise.
    ///
    /// # Errors
    /// Those of the calls.
    fn adopt(&self, _tree: BorrowedFd<'_>, _file: BorrowedFd<'_>) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether somebody who meets a quota is refused as if the filesystem were full (`ENOSPC`), and not by `EDQUOT`.
    fn quota_looks_full(&self) -> bool {
        false
    }

    /// Tells the size of a tree without walking it.
    ///
    /// # Errors
    /// [`QuotaError::NotSupported`] unless [`Capabilities::quota`].
    fn quota_use(&self, _tree: BorrowedFd<'_>) -> Result<QuotaUse, QuotaError> {
        Err(QuotaError::NotSupported)
    }
}

/// Chooses the backend of a volume. What has to be tried is tried in `staging`, on the volume, and cleared away again;
/// nothing is tried on a volume that is mounted read-only.
#[must_use]
pub fn probe(staging: BorrowedFd<'_>, read_only: bool) -> Box<dyn Backend> {
    match choose(staging, read_only) {
        Chosen::Plain(plain) if !read_only => match Projects::probe(staging, plain) {
            Some(projects) => Box::new(projects),
            None => Box::new(plain),
        },
        Chosen::Plain(plain) => Box::new(plain),
        Chosen::Btrfs(btrfs) => Box::new(btrfs),
    }
}

/// As [`probe`], for trees that are on no volume: their sizes are nobody's to limit.
#[must_use]
pub fn probe_without_quotas(staging: BorrowedFd<'_>, read_only: bool) -> Box<dyn Backend> {
    match choose(staging, read_only) {
        Chosen::Plain(plain) => Box::new(plain),
        Chosen::Btrfs(btrfs) => Box::new(btrfs),
    }
}

/// As [`probe_without_quotas`], for who walks each tree: only what can be done with files is tried.
#[must_use]
pub fn probe_files(staging: BorrowedFd<'_>) -> Box<dyn Backend> {
    let filesystem = Filesystem::of(staging).unwrap_or_default();
    Box::new(Plain::probe(staging, filesystem))
}

enum Chosen {
    Plain(Plain),
    Btrfs(Btrfs),
}

fn choose(staging: BorrowedFd<'_>, read_only: bool) -> Chosen {
    let filesystem = Filesystem::of(staging).unwrap_or_default();
    if read_only {
        return Chosen::Plain(Plain::without_trying(filesystem));
    }
    let plain = Plain::probe(staging, filesystem);
    if filesystem.is_btrfs()
        && let Some(btrfs) = Btrfs::probe(staging, plain)
    {
        return Chosen::Btrfs(btrfs);
    }
    Chosen::Plain(plain)
}
