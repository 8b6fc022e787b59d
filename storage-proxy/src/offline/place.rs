//! A name in a directory, taken from a path that somebody typed.

use std::{
    ffi::{CString, OsStr, OsString},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{CWD, Mode, OFlags, fstat, openat},
    io::Errno,
};

use super::error::{OfflineError, on};
use crate::tree::{Meta, open::way_to};

/// linux/limits.h
const NAME_MAX: usize = 255;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// A directory, open, and a name in it that may be free or taken.
#[derive(Debug)]
pub struct Place {
    /// As it was typed.
    pub path: PathBuf,
    /// The directory.
    pub parent: Arc<OwnedFd>,
    /// The name in it; neither "." nor "..".
    pub name: CString,
    /// Whether a slash at the end said that it is a directory.
    pub is_directory: bool,
    /// The directory's path.
    way: PathBuf,
}

impl Place {
    /// Opens the directory that `path` is in. What the name itself leads to isn't looked at.
    pub fn open(path: &Path) -> Result<Self, OfflineError> {
        Self::open_after(path, None)
    }

    /// As [`Place::open`], with the handle of `last` if its path has the same directory: thousands of paths in one are one
    /// handle.
    pub fn open_after(path: &Path, last: Option<&Self>) -> Result<Self, OfflineError> {
        let nameless = || OfflineError::Nameless(path.to_owned());
        // Not Path's components: they drop a "." at the end, and "a/." is not meant to be "a" here.
        let bytes = path.as_os_str().as_bytes();
        let end = bytes
            .iter()
            .rposition(|b| *b != b'/')
            .ok_or_else(nameless)?
            + 1;
        let start = bytes[..end]
            .iter()
            .rposition(|b| *b == b'/')
            .map_or(0, |at| at + 1);
        let name = &bytes[start..end];
        if name == b"." || name == b".." {
            return Err(nameless());
        }
        let way = match &bytes[..start] {
            b"" => Path::new("."),
            way => Path::new(OsStr::from_bytes(way)),
        };
        let parent = match last.filter(|last| last.way == way) {
            Some(last) => Arc::clone(&last.parent),
            None => Arc::new(open_directory(way)?),
        };
        Ok(Self {
            path: path.to_owned(),
            parent,
            way: way.to_owned(),
            name: CString::new(name).map_err(|_| nameless())?,
            is_directory: end < bytes.len(),
        })
    }

    /// The path of a sibling.
    pub fn sibling(&self, name: &CString) -> PathBuf {
        let parent = self.path.parent().unwrap_or(Path::new(""));
        parent.join(OsStr::from_bytes(name.as_bytes()))
    }

    /// A hidden name for the same thing: `.<name><suffix>`, the name cut if that is too long.
    pub fn hidden(&self, suffix: &str) -> CString {
        let room = NAME_MAX - 1 - suffix.len();
        let name = self.name.as_bytes();
        let kept = &name[..name.len().min(room)];
        CString::new([b".", kept, suffix.as_bytes()].concat()).unwrap_or_default()
    }
}

/// Opens a directory by a path that was typed.
pub fn open_directory(path: &Path) -> Result<OwnedFd, OfflineError> {
    openat(CWD, path, DIRECTORY, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => OfflineError::Missing(path.to_owned()),
        errno => on(path, "open")(errno),
    })
}

/// Whether `inner` is `outer` or somewhere below it.
pub fn is_within(inner: BorrowedFd<'_>, outer: BorrowedFd<'_>) -> Result<bool, Errno> {
    let outer = Meta::from(fstat(outer)?).id;
    let mut at = openat(inner, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        let id = Meta::from(fstat(&at)?).id;
        if id == outer {
            return Ok(true);
        }
        let up = openat(&at, c"..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if Meta::from(fstat(&up)?).id == id {
            return Ok(false);
        }
        at = up;
    }
}

/// Where a directory is now, from the root of the filesystems that we see.
pub fn whereabouts(directory: &OwnedFd) -> Result<PathBuf, Errno> {
    let path = rustix::fs::readlink(way_to(directory.as_fd()), Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}
