//! Where a walk stands in a tree, with a bounded number of open directories however deep it goes.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{fs::fstat, io};

use super::{
    Fault,
    error::{looking, system},
    meta::{FileId, Meta},
    open::open_directory,
};

/// How many of the innermost directories stay open. Going back up past them costs one walk down from the root for that
/// many levels.
const WINDOW: usize = 32;

/// A stack of directories below a root. Each is reopened, when needed, from the root and only as the same directory:
/// what a writer moved meanwhile is not followed.
#[derive(Debug)]
pub struct Descent {
    root: OwnedFd,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    name: CString,
    id: FileId,
    directory: Option<OwnedFd>,
}

impl Descent {
    /// Stands at `root`.
    #[must_use]
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root,
            levels: Vec::new(),
        }
    }

    /// The directory it stands in.
    ///
    /// # Errors
    /// [`Fault::Gone`] or [`Fault::Changed`] if it had to be reopened and is not there any more.
    pub fn current(&mut self) -> Result<BorrowedFd<'_>, Fault> {
        if self
            .levels
            .last()
            .is_some_and(|level| level.directory.is_none())
        {
            self.reopen()?;
        }
        Ok(
            match self
                .levels
                .last()
                .and_then(|level| level.directory.as_ref())
            {
                Some(directory) => directory.as_fd(),
                None => self.root.as_fd(),
            },
        )
    }

    /// Goes down into `directory`, which the caller has opened as the entry `name` of the current one.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn enter(&mut self, name: CString, directory: OwnedFd) -> Result<(), Fault> {
        let id = Meta::from(fstat(&directory).map_err(system("fstat"))?).id;
        self.levels.push(Level {
            name,
            id,
            directory: Some(directory),
        });
        if let Some(outer) = self.levels.len().checked_sub(WINDOW + 1) {
            self.levels[outer].directory = None;
        }
        Ok(())
    }

    /// Goes back up; the name of the directory left, or nothing at the root.
    pub fn leave(&mut self) -> Option<CString> {
        self.levels.pop().map(|level| level.name)
    }

    /// The path of the entry `name` of the current directory; of the directory itself if `name` is empty.
    #[must_use]
    pub fn path_of(&self, name: &CStr) -> Vec<u8> {
        let names = self.levels.iter().map(|level| level.name.to_bytes());
        let all: Vec<_> = names
            .chain([name.to_bytes()])
            .filter(|n| !n.is_empty())
            .collect();
        all.join(&b'/')
    }

    fn reopen(&mut self) -> Result<(), Fault> {
        let first_kept = self.levels.len().saturating_sub(WINDOW);
        let mut outer = None::<OwnedFd>;
        for at in 0..self.levels.len() {
            let parent = match (at.checked_sub(1).map(|p| &self.levels[p].directory), &outer) {
                (Some(Some(kept)), _) => kept.as_fd(),
                (_, Some(passed)) => passed.as_fd(),
                _ => self.root.as_fd(),
            };
            let directory =
                open_directory(parent, &self.levels[at].name).map_err(looking("open"))?;
            let found = Meta::from(fstat(&directory).map_err(system("fstat"))?).id;
            if found != self.levels[at].id {
                return Err(Fault::Changed);
            }
            if at < first_kept {
                outer = Some(directory);
            } else {
                self.levels[at].directory = Some(directory);
            }
        }
        Ok(())
    }
}

/// Duplicates a handle, for a second walk of the same tree.
///
/// # Errors
/// Those of dup(2).
pub fn duplicate(directory: impl AsFd) -> io::Result<OwnedFd> {
    io::fcntl_dupfd_cloexec(directory, 0)
}
