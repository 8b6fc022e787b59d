//! Why a tree was not cloned or removed.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::tree::TreeError;

/// What goes wrong, and what to do.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// SIGINT or SIGTERM.
    #[error("interrupted{}", what_is(left))]
    Interrupted {
        /// What is half destroyed.
        left: Vec<PathBuf>,
    },
    /// The clone has no place.
    #[error("{0} exists already; name a path that is free")]
    Exists(PathBuf),
    /// The copy would contain itself.
    #[error("{target} is inside of {source_path}; a tree can't be cloned into itself")]
    Inside {
        /// The destination.
        target: PathBuf,
        /// What was to be cloned.
        source_path: PathBuf,
    },
    /// The copy is there, and may not stay.
    #[error("{0} is whole, but a power cut may still take it away: fsync failed: {1}")]
    Undurable(PathBuf, Errno),
    /// Another process stages there.
    #[error("another clone to that place is running: it holds {0}")]
    Busy(PathBuf),
    /// The staging's name is taken by somebody else's.
    #[error("{0} is in the way and not ours; look what it is, and remove it")]
    Foreign(PathBuf),
    /// Not a name in a directory.
    #[error("{0} is no name of something in a directory; say which directory is meant by its name")]
    Nameless(PathBuf),
    /// There is nothing.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// Named as a directory, and is a symlink to one.
    #[error("{0} is a symlink; leave the slash to remove it, or name what it points to")]
    Symlink(PathBuf),
    /// Another filesystem hangs there.
    #[error("{at} is a mount point; unmount it before {path} is removed")]
    MountPoint {
        /// What was to be removed.
        path: PathBuf,
        /// It, or something in it.
        at: PathBuf,
    },
    /// Something in a tree.
    #[error("{}: {error}", path.display())]
    Tree {
        /// The tree.
        path: PathBuf,
        /// What and where in it.
        error: TreeError,
    },
    /// Something in one of two trees.
    #[error("comparing {} with {}: {error}", first.display(), second.display())]
    Either {
        /// The first tree.
        first: PathBuf,
        /// The second tree.
        second: PathBuf,
        /// What and where in one of them.
        error: TreeError,
    },
    /// A system call failed.
    #[error("{}: {call} failed: {errno}", path.display())]
    System {
        /// On what.
        path: PathBuf,
        /// Which call.
        call: &'static str,
        /// With what.
        errno: Errno,
    },
    /// Too many hard links to remember.
    #[error(
        "no differences, but there are too many hard links to tell whether all lead to the same files"
    )]
    LinksUnknown,
    /// The program itself could not be set up.
    #[error("{0} failed: {1}")]
    Process(&'static str, io::Error),
    /// Some of several paths failed; each was told.
    #[error("{failed} of {all} were not removed")]
    Some {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
}

/// `map_err` for system calls.
pub fn on(path: impl Into<PathBuf>, call: &'static str) -> impl FnOnce(Errno) -> OfflineError {
    let path = path.into();
    move |errno| OfflineError::System { path, call, errno }
}

fn what_is(left: &[PathBuf]) -> String {
    let mut text = String::new();
    for path in left {
        text.push_str("; left to be removed: ");
        text.push_str(&path.display().to_string());
    }
    text
}
