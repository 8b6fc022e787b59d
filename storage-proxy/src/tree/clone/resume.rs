//! Going on with a copy that was killed: what is there already is kept if it is what the source says.

use std::{
    ffi::CStr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, fchmod, flistxattr, fremovexattr, openat, readlinkat, statat,
        unlinkat,
    },
    io::Errno,
};

use super::{
    checkpoint::{Resume, Trust},
    entry::{Copying, EntryCopier},
    links::Standing,
};
use crate::tree::{
    Control, Fault, FileKind, Meta, Workers,
    attributes::XATTR_MAX,
    dirents::Dirents,
    error::{looking, system},
    open::open_regular,
    remove_tree,
};

/// What became of an entry that may be there already.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// It was, and stays; so many bytes long.
    Kept(u64),
    /// It was begun, and is complete now.
    Completed,
    /// It was, but not as it should be; it is removed and must be copied.
    Discarded,
    /// It is not there, and must be copied.
    Absent,
}

/// Smaller files are copied anew rather than gone on with.
const WORTH_GOING_ON: u64 = 8 << 20;

impl EntryCopier<'_> {
    /// Keeps, completes or removes the entry `name` of `to`, the copy of that in `from`, which is no directory.
    pub(super) fn resume(
        &mut self,
        resume: &Resume,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        job: &Copying<'_>,
    ) -> Result<Resumed, Fault> {
        let Some(copy) = there(to, name)? else {
            return Ok(Resumed::Absent);
        };
        let source = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(looking("fstatat"))?;
        let source = Meta::from(source);
        let _turn = job.links.turn(&source);
        let trust = resume.judge(&source, &copy);
        let kept = match (source.kind, trust) {
            (FileKind::Regular, Trust::Whole) => true,
            (FileKind::Regular, Trust::Unproven) => self.prove(from, to, name, job.control)?,
            (FileKind::Regular, Trust::Begun(trusted))
                if copy.size >= WORTH_GOING_ON
                    && copy.links == 1
                    // In this life, another name of it may have been copied first.
                    && job.links.standing(&source, &copy, to, name)? != Standing::Other =>
            {
                self.go_on(from, to, name, trusted, job)?;
                return Ok(Resumed::Completed);
            }
            (FileKind::Symlink, Trust::Whole | Trust::Unproven) => {
                let target = |at| readlinkat(at, name, Vec::new()).map_err(looking("readlinkat"));
                target(from)? == target(to)?
            }
            (_, trust) => matches!(trust, Trust::Whole | Trust::Unproven),
        };
        let standing = match kept {
            true => job.links.standing(&source, &copy, to, name)?,
            false => Standing::Other,
        };
        if standing != Standing::Other {
            let bytes = match source.kind {
                // Each file counts once.
                FileKind::Regular if standing == Standing::First => source.size,
                _ => 0,
            };
            return Ok(Resumed::Kept(bytes));
        }
        discard(to, name, job.control)?;
        Ok(Resumed::Discarded)
    }

    /// Whether the contents are the same. Then the attributes are given once more: what was not durable is, after this
    /// life's sync, as if it had been written in it.
    fn prove(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        control: &Control,
    ) -> Result<bool, Fault> {
        let (source, meta) = open_regular(from, name, control)?;
        // Its mode may keep us from writing it, unless we are root.
        let (copy, writable) = match open_copy(to, name, OFlags::RDWR) {
            Ok(copy) => (copy, true),
            Err(_) => (open_copy(to, name, OFlags::RDONLY)?, false),
        };
        // Sharing all blocks once more takes no time; comparing would read both.
        let content = &mut self.content;
        if !(writable && content.share_blocks(&source, &copy, meta.size, control)?)
            && content.same_until(&source, &copy, 0, meta.size, control)? < meta.size
        {
            return Ok(false);
        }
        self.attributes
            .copy_open(Some(source.as_fd()), copy.as_fd(), &meta, None)?;
        Ok(true)
    }

    fn go_on(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        trusted: u64,
        job: &Copying<'_>,
    ) -> Result<(), Fault> {
        let (source, meta) = open_regular(from, name, job.control)?;
        let copy = open_copy(to, name, OFlags::RDWR)?;
        self.content.go_on(&source, &copy, &meta, trusted, job)?;
        self.attributes
            .copy_open(Some(source.as_fd()), copy.as_fd(), &meta, None)
    }
}

/// Makes a directory of the copy, `directory`, as it was before it got its attributes.
pub(super) fn undress(directory: BorrowedFd<'_>) -> Result<(), Fault> {
    fchmod(directory, Mode::RWXU).map_err(system("fchmod"))?;
    let mut names = vec![0; XATTR_MAX];
    let length = match flistxattr(directory, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        done => done.map_err(system("flistxattr"))?,
    };
    let mut rest = &names[..length];
    while let Ok(name) = CStr::from_bytes_until_nul(rest) {
        rest = &rest[name.count_bytes() + 1..];
        // A default ACL would be inherited by what is made in it. Labels that can't be removed are given again.
        let _ = fremovexattr(directory, name);
    }
    Ok(())
}

/// Removes from `copy` what `source` doesn't have any more.
pub(super) fn remove_what_vanished(
    source: BorrowedFd<'_>,
    copy: &OwnedFd,
    control: &Control,
) -> Result<(), Fault> {
    let mut dirents = Dirents::default();
    let own = crate::tree::open::open_directory(copy, c".").map_err(system("open"))?;
    let mut more = true;
    while more {
        more = dirents
            .batch(own.as_fd(), |name, _| {
                control.check()?;
                if there(source, name)?.is_none() {
                    discard(copy.as_fd(), name, control)?;
                }
                Ok(())
            })
            .map_err(|(fault, _)| fault)?
            .is_some();
    }
    Ok(())
}

/// Removes the entry `name` of `to`, whatever it is.
pub(super) fn discard(to: BorrowedFd<'_>, name: &CStr, control: &Control) -> Result<(), Fault> {
    match unlinkat(to, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {
            remove_tree(to, name, Workers::ONE, &control.beside()).map_err(|error| error.fault)
        }
        Err(errno) => Err(Fault::System("unlinkat", errno)),
    }
}

fn there(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<Meta>, Fault> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Meta::from(stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Fault::System("fstatat", errno)),
    }
}

/// Nobody but us has access to the copy: what it is was just looked up.
fn open_copy(to: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Fault> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(to, name, flags, Mode::empty()).map_err(system("open"))
}
