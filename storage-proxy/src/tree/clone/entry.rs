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

use super::{
    alike::shown_twice,
    checkpoint::{Ongoing, Resume},
    content::ContentCopier,
    digest::CopyDigest,
    habits::Habits,
    links::{Known, Links},
    resume::Resumed,
};
use crate::tree::{
    Control, Fault, FileKind, Meta,
    attributes::AttributeCopier,
    digest::PathDigest,
    error::{looking, system},
    open::{open_directory, open_regular},
};

/// How often an entry may turn into another kind of file while it is looked at.
const PATIENCE: usize = 16;
/// From here on, threads share the files of one directory: copying one takes milliseconds.
const LARGE: u64 = 16 << 20;

/// Nobody but us until it is complete.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What the threads of one clone share.
#[derive(Debug)]
pub struct Copying<'a> {
    pub links: Links,
    /// What an earlier life has left is gone on with.
    pub resume: Option<Resume>,
    pub ongoing: &'a Ongoing,
    pub habits: Habits,
    pub control: &'a Control,
}

/// A directory of the copy.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub directory: BorrowedFd<'a>,
    /// Whose the files are that we make in it, user and group, where that is known.
    pub owner: Option<(u32, u32)>,
    /// Where it is in the copy, if that is digested.
    pub path: Option<PathDigest>,
}

/// Whether what takes long is left to whichever thread is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOff {
    /// Large files are.
    Large,
    /// Nothing is.
    Nothing,
}

/// What became of an entry.
#[derive(Debug)]
pub enum Copied {
    /// It is done.
    Done,
    /// Nothing yet: it takes long.
    Long,
    /// It is done; something was there, from an earlier life, that could not be kept as it was.
    Redone,
    /// It was there already, from an earlier life, and is as it should be; this many bytes long.
    Kept(u64),
    /// It is a directory, open; what to do with it is the walk's affair.
    Directory(OwnedFd),
}

/// Copies entries; holds the buffers and what the filesystems have refused.
#[derive(Debug, Default)]
pub struct EntryCopier<'a> {
    /// Copies attributes.
    pub attributes: AttributeCopier,
    pub(super) content: ContentCopier,
    /// Digests what is copied, if that is wanted.
    pub(super) digest: Option<CopyDigest<'a>>,
}

impl<'a> EntryCopier<'a> {
    /// Copies the entry `name` of `from` into `to`. `hint` is what the directory said that it is; what it really is is
    /// decided on an open handle, and looked up again if a writer changed it in between. What would take long may be put
    /// off.
    pub fn copy(
        &mut self,
        from: BorrowedFd<'_>,
        to: Destination<'_>,
        name: &CStr,
        mut hint: FileKind,
        put_off: PutOff,
        job: &Copying<'_>,
    ) -> Result<Copied, Fault> {
        for _ in 0..PATIENCE {
            let copied = match hint {
                FileKind::Directory => open_directory(from, name)
                    .map(Copied::Directory)
                    .map_err(looking("open")),
                FileKind::Unknown => Err(Fault::Changed),
                kind => self.copy_file(from, to, name, kind, put_off, job),
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

    fn copy_file(
        &mut self,
        from: BorrowedFd<'_>,
        to: Destination<'_>,
        name: &CStr,
        kind: FileKind,
        put_off: PutOff,
        job: &Copying<'_>,
    ) -> Result<Copied, Fault> {
        let mut done = Copied::Done;
        if let Some(resume) = &job.resume {
            match self.resume(resume, from, to.directory, name, job)? {
                Resumed::Kept(bytes) => return Ok(Copied::Kept(bytes)),
                Resumed::Completed => return Ok(Copied::Redone),
                Resumed::Discarded => done = Copied::Redone,
                Resumed::Absent => {}
            }
        }
        match kind {
            FileKind::Regular => {
                if !self.copy_regular(from, to, name, put_off, job)? {
                    return Ok(Copied::Long);
                }
            }
            _ => self.copy_special(from, to, name, kind, job)?,
        }
        Ok(done)
    }

    /// Answers false if it is put off.
    fn copy_regular(
        &mut self,
        from: BorrowedFd<'_>,
        to: Destination<'_>,
        name: &CStr,
        put_off: PutOff,
        job: &Copying<'_>,
    ) -> Result<bool, Fault> {
        let Destination {
            directory: to,
            owner,
            path,
        } = to;
        let links = &job.links;
        let (source, meta) = open_regular(from, name, job.control)?;
        if put_off == PutOff::Large && meta.size >= LARGE {
            return Ok(false);
        }
        let _turn = links.turn(&meta);
        if self.is_known(&meta, to, path, name, job)? {
            return Ok(true);
        }
        let access = match self.digest {
            // What shares its blocks is read.
            Some(_) => OFlags::RDWR,
            None => OFlags::WRONLY,
        };
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = match openat(to, name, flags, PRIVATE) {
            Err(Errno::EXIST) => return shown_twice(to, name, job.control).map(|()| true),
            done => done.map_err(system("open"))?,
        };
        let hasher = self.digest.as_mut().map(CopyDigest::content);
        let content = self.content.copy(&source, &target, &meta, hasher, job);
        let filled = content.and_then(|()| {
            let (source, target) = (Some(source.as_fd()), target.as_fd());
            self.attributes.copy_open(source, target, &meta, owner)
        });
        if let Err(Fault::Gone | Fault::Changed) = filled {
            // Half of it must not pass for a copy.
            let _ = unlinkat(to, name, AtFlags::empty());
        }
        filled?;
        if let Some((digest, path)) = self.digested(path, name) {
            digest.add_file(&path, &target, meta.links)?;
        }
        links.remember(&meta, to, name)?;
        Ok(true)
    }

    /// Whether there is nothing left to do but to have given the copy one more name.
    fn is_known(
        &mut self,
        meta: &Meta,
        to: BorrowedFd<'_>,
        path: Option<PathDigest>,
        name: &CStr,
        job: &Copying<'_>,
    ) -> Result<bool, Fault> {
        let known = job.links.link_known(meta, to, name)?;
        if known == Known::Already {
            shown_twice(to, name, job.control)?;
        }
        if known == Known::Linked
            && let Some((digest, path)) = self.digested(path, name)
        {
            digest.add_link(&path, (to, name))?;
        }
        Ok(known != Known::No)
    }

    /// What digests the entry `name` of the directory at `parent`, and where that is; nothing if it isn't wanted.
    fn digested(
        &mut self,
        parent: Option<PathDigest>,
        name: &CStr,
    ) -> Option<(&mut CopyDigest<'a>, PathDigest)> {
        let digest = self.digest.as_mut()?;
        let path = digest.path(&parent?, name);
        Some((digest, path))
    }

    fn copy_special(
        &mut self,
        from: BorrowedFd<'_>,
        to: Destination<'_>,
        name: &CStr,
        hint: FileKind,
        job: &Copying<'_>,
    ) -> Result<(), Fault> {
        let (path, to, links) = (to.path, to.directory, &job.links);
        let meta =
            Meta::from(statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?);
        if meta.kind != hint {
            return Err(Fault::Changed);
        }
        let _turn = links.turn(&meta);
        if self.is_known(&meta, to, path, name, job)? {
            return Ok(());
        }
        let mut leads_to = None;
        let made = match meta.kind {
            FileKind::Symlink => {
                let target = readlinkat(from, name, Vec::new()).map_err(|errno| match errno {
                    Errno::INVAL => Fault::Changed,
                    other => looking("readlinkat")(other),
                })?;
                let made = symlinkat(&target, to, name);
                leads_to = Some(target);
                made
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
            Err(Errno::EXIST) => return shown_twice(to, name, job.control),
            done => done.map_err(system("mknodat"))?,
        }
        if let Err(fault) = self.attributes.copy_entry(from, to, name, &meta) {
            // It may have vanished or changed: half of it must not pass for a copy.
            let _ = unlinkat(to, name, AtFlags::empty());
            return Err(fault);
        }
        if let Some((digest, path)) = self.digested(path, name) {
            let target = leads_to.as_ref().map(|target| target.as_bytes());
            digest.add_special(&path, (to, name), target, meta.links)?;
        }
        links.remember(&meta, to, name)
    }
}
