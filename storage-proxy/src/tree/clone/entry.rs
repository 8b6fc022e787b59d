//! Copies one directory entry that is no directory, between two directory handles.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, mknodat, openat, readlinkat, statat, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{content::ContentCopier, links::Links};
use crate::tree::{
    Control, Fault, FileKind, Meta,
    attributes::AttributeCopier,
    error::{looking, system},
    open::{open_directory, open_regular},
};

/// How often an entry may turn into another kind of file while it is looked at.
const PATIENCE: usize = 16;
/// Nobody but us until it is complete.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What became of an entry.
#[derive(Debug)]
pub enum Copied {
    /// It is done.
    Done,
    /// It is a directory, open; what to do with it is the walk's affair.
    Directory(OwnedFd),
}

/// Copies entries; holds the buffers and what the filesystems have refused.
#[derive(Debug, Default)]
pub struct EntryCopier {
    /// Copies attributes.
    pub attributes: AttributeCopier,
    content: ContentCopier,
}

impl EntryCopier {
    /// Copies the entry `name` of `from` into `to`. `hint` is what the directory said that it is; what it really is is
    /// decided on an open handle, and looked up again if a writer changed it in between.
    pub fn copy(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        mut hint: FileKind,
        links: &Links,
        control: &Control,
    ) -> Result<Copied, Fault> {
        for _ in 0..PATIENCE {
            let copied = match hint {
                FileKind::Directory => open_directory(from, name)
                    .map(Copied::Directory)
                    .map_err(looking("open")),
                FileKind::Regular => self
                    .copy_regular(from, to, name, links, control)
                    .map(|()| Copied::Done),
                FileKind::Unknown => Err(Fault::Changed),
                _ => self
                    .copy_special(from, to, name, hint, links)
                    .map(|()| Copied::Done),
            };
            match copied {
                Err(Fault::Changed) => {
                    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(looking("fstatat"))?;
                    hint = Meta::from(stat).kind;
                }
                done => return done,
            }
        }
        Err(Fault::Changed)
    }

    fn copy_regular(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        links: &Links,
        control: &Control,
    ) -> Result<(), Fault> {
        let (source, meta) = open_regular(from, name, control)?;
        let _turn = links.turn(&meta);
        if links.link_known(&meta, to, name)? {
            return Ok(());
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = match openat(to, name, flags, PRIVATE) {
            Err(Errno::EXIST) => return Ok(()), // see `Links::link_known`
            done => done.map_err(system("open"))?,
        };
        self.content.copy(&source, &target, &meta, control)?;
        self.attributes
            .copy_open(Some(source.as_fd()), target.as_fd(), &meta)?;
        links.remember(&meta, to, name)
    }

    fn copy_special(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        hint: FileKind,
        links: &Links,
    ) -> Result<(), Fault> {
        let meta =
            Meta::from(statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?);
        if meta.kind != hint {
            return Err(Fault::Changed);
        }
        let _turn = links.turn(&meta);
        if links.link_known(&meta, to, name)? {
            return Ok(());
        }
        let made = match meta.kind {
            FileKind::Symlink => {
                let target = readlinkat(from, name, Vec::new()).map_err(|errno| match errno {
                    Errno::INVAL => Fault::Changed,
                    other => looking("readlinkat")(other),
                })?;
                symlinkat(&target, to, name)
            }
            FileKind::Fifo => mknodat(to, name, FileType::Fifo, PRIVATE, 0),
            FileKind::Socket => mknodat(to, name, FileType::Socket, PRIVATE, 0),
            FileKind::CharacterDevice => {
                mknodat(to, name, FileType::CharacterDevice, PRIVATE, meta.device)
            }
            FileKind::BlockDevice => mknodat(to, name, FileType::BlockDevice, PRIVATE, meta.device),
            FileKind::Regular | FileKind::Directory | FileKind::Unknown => {
                return Err(Fault::Changed);
            }
        };
        match made {
            Err(Errno::EXIST) => return Ok(()), // see `Links::link_known`
            done => done.map_err(system("mknodat"))?,
        }
        if let Err(fault) = self.attributes.copy_entry(from, to, name, &meta) {
            // It may have vanished or changed: half of it must not pass for a copy.
            let _ = unlinkat(to, name, AtFlags::empty());
            return Err(fault);
        }
        links.remember(&meta, to, name)
    }
}
