//! Files and directories that survive a power cut once the call has returned.

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, RenameFlags, chmod, fchmod, fstat, fsync, mkdirat, openat, renameat,
        renameat_with, statat, unlinkat,
    },
    io::{Errno, Result, read, write},
    path::Arg,
    process::geteuid,
};

use crate::tree::{
    Fault, Meta,
    attributes::disinherit,
    dirents::Dirents,
    open::{open_directory, way_to},
};

/// How the names of files end that are being written.
const PART: &[u8] = b".part";

/// Replaces the file `name` of `directory` by one with `content`: the old or the new is there at any time, whole.
pub fn replace_file(directory: impl AsFd, name: &str, content: &[u8]) -> Result<()> {
    let part = format!(".{name}{}", String::from_utf8_lossy(PART));
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &part, flags, Mode::from_raw_mode(0o644))?;
    let replaced = write_all(&file, content)
        .and_then(|()| fsync(&file))
        .and_then(|()| renameat(&directory, &part, &directory, name));
    if replaced.is_err() {
        // On a full filesystem it would take the last inode.
        let _ = unlinkat(&directory, &part, AtFlags::empty());
    }
    replaced.and_then(|()| fsync(&directory))
}

fn write_all(file: &OwnedFd, mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        match write(file, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes what a crash in [`replace_file`] has left in `directory`.
pub fn sweep_parts(directory: impl AsFd) -> Result<()> {
    let own = open_directory(&directory, c".")?;
    let mut dirents = Dirents::default();
    let mut more = true;
    while more {
        let batch = dirents.batch(own.as_fd(), |name, _| {
            let bytes = name.to_bytes();
            if bytes.starts_with(b".") && bytes.ends_with(PART) {
                let _ = unlinkat(&directory, name, AtFlags::empty());
            }
            Ok(())
        });
        more = match batch {
            Ok(position) => position.is_some(),
            Err((Fault::System(_, errno), _)) => return Err(errno),
            Err(_) => false,
        };
    }
    Ok(())
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

/// Opens the directory `name` of `parent`, and makes it first if it is missing. It has exactly `mode`, and is durable,
/// when it returns, also if whoever made it died in between.
pub fn make_directory(parent: impl AsFd, name: &CStr, mode: u32) -> Result<OwnedFd> {
    match open_directory(&parent, name) {
        Err(Errno::NOENT) => {}
        found => {
            let found = found?;
            if Meta::from(fstat(&found)?).mode != mode {
                fchmod(&found, Mode::from_bits_truncate(mode))?;
                fsync(&found)?;
            }
            // Its maker may be about to, or dead.
            fsync(&parent)?;
            return Ok(found);
        }
    }
    match mkdirat(&parent, name, Mode::RWXU) {
        // Another thread was faster.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let made = open_directory(&parent, name)?;
    disinherit(made.as_fd())?;
    fchmod(&made, Mode::from_bits_truncate(mode))?;
    fsync(&made)?;
    fsync(&parent)?;
    Ok(made)
}

/// Renames unless the new name is taken (`EEXIST`).
pub fn rename_to_free(
    from: impl AsFd,
    old: impl Arg + Copy,
    to: impl AsFd,
    new: impl Arg + Copy,
) -> Result<()> {
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

/// As [`rename_to_free`], for a tree that goes into another directory: for that, its root has to be writable for whoever is
/// not root (rename(2)). If it isn't, and is ours, it is for as long as that takes.
///
/// # Errors
/// Those of the calls; then the tree is where it was.
pub fn move_tree(
    from: impl AsFd,
    old: impl Arg + Copy,
    to: impl AsFd,
    new: impl Arg + Copy,
) -> Result<()> {
    match rename_to_free(&from, old, &to, new) {
        Err(Errno::ACCESS) => {}
        done => return done,
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let tree = openat(&from, old, flags, Mode::empty()).map_err(|_| Errno::ACCESS)?;
    let before = fstat(&tree)?;
    let mode = Mode::from_raw_mode(before.st_mode);
    if mode.contains(Mode::WUSR) || before.st_uid != geteuid().as_raw() {
        return Err(Errno::ACCESS);
    }
    let way = way_to(tree.as_fd());
    chmod(&way, mode | Mode::RWXU)?;
    // Opened while that is allowed: a handle of this kind can be synced. Without, a power cut may leave it writable.
    let opened = open_directory(&tree, c".");
    let renamed = opened
        .as_ref()
        .map_err(|errno| *errno)
        .and_then(|_| rename_to_free(&from, old, &to, new));
    let restored = chmod(&way, mode).and_then(|()| opened.map_or(Ok(()), fsync));
    match (renamed, restored) {
        (Ok(()), Err(errno)) => {
            tracing::warn!(%errno, "a tree's root may stay writable for its owner, which it was not");
            rename_to_free(&to, new, &from, old).and(Err(errno))
        }
        (renamed, _) => renamed,
    }
}
