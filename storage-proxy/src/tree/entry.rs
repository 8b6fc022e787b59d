//! What is at a path.

use std::{ffi::CString, os::fd::AsFd};

use rustix::fs::{AtFlags, OFlags, fstat, readlinkat, statat};

use super::{
    Fault, FileKind, Meta, RelativePath, TreeRoot,
    error::{looking, named, system},
    open::open_path,
};

/// A directory entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name; empty for a tree's root.
    pub name: CString,
    /// What stat(2) says of it.
    pub meta: Meta,
    /// Of a symlink: where it points.
    pub target: Option<CString>,
}

impl TreeRoot {
    /// The entry at `path`, whatever it is: opens nothing but the directory that it is in.
    ///
    /// # Errors
    /// As [`TreeRoot::directory`], and what stat(2) says.
    pub fn stat(&self, path: &RelativePath) -> Result<Entry, Fault> {
        let Some((above, name)) = path.split_last() else {
            let meta = Meta::from(fstat(self.as_fd()).map_err(system("fstat"))?);
            return Ok(Entry {
                name: CString::default(),
                meta,
                target: None,
            });
        };
        let parent = open_path(self, &above, OFlags::PATH | OFlags::DIRECTORY);
        let parent = parent.map_err(named("open"))?;
        describe(&parent, name).map_err(|fault| match fault {
            Fault::Gone => Fault::NotFound,
            fault => fault,
        })
    }
}

/// The entry `name` of `directory`.
pub(super) fn describe(directory: impl AsFd, name: CString) -> Result<Entry, Fault> {
    let stat = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?;
    let meta = Meta::from(stat);
    let target = if meta.kind == FileKind::Symlink {
        // EINVAL: no symlink any more; its target then simply isn't told.
        readlinkat(&directory, &name, Vec::new()).ok()
    } else {
        None
    };
    Ok(Entry { name, meta, target })
}
