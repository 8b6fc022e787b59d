//! From staging to the place where a tree is seen: made durable first, then renamed once.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Gid, Mode, Uid, fchmod, fchown, fsync, mkdirat},
    io::Errno,
};
use uuid::Uuid;

use super::{
    NewTrees, OpenVolume, VolumeError,
    durable::{make_directory, move_tree},
    error::on,
    layout::{STAGING, TRASH, TREE},
};
use crate::{
    backend::Backend,
    faults::at,
    tree::{attributes::disinherit, open::open_directory},
};

/// In staging/<operation>/: the tree to be published.
const STAGED_TREE: &str = "tree";
/// In staging/<operation>/: the names that hard-linked files have meanwhile.
const STAGED_LINKS: &str = "links";

/// The `staging/<operation>/` of an operation, empty at first.
#[derive(Debug)]
pub struct Staging {
    operation: Uuid,
    directory: OwnedFd,
    links: OwnedFd,
}

impl Staging {
    /// One that an earlier life has begun.
    pub(super) fn resume(operation: Uuid, directory: OwnedFd) -> Result<Self, Errno> {
        let links = CString::new(STAGED_LINKS).unwrap_or_default();
        let links = make_directory(&directory, &links, 0o700)?;
        Ok(Self {
            operation,
            directory,
            links,
        })
    }

    pub(super) fn operation(&self) -> Uuid {
        self.operation
    }

    /// Where to put the tree: under [`Staging::tree_name`] in here.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The tree's name while it is staged.
    #[must_use]
    pub fn tree_name(&self) -> CString {
        CString::new(STAGED_TREE).unwrap_or_default()
    }

    /// For the names that hard-linked files have meanwhile.
    #[must_use]
    pub fn links(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// Makes an empty tree, durable.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn make_empty_tree(
        &self,
        backend: &dyn Backend,
        new: &NewTrees,
    ) -> Result<(), VolumeError> {
        let made = backend.create(self.directory(), &self.tree_name());
        made.and_then(|tree| {
            let owner = new.uid.map(Uid::from_raw);
            let group = new.gid.map(Gid::from_raw);
            if owner.is_some() || group.is_some() {
                fchown(&tree, owner, group)?;
            }
            // After the owner: a change of owner clears setuid and setgid.
            fchmod(&tree, Mode::from_bits_truncate(new.mode)).and_then(|()| fsync(tree))
        })
        .and_then(|()| fsync(&self.directory))
        .map_err(on(STAGING, "mkdir"))
    }
}

impl OpenVolume {
    /// Begins a staging; there must be none of this operation.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn begin_staging(&self, operation: Uuid) -> Result<Staging, VolumeError> {
        let name = CString::new(operation.to_string()).unwrap_or_default();
        mkdirat(&self.staging, &name, Mode::RWXU).map_err(on(STAGING, "mkdir"))?;
        let directory = open_directory(&self.staging, &name).map_err(on(STAGING, "open"))?;
        disinherit(directory.as_fd()).map_err(on(STAGING, "fremovexattr"))?;
        let links = CString::new(STAGED_LINKS).unwrap_or_default();
        let links = make_directory(&directory, &links, 0o700).map_err(on(STAGING, "mkdir"))?;
        Ok(Staging {
            operation,
            directory,
            links,
        })
    }

    /// Where the tree of `vfolder` will be published. To be asked for before the final sync, so that publishing
    /// itself is one rename.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn prepare_place(&self, vfolder: Uuid) -> Result<OwnedFd, VolumeError> {
        self.make_tree_parent(vfolder)
    }

    /// Renames the staged tree to `place`, as the tree of `vfolder`. Durable when it returns; if that fails, the tree is
    /// taken back.
    ///
    /// # Errors
    /// [`VolumeError::TreeExists`], and those of the calls.
    pub fn publish(
        &self,
        staging: &Staging,
        place: &OwnedFd,
        vfolder: Uuid,
    ) -> Result<(), VolumeError> {
        let name = vfolder.to_string();
        let renamed = at("publish.begin")
            .and_then(|()| move_tree(&staging.directory, STAGED_TREE, place, &name));
        match renamed {
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Err(VolumeError::TreeExists),
            done => done.map_err(on(STAGING, "rename"))?,
        }
        let durable = at("publish.renamed")
            .and_then(|()| fsync(place))
            .and_then(|()| fsync(&staging.directory))
            .and_then(|()| at("publish.synced"));
        durable.map_err(|errno| {
            let back = move_tree(place, &name, &staging.directory, STAGED_TREE);
            if let Err(error) = back {
                tracing::error!(%vfolder, operation = %staging.operation, %error, "published, but perhaps not durable");
            }
            on(STAGING, "fsync")(errno)
        })
    }

    /// Makes durable that the tree of `vfolder` is there, or is not: it may have been published or thrown away right
    /// before the process died, and only memory knows.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn settle_tree(&self, vfolder: Uuid) -> Result<(), VolumeError> {
        let settled = fsync(&self.trash).map_err(on(TRASH, "fsync"));
        match self.tree_parent(vfolder)? {
            Some(parent) => settled.and_then(|()| fsync(parent).map_err(on(TREE, "fsync"))),
            None => settled,
        }
    }
}
