//! Owners, modes, times and extended attributes: read from one file, given to another.
//!
//! The order matters. chown(2) clears setuid, setgid and `security.capability`, so it comes first; an ACL rewrites the
//! mode's group bits and so comes before chmod(2); the times come last, when nothing will be written any more.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
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
const XATTR_MAX: usize = 64 * 1024;

/// What a file has besides its content.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// From stat(2).
    pub meta: Meta,
    xattrs: Vec<(CString, Vec<u8>)>,
}

/// Reads [`Attributes`], with buffers to be used again and again.
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
    /// Those of an open file or directory.
    ///
    /// # Errors
    /// Those of flistxattr(2) and fgetxattr(2).
    pub fn of_open(&mut self, file: impl AsFd, meta: Meta) -> Result<Attributes, Fault> {
        self.read(
            meta,
            |names| flistxattr(&file, names),
            |name, value| fgetxattr(&file, name, value),
        )
    }

    /// Those of a symlink or special file, which can't be opened: the entry `name` of `directory`.
    ///
    /// # Errors
    /// Those of llistxattr(2) and lgetxattr(2).
    pub fn of_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        meta: Meta,
    ) -> Result<Attributes, Fault> {
        let path = proc_path(directory, name);
        self.read(
            meta,
            |names| llistxattr(&path, names),
            |name, value| lgetxattr(&path, name, value),
        )
    }

    fn read(
        &mut self,
        meta: Meta,
        list: impl Fn(&mut [u8]) -> IoResult<usize>,
        get: impl Fn(&CStr, &mut [u8]) -> IoResult<usize>,
    ) -> Result<Attributes, Fault> {
        let length = match list(&mut self.names) {
            // The filesystem has none.
            Err(Errno::OPNOTSUPP) => 0,
            done => done.map_err(looking("listxattr"))?,
        };
        let mut xattrs = Vec::new();
        let mut rest = &self.names[..length];
        while let Ok(name) = CStr::from_bytes_until_nul(rest) {
            rest = &rest[name.count_bytes() + 1..];
            match get(name, &mut self.value) {
                Ok(length) => xattrs.push((name.to_owned(), self.value[..length].to_vec())),
                // Removed since it was listed, or listed but not for us to copy.
                Err(Errno::NODATA) => {}
                Err(_) if is_of_the_machine(name) => {}
                Err(errno) => return Err(looking("getxattr")(errno)),
            }
        }
        Ok(Attributes { meta, xattrs })
    }
}

impl Attributes {
    /// Gives them to an open file or directory.
    ///
    /// # Errors
    /// [`Fault::Owner`], and those of the calls.
    pub fn give_to_open(&self, file: impl AsFd) -> Result<(), Fault> {
        let (uid, gid) = self.meta.owner();
        fchown(&file, Some(uid), Some(gid)).map_err(|errno| self.owner_refused(errno))?;
        self.set_xattrs(|name, value| fsetxattr(&file, name, value, XattrFlags::empty()))?;
        fchmod(&file, self.meta.mode_bits()).map_err(system("fchmod"))?;
        futimens(&file, &self.meta.times()).map_err(system("futimens"))
    }

    /// Gives them to a symlink or special file: the entry `name` of `directory`, to which nobody else has access.
    ///
    /// # Errors
    /// As [`Attributes::give_to_open`].
    pub fn give_to_entry(&self, directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        let (uid, gid) = self.meta.owner();
        chownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| self.owner_refused(errno))?;
        if !self.xattrs.is_empty() {
            let path = proc_path(directory, name);
            self.set_xattrs(|name, value| lsetxattr(&path, name, value, XattrFlags::empty()))?;
        }
        // A symlink has no mode of its own, and this call would follow it.
        if self.meta.kind != FileKind::Symlink {
            chmodat(directory, name, self.meta.mode_bits(), AtFlags::empty())
                .map_err(system("fchmodat"))?;
        }
        utimensat(
            directory,
            name,
            &self.meta.times(),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(system("utimensat"))
    }

    fn set_xattrs(&self, set: impl Fn(&CStr, &[u8]) -> IoResult<()>) -> Result<(), Fault> {
        for (name, value) in &self.xattrs {
            match set(name, value) {
                Err(_) if is_of_the_machine(name) => {}
                done => done.map_err(system("setxattr"))?,
            }
        }
        Ok(())
    }

    /// Never shrugged off: a setuid file that became ours would run as us.
    fn owner_refused(&self, errno: Errno) -> Fault {
        match errno {
            Errno::PERM | Errno::INVAL => Fault::Owner {
                uid: self.meta.uid,
                gid: self.meta.gid,
            },
            other => Fault::System("fchown", other),
        }
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
