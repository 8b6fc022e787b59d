//! Turns a directory into a volume.

use std::{
    ffi::CString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, open},
    io::Errno,
};
use thiserror::Error;
use uuid::Uuid;

use super::{
    Description, LAYOUT,
    durable::{make_directory, read_file, replace_file},
    layout::{DESCRIPTION, DIRECTORIES, LOCK},
    lock,
};
use crate::tree::dirents::Dirents;

/// Why a directory can't become a volume.
#[derive(Debug, Error)]
pub enum InitError {
    /// It is another volume.
    #[error(
        "{path} is the volume \"{found}\" already; choose another directory, or call it by that name"
    )]
    Initialised {
        /// Where.
        path: PathBuf,
        /// Its name.
        found: String,
    },
    /// Somebody else's files are in it.
    #[error("{0} is not empty; choose an empty directory, or the root of an empty filesystem")]
    NotEmpty(PathBuf),
    /// Names are words of the configuration and of messages.
    #[error(
        "\"{0}\" is no name for a volume: use 1 to 63 letters, digits, '.', '_' and '-', beginning with a letter or digit"
    )]
    Name(String),
    /// volume.json doesn't read.
    #[error("{0}/volume.json can't be read: {1}")]
    Unreadable(PathBuf, String),
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

/// Makes `path` the volume `name`; makes the directory if it is missing. Durable when it returns, and harmless to repeat.
///
/// # Errors
/// See [`InitError`].
pub fn init(path: &Path, name: &str) -> Result<Description, InitError> {
    let system = |call| {
        move |errno| InitError::System {
            path: path.to_owned(),
            call,
            errno,
        }
    };
    if !is_name(name) {
        return Err(InitError::Name(name.to_owned()));
    }
    match mkdirat(CWD, path, Mode::from_raw_mode(0o711)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(system("mkdir")(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty()).map_err(system("open"))?;
    let existing = read_file(&root, DESCRIPTION).map_err(system("read"))?;
    let description = match existing {
        Some(content) => {
            let found: Description = serde_json::from_slice(&content)
                .map_err(|error| InitError::Unreadable(path.to_owned(), error.to_string()))?;
            if found.name != name {
                return Err(InitError::Initialised {
                    path: path.to_owned(),
                    found: found.name,
                });
            }
            Some(found)
        }
        None if is_empty(&root).map_err(system("getdents64"))? => None,
        None => return Err(InitError::NotEmpty(path.to_owned())),
    };
    for (directory, mode) in DIRECTORIES {
        let directory = CString::new(directory).unwrap_or_default();
        make_directory(&root, &directory, mode).map_err(system("mkdir"))?;
    }
    if description.is_none() {
        lock::prepare(&root).map_err(system("write"))?;
    }
    // Last: a volume.json says that the rest is there.
    match description {
        Some(description) => Ok(description),
        None => {
            let made = Description {
                volume_id: Uuid::new_v4(),
                name: name.to_owned(),
                layout: LAYOUT,
            };
            let mut content = serde_json::to_vec_pretty(&made).unwrap_or_default();
            content.push(b'\n');
            replace_file(&root, DESCRIPTION, &content).map_err(system("write"))?;
            Ok(made)
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Empty but for what mkfs makes, and for what an interrupted run of ours left.
fn is_empty(root: &OwnedFd) -> Result<bool, Errno> {
    let ours = |name: &[u8]| {
        DIRECTORIES
            .iter()
            .any(|(directory, _)| directory.as_bytes() == name)
            || [&b".volume.json.part"[..], b".lock.part"].contains(&name)
    };
    let (mut empty, mut begun, mut locked) = (true, false, false);
    let mut dirents = Dirents::default();
    let mut more = true;
    while more {
        let batch = dirents.batch(std::os::fd::AsFd::as_fd(root), |name, _| {
            begun |= ours(name.to_bytes());
            let lock = name.to_bytes() == LOCK.as_bytes();
            locked |= lock;
            empty &= lock || name == c"lost+found" || ours(name.to_bytes());
            Ok(())
        });
        more = match batch {
            Ok(position) => position.is_some(),
            Err((crate::tree::Fault::System(_, errno), _)) => return Err(errno),
            Err(_) => return Ok(false),
        };
    }
    // A directory of somebody's that happens to have only a `tree` in it is not ours.
    Ok(empty
        && (begun || !locked)
        && (!begun
            || DIRECTORIES
                .iter()
                .all(|(name, _)| directory_is_empty(root, name))))
}

fn directory_is_empty(root: &OwnedFd, name: &str) -> bool {
    let Ok(name) = CString::new(name) else {
        return false;
    };
    match crate::tree::open::open_directory(root, &name) {
        Err(Errno::NOENT) => true,
        Err(_) => false,
        Ok(directory) => {
            let mut empty = true;
            let read = Dirents::default().batch(std::os::fd::AsFd::as_fd(&directory), |_, _| {
                empty = false;
                Ok(())
            });
            read.is_ok() && empty
        }
    }
}
