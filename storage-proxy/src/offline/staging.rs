//! Where a copy is until it is whole: a directory beside its place, which nobody else may enter.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, fchmod, flock, fstat, fsync, mkdirat, statat, unlinkat},
    io::{Errno, fcntl_dupfd_cloexec},
    process::geteuid,
};

use super::{
    error::{OfflineError, on},
    place::Place,
};
use crate::{
    backend::{Backend, probe_files, probe_without_quotas},
    faults::at,
    tree::{
        CloneTarget, Control, Fault, Meta, Ongoing, TreeError, attributes::disinherit,
        open::open_directory, sync,
    },
    volume::move_tree,
};

const SUFFIX: &str = ".vfolder-clone";
const TREE: &CStr = c"tree";
const LINKS: &CStr = c"links";
/// How often the directory may vanish between two looks, because another clone to the same place has just ended.
const ATTEMPTS: usize = 16;

/// `.<name>.vfolder-clone/` with `tree` and `links`, locked for as long as this lives.
#[derive(Debug)]
pub struct Staging<'a> {
    place: &'a Place,
    path: PathBuf,
    directory: OwnedFd,
}

impl<'a> Staging<'a> {
    /// Takes the one beside `place`; it may hold what a killed clone has left.
    pub fn take(place: &'a Place) -> Result<Self, OfflineError> {
        let name = place.hidden(SUFFIX);
        let path = place.sibling(&name);
        for _ in 0..ATTEMPTS {
            match mkdirat(&place.parent, &name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(on(path, "mkdir")(errno)),
            }
            let directory = match open_directory(&place.parent, &name) {
                Err(Errno::NOENT) => continue,
                Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                    return Err(OfflineError::Foreign(path));
                }
                opened => opened.map_err(on(&path, "open"))?,
            };
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(OfflineError::Busy(path)),
                done => done.map_err(on(&path, "flock"))?,
            }
            let ours = Meta::from(fstat(&directory).map_err(on(&path, "fstat"))?);
            if ours.uid != geteuid().as_raw() {
                return Err(OfflineError::Foreign(path));
            }
            let there = statat(&place.parent, &name, AtFlags::SYMLINK_NOFOLLOW);
            if there.is_ok_and(|there| Meta::from(there).id == ours.id) {
                disinherit(directory.as_fd()).map_err(on(&path, "fremovexattr"))?;
                fchmod(&directory, Mode::RWXU).map_err(on(&path, "fchmod"))?;
                return Ok(Self {
                    place,
                    path,
                    directory,
                });
            }
        }
        Err(OfflineError::Busy(path))
    }

    /// Removes what is in it. `control` is to be a fresh one: what is half copied is cleared after a stop, too.
    pub fn clear(&self, control: &Control) -> Result<(), OfflineError> {
        let directory = self.directory.as_fd();
        for name in [TREE, LINKS] {
            // Most often there is nothing to it, and what the filesystem can do needn't be tried for that.
            match unlinkat(directory, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(_) => {}
            }
            let backend = probe_without_quotas(directory, false);
            let removed = backend.remove(directory, name, control);
            removed.map_err(|error| self.tree_error(error))?;
        }
        Ok(())
    }

    /// Makes the directory for the names that hard-linked files have meanwhile.
    pub fn make_links(&self) -> Result<OwnedFd, OfflineError> {
        let made = mkdirat(&self.directory, LINKS, Mode::RWXU)
            .and_then(|()| open_directory(&self.directory, LINKS));
        made.map_err(on(&self.path, "mkdir"))
    }

    /// What the filesystem that the copy goes to can do better than others; with files only, unless `whole` trees are to be
    /// tried, too. Not before [`Staging::clear`]: while what is left fills the disk, less can be done.
    pub fn backend(&self, whole: bool) -> Box<dyn Backend> {
        match whole {
            true => probe_without_quotas(self.directory.as_fd(), false),
            false => probe_files(self.directory.as_fd()),
        }
    }

    /// Where the copy goes.
    pub fn target<'t>(&'t self, links: &'t OwnedFd, ongoing: &'t Ongoing) -> CloneTarget<'t> {
        CloneTarget {
            parent: self.directory.as_fd(),
            name: TREE,
            links: links.as_fd(),
            root: None,
            // No checkpoint is kept here: what a killed clone has left can't be told from what a power cut has made of it.
            resume: None,
            ongoing,
            digest: None,
        }
    }

    /// Makes what was copied durable, unless it is asked to stop.
    pub fn sync(&self, control: &Control) -> Result<(), OfflineError> {
        // The handle is older than all that was written, so that no error of a write is missed.
        let handle = fcntl_dupfd_cloexec(&self.directory, 0).map_err(on(&self.path, "dup"))?;
        match sync(handle, control) {
            Err(Fault::System(call, errno)) => Err(on(&self.path, call)(errno)),
            // Who asks for that is asked afterwards.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Renames the copy to its place. With `sync`, that is durable when it returns; if it can't be, the copy is taken
    /// back.
    pub fn publish(&self, sync: bool) -> Result<(), OfflineError> {
        let place = self.place;
        let renamed = at("publish.begin")
            .and_then(|()| move_tree(&self.directory, TREE, &place.parent, &*place.name));
        match renamed {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {
                return Err(OfflineError::Exists(place.path.clone()));
            }
            done => done.map_err(on(&place.path, "rename"))?,
        }
        if !sync {
            return Ok(());
        }
        let durable = at("publish.renamed")
            .and_then(|()| fsync(&place.parent))
            .and_then(|()| fsync(&self.directory))
            .and_then(|()| at("publish.synced"));
        durable.map_err(|errno| {
            let back = move_tree(&place.parent, &*place.name, &self.directory, TREE);
            match back {
                Ok(()) => on(&place.path, "fsync")(errno),
                Err(_) => OfflineError::Undurable(place.path.clone(), errno),
            }
        })
    }

    /// Removes what is in it, and itself. Not synced: after a power cut it may be there again, empty.
    pub fn discard(self) -> Result<(), OfflineError> {
        self.clear(&Control::default())?;
        let gone = match self.unlink() {
            // What was tried out here by one that was killed over it: the next trial clears it away.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                drop(probe_without_quotas(self.directory.as_fd(), false));
                self.unlink()
            }
            done => done,
        };
        gone.map_err(on(&self.path, "rmdir"))
    }

    fn unlink(&self) -> Result<(), Errno> {
        let name = self.place.hidden(SUFFIX);
        unlinkat(&self.place.parent, &name, AtFlags::REMOVEDIR)
    }

    fn tree_error(&self, error: TreeError) -> OfflineError {
        OfflineError::Tree {
            path: self.path.clone(),
            error,
        }
    }
}
