//! A page of a directory in byte order, in memory that depends on the page and not on the directory.

use std::{
    collections::BinaryHeap,
    ffi::{CStr, CString},
    os::fd::AsFd,
};

use rustix::fs::{AtFlags, readlinkat, statat};

use super::{
    Control, Fault, FileKind, Meta, RelativePath, TreeRoot, dirents::Dirents, error::looking,
};

/// A directory entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: CString,
    /// What stat(2) says of it.
    pub meta: Meta,
    /// Of a symlink: where it points.
    pub target: Option<CString>,
}

/// Part of a directory.
#[derive(Clone, Debug)]
pub struct Page {
    /// By name, in byte order. Fewer than asked for if some vanished meanwhile.
    pub entries: Vec<Entry>,
    /// Where the next page begins: after this name. Nothing on the last page.
    pub next_after: Option<CString>,
}

impl TreeRoot {
    /// The first `size` entries of the directory at `path` whose names come after `after`. Reads the directory once per
    /// page, and looks closer at the page's entries only.
    ///
    /// # Errors
    /// As [`TreeRoot::directory`], and what getdents64(2) and stat(2) say.
    pub fn list(
        &self,
        path: &RelativePath,
        after: Option<&CStr>,
        size: usize,
        control: &Control,
    ) -> Result<Page, Fault> {
        let directory = self.directory(path)?;
        // The smallest names so far, the largest of them on top; one more than the page, to know whether there is more.
        let mut smallest = BinaryHeap::<CString>::with_capacity(size.saturating_add(2));
        let mut dirents = Dirents::default();
        let mut more = true;
        while more {
            let batch = dirents.batch(directory.as_fd(), |name, _| {
                control.check()?;
                let wanted = after.is_none_or(|after| name > after)
                    && (smallest.len() <= size
                        || smallest.peek().is_some_and(|top| name < top.as_c_str()));
                if wanted {
                    smallest.push(name.to_owned());
                    if smallest.len() > size.saturating_add(1) {
                        smallest.pop();
                    }
                }
                Ok(())
            });
            more = batch.map_err(|(fault, _)| fault)?.is_some();
        }
        let mut names = smallest.into_sorted_vec();
        // A directory that a writer changes may show a name twice.
        names.dedup();
        let next_after = (names.len() > size)
            .then(|| names.truncate(size))
            .and_then(|()| names.last().cloned());
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            match describe(&directory, name) {
                Ok(entry) => entries.push(entry),
                Err(Fault::Gone) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Page {
            entries,
            next_after,
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
