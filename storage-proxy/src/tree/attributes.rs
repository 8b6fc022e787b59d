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
        AtFlags, XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr, flistxattr, fsetxattr,
        futimens, lgetxattr, llistxattr, lsetxattr, utimensat,
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
        let length = match list(&mut self.names) {
            // The filesystem has none.
            Err(Errno::OPNOTSUPP) => 0,
            done => done.map_err(looking("listxattr"))?,
        };
        let mut rest = &self.names[..length];
        while let Ok(name) = CStr::from_bytes_until_nul(rest) {
            rest = &rest[name.count_bytes() + 1..];
            let length = match get(name, &mut self.value) {
                Ok(length) => length,
                // Removed since it was listed, or listed but not for us to copy.
                Err(Errno::NODATA) => continue,
                Err(_) if is_of_the_machine(name) => continue,
                Err(errno) => return Err(looking("getxattr")(errno)),
            };
            match set(name, &self.value[..length]) {
                Err(_) if is_of_the_machine(name) => {}
                done => done.map_err(system("setxattr"))?,
            }
        }
        Ok(())
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
