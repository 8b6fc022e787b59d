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

/// Bytes of names and symlinks' targets in one page: with all else in it, an answer stays below 4 MiB, which is the most
/// that gRPC clients accept unless told otherwise.
const MOST_TEXT: usize = 3 << 20;

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
    /// By name, in byte order. Fewer than asked for if some vanished meanwhile, or if their names and targets are long.
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
        let mut next_after = (names.len() > size)
            .then(|| names.truncate(size))
            .and_then(|()| names.last().cloned());
        let mut entries = Vec::with_capacity(names.len());
        let (mut text, mut last) = (0, None);
        for name in names {
            let entry = match describe(&directory, name.clone()) {
                Ok(entry) => entry,
                Err(Fault::Gone) => continue,
                Err(fault) => return Err(fault),
            };
            text += told_bytes(&name) + entry.target.as_deref().map_or(0, told_bytes);
            if text > MOST_TEXT && last.is_some() {
                next_after = last;
                break;
            }
            entries.push(entry);
            last = Some(name);
        }
        Ok(Page {
            entries,
            next_after,
        })
    }
}

/// Bytes that it takes to tell of a name: what is not UTF-8 is told twice, once with U+FFFD, of three bytes, for each byte.
fn told_bytes(name: &CStr) -> usize {
    match name.to_str() {
        Ok(text) => text.len(),
        Err(_) => 4 * name.count_bytes(),
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
