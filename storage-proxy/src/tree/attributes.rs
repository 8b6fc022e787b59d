//! Owners, modes, times and extended attributes: read from one file, given to another.
//!
//! The order matters. chown(2) clears setuid, setgid and `security.capability`, so it comes first; an ACL rewrites the
//! mode's group bits and so comes before chmod(2); the times come last, when nothing will be written any more.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{
        AtFlags, XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr, flistxattr, fremovexattr,
        fsetxattr, futimens, lgetxattr, llistxattr, lsetxattr, utimensat,
    },
    io::{Errno, Result as IoResult},
};

use super::{
    Fault, FileKind, Meta,
    error::{looking, system},
};

/// Largest value and largest list of names that Linux has (xattr(7)).
pub(super) const XATTR_MAX: usize = 64 * 1024;

/// Copies attributes one by one, with buffers to be used again and again.
#[derive(Debug)]
pub struct AttributeCopier {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for AttributeCopier {
    fn default() -> Self {
        Self {
            names: vec![0; XATTR_MAX],
            value: vec![0; XATTR_MAX],
        }
    }
}

impl AttributeCopier {
    /// Gives an open file or directory what `meta` says, and the extended attributes of `source`, if it is still there.
    /// `owner` is whose it is, user and group, where that is known.
    ///
    /// # Errors
    /// [`Fault::Owner`], and those of the calls.
    pub fn copy_open(
        &mut self,
        source: Option<BorrowedFd<'_>>,
        target: BorrowedFd<'_>,
        meta: &Meta,
        owner: Option<(u32, u32)>,
    ) -> Result<(), Fault> {
        if owner != Some((meta.uid, meta.gid)) {
            let (uid, gid) = meta.owner();
            fchown(target, Some(uid), Some(gid)).map_err(|errno| owner_refused(meta, errno))?;
        }
        if let Some(source) = source {
            self.copy_xattrs(
                |names| flistxattr(source, names),
                |name, value| fgetxattr(source, name, value),
                |name, value| fsetxattr(target, name, value, XattrFlags::empty()),
            )?;
        }
        fchmod(target, meta.mode_bits()).map_err(system("fchmod"))?;
        futimens(target, &meta.times()).map_err(system("futimens"))
    }

    /// Gives a symlink or special file, which can't be opened, what that of the same `name` in `from` has: the entry
    /// `name` of `to`, to which nobody else has access.
    ///
    /// # Errors
    /// As [`AttributeCopier::copy_open`].
    pub fn copy_entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        meta: &Meta,
    ) -> Result<(), Fault> {
        let (uid, gid) = meta.owner();
        chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| owner_refused(meta, errno))?;
        let (source, target) = (proc_path(from, name), proc_path(to, name));
        self.copy_xattrs(
            |names| llistxattr(&source, names),
            |name, value| lgetxattr(&source, name, value),
            |name, value| lsetxattr(&target, name, value, XattrFlags::empty()),
        )?;
        // A symlink has no mode of its own, and this call would follow it.
        if meta.kind != FileKind::Symlink {
            chmodat(to, name, meta.mode_bits(), AtFlags::empty()).map_err(system("fchmodat"))?;
        }
        utimensat(to, name, &meta.times(), AtFlags::SYMLINK_NOFOLLOW).map_err(system("utimensat"))
    }

    fn copy_xattrs(
        &mut self,
        list: impl Fn(&mut [u8]) -> IoResult<usize>,
        get: impl Fn(&CStr, &mut [u8]) -> IoResult<usize>,
        set: impl Fn(&CStr, &[u8]) -> IoResult<()>,
    ) -> Result<(), Fault> {
        for name in names_in(&mut self.names, list)? {
            let Some(value) = value_in(&mut self.value, name, &get)? else {
                continue;
            };
            match set(name, value) {
                Err(_) if is_of_the_machine(name) => {}
                done => done.map_err(system("setxattr"))?,
            }
        }
        Ok(())
    }
}

/// Reads the extended attributes that are the files' own, with buffers to be used again and again.
#[derive(Debug)]
pub struct AttributeReader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for AttributeReader {
    fn default() -> Self {
        Self {
            names: vec![0; XATTR_MAX],
            value: vec![0; XATTR_MAX],
        }
    }
}

impl AttributeReader {
    /// Visits those of an open file or directory, by ascending name.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn read_open(
        &mut self,
        file: BorrowedFd<'_>,
        visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        self.read(
            |names| flistxattr(file, names),
            |name, value| fgetxattr(file, name, value),
            visit,
        )
    }

    /// Visits those of a symlink or special file, which can't be opened: of the entry `name` of `directory`.
    ///
    /// # Errors
    /// Those of the calls.
    pub fn read_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let path = proc_path(directory, name);
        self.read(
            |names| llistxattr(&path, names),
            |name, value| lgetxattr(&path, name, value),
            visit,
        )
    }

    fn read(
        &mut self,
        list: impl Fn(&mut [u8]) -> IoResult<usize>,
        get: impl Fn(&CStr, &mut [u8]) -> IoResult<usize>,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let names = names_in(&mut self.names, list)?;
        let mut names: Vec<_> = names.filter(|name| !is_of_the_machine(name)).collect();
        names.sort_unstable();
        for name in names {
            if let Some(value) = value_in(&mut self.value, name, &get)? {
                visit(name.to_bytes(), value);
            }
        }
        Ok(())
    }
}

/// Takes from a new directory the ACLs that it has inherited, and would hand on to all that is made in it.
///
/// # Errors
/// Those of fremovexattr(2).
pub fn disinherit(directory: BorrowedFd<'_>) -> IoResult<()> {
    for name in [c"system.posix_acl_default", c"system.posix_acl_access"] {
        match fremovexattr(directory, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The kernel allocates as much as it is offered, for each call: hardly anything needs all that there is.
fn with_room(buffer: &mut [u8], call: impl Fn(&mut [u8]) -> IoResult<usize>) -> IoResult<usize> {
    const USUAL: usize = 256;
    match call(&mut buffer[..USUAL]) {
        Err(Errno::RANGE) => call(buffer),
        done => done,
    }
}

fn names_in(
    buffer: &mut [u8],
    list: impl Fn(&mut [u8]) -> IoResult<usize>,
) -> Result<impl Iterator<Item = &CStr>, Fault> {
    let length = match with_room(buffer, list) {
        // The filesystem has none.
        Err(Errno::OPNOTSUPP) => 0,
        done => done.map_err(looking("listxattr"))?,
    };
    let mut rest = &buffer[..length];
    Ok(std::iter::from_fn(move || {
        let name = CStr::from_bytes_until_nul(rest).ok()?;
        rest = &rest[name.count_bytes() + 1..];
        Some(name)
    }))
}

/// Nothing, if it was removed since it was listed, or is listed but not for us to read.
fn value_in<'a>(
    buffer: &'a mut [u8],
    name: &CStr,
    get: impl Fn(&CStr, &mut [u8]) -> IoResult<usize>,
) -> Result<Option<&'a [u8]>, Fault> {
    match with_room(buffer, |buffer| get(name, buffer)) {
        Ok(length) => Ok(Some(&buffer[..length])),
        Err(Errno::NODATA) => Ok(None),
        Err(_) if is_of_the_machine(name) => Ok(None),
        Err(errno) => Err(looking("getxattr")(errno)),
    }
}

/// Never shrugged off: a setuid file that became ours would run as us.
fn owner_refused(meta: &Meta, errno: Errno) -> Fault {
    match errno {
        Errno::PERM | Errno::INVAL => Fault::Owner {
            uid: meta.uid,
            gid: meta.gid,
        },
        other => Fault::System("fchown", other),
    }
}

/// Labels that a security module puts on files by its own rules (SELinux, IMA, …) and may refuse to take from us.
/// Capabilities are the file's own.
fn is_of_the_machine(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.starts_with(b"security.") && name != b"security.capability"
}

/// The one way to a symlink's xattrs relative to a directory handle (before Linux 6.13, setxattrat(2)).
fn proc_path(directory: BorrowedFd<'_>, name: &CStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    path
}
