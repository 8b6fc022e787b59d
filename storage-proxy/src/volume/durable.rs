//! Files and directories that survive a power cut once the call has returned.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, RenameFlags, fchmod, fsync, mkdirat, openat, renameat,
        renameat_with, statat, unlinkat,
    },
    io::{Errno, Result, read, write},
};

use crate::tree::open::open_directory;

/// Replaces the file `name` of `directory` by one with `content`: the old or the new is there at any time, whole.
pub fn replace_file(directory: impl AsFd, name: &str, content: &[u8]) -> Result<()> {
    let part = format!(".{name}.part");
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &part, flags, Mode::from_raw_mode(0o644))?;
    let mut rest = content;
    while !rest.is_empty() {
        match write(&file, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    fsync(&file)?;
    renameat(&directory, &part, &directory, name)?;
    fsync(&directory)
}

/// The whole file `name` of `directory`; nothing if there is none.
pub fn read_file(directory: impl AsFd, name: &str) -> Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(&file, &mut buffer) {
            Ok(0) => return Ok(Some(content)),
            Ok(got) => content.extend_from_slice(&buffer[..got]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Removes the file `name` of `directory`. Answers whether there was one.
pub fn remove_file(directory: impl AsFd, name: &str) -> Result<bool> {
    match unlinkat(&directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(false),
        done => done.and_then(|()| fsync(&directory)).map(|()| true),
    }
}

/// Opens the directory `name` of `parent`, and makes it first, with exactly `mode`, if it is missing.
pub fn make_directory(parent: impl AsFd, name: &CStr, mode: u32) -> Result<OwnedFd> {
    match open_directory(&parent, name) {
        Err(Errno::NOENT) => {}
        done => return done,
    }
    match mkdirat(&parent, name, Mode::RWXU) {
        // Another thread was faster.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let made = open_directory(&parent, name)?;
    fchmod(&made, Mode::from_bits_truncate(mode))?;
    fsync(&made)?;
    fsync(&parent)?;
    Ok(made)
}

/// Renames unless the new name is taken (`EEXIST`).
pub fn rename_to_free(from: impl AsFd, old: &str, to: impl AsFd, new: &str) -> Result<()> {
    match renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        // The filesystem can't. Nobody else writes into these directories, so that looking first is as good.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match statat(&to, new, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => return Err(Errno::EXIST),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            renameat(&from, old, &to, new)
        }
        done => done,
    }
}
