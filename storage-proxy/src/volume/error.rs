//! Why something on a volume can't be done.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use super::Holder;
use crate::tree::TreeError;

/// Why a volume can't be opened. Each but [`OpenError::Held`] at start is waited out.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No such directory.
    #[error("{0} can't be opened: {1}; mount the volume there")]
    Missing(PathBuf, Errno),
    /// The directory has no volume.json.
    #[error(
        "{0} has no volume.json: the volume is not mounted there, or not initialised; \
         mount it, or run `storage-proxy volume init`"
    )]
    NotInitialised(PathBuf),
    /// volume.json doesn't read.
    #[error("{0}/volume.json can't be read: {1}")]
    Unreadable(PathBuf, String),
    /// Another volume is mounted there.
    #[error(
        "{path} holds the volume \"{found}\", not \"{wanted}\"; mount the right one, or correct the configuration"
    )]
    OtherName {
        /// Where.
        path: PathBuf,
        /// The name in volume.json.
        found: String,
        /// The name in the configuration.
        wanted: String,
    },
    /// A volume of the right name, and yet not the one.
    #[error(
        "{path} holds the volume {found}, not {wanted}; mount the right one (another one of the same name is taken \
         only by a new process whose configuration doesn't say `id`)"
    )]
    OtherVolume {
        /// Where.
        path: PathBuf,
        /// The id in volume.json.
        found: uuid::Uuid,
        /// The id in the configuration, or that of the volume which was there first.
        wanted: uuid::Uuid,
    },
    /// Made by a newer version.
    #[error(
        "{path} has the layout version {found}; this storage-proxy knows {known}; use a newer one"
    )]
    OtherLayout {
        /// Where.
        path: PathBuf,
        /// The version in volume.json.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another storage-proxy owns it.
    #[error("{path} is held by another storage-proxy: {holder}; stop that one first")]
    Held {
        /// Where.
        path: PathBuf,
        /// Which.
        holder: Holder,
    },
    /// A system call failed.
    #[error("{path}: {call} failed: {errno}")]
    System {
        /// On what.
        path: PathBuf,
        /// Which call.
        call: &'static str,
        /// With what.
        errno: Errno,
    },
}

/// Why something on an open volume can't be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VolumeError {
    /// It is not there now.
    #[error("volume \"{name}\" is not available: {why}")]
    Unavailable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// There is a tree already.
    #[error("there is a tree of that id already")]
    TreeExists,
    /// What is in a tree's place is none.
    #[error("what is at {0} is no directory; run `manager doctor`")]
    NotATree(String),
    /// Something on the way through a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A journal entry doesn't read.
    #[error(
        "the journal of operation {0} can't be read ({1}); remove it if the operation is not needed"
    )]
    Journal(uuid::Uuid, String),
    /// A vfolder's fence doesn't read.
    #[error(
        "journal/epochs/{0} can't be read, which says who may still write into that vfolder; remove it once nothing \
         that was begun before is under way"
    )]
    Note(uuid::Uuid),
    /// A system call failed.
    #[error("{what}: {call} failed: {errno}")]
    System {
        /// On what.
        what: String,
        /// Which call.
        call: &'static str,
        /// With what.
        errno: Errno,
    },
}

impl VolumeError {
    /// Whether space, inodes or a quota were lacking.
    #[must_use]
    pub fn is_for_want_of_space(&self) -> bool {
        matches!(
            self,
            Self::System {
                errno: Errno::NOSPC | Errno::DQUOT,
                ..
            }
        )
    }
}

/// `map_err` for system calls on an open volume.
pub(crate) fn on(what: &str, call: &'static str) -> impl Fn(Errno) -> VolumeError {
    move |errno| VolumeError::System {
        what: what.to_owned(),
        call,
        errno,
    }
}
