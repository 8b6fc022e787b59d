//! The project that a file or directory belongs to: linux/fs.h (`struct fsxattr`), ioctl_fsgetxattr(2). ext4 and XFS count
//! what belongs to one project together, and limit it ([`crate::quota`]).

use std::os::fd::AsFd;

use rustix::{
    io::Result,
    ioctl::{Getter, Opcode, Setter, ioctl, opcode},
};

/// `FS_XFLAG_PROJINHERIT`.
const INHERIT: u32 = 0x200;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy)]
struct FsXattr {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

const GET: Opcode = opcode::read::<FsXattr>(b'X', 31);
const SET: Opcode = opcode::write::<FsXattr>(b'X', 32);

/// The project of a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// Its number; 0 is nobody's and is never limited.
    pub id: u32,
    /// What is made in this directory belongs to the project, too; and nothing that belongs to another can be renamed or
    /// linked to here (`EXDEV`).
    pub inherit: bool,
}

/// The project of `file`.
///
/// # Errors
/// `ENOTTY` or `EOPNOTSUPP` where the filesystem knows none.
pub fn of(file: impl AsFd) -> Result<Project> {
    get(file).map(|found| Project {
        id: found.project,
        inherit: found.flags & INHERIT != 0,
    })
}

/// Gives `file` to a project, and leaves its other attributes as they are. What it holds counts there from now on. What is
/// below a directory stays where it is.
///
/// # Errors
/// As [`of`]; `EPERM` unless the file is ours, `EINVAL` in a user namespace of one's own, `EDQUOT` where it has no room
/// there.
pub fn set(file: impl AsFd, project: Project) -> Result<()> {
    let mut attributes = get(&file)?;
    attributes.project = project.id;
    attributes.flags = match project.inherit {
        true => attributes.flags | INHERIT,
        false => attributes.flags & !INHERIT,
    };
    // SAFETY: the kernel reads one `struct fsxattr` for this number.
    let setter = unsafe { Setter::<SET, FsXattr>::new(attributes) };
    // SAFETY: it is plain numbers.
    unsafe { ioctl(file, setter) }
}

fn get(file: impl AsFd) -> Result<FsXattr> {
    // SAFETY: the kernel writes one `struct fsxattr` for this number.
    let getter = unsafe { Getter::<GET, FsXattr>::new() };
    // SAFETY: it is plain numbers, any of which is valid.
    unsafe { ioctl(file, getter) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_structure_is_that_of_the_header() {
        assert_eq!(size_of::<FsXattr>(), 28);
        assert_eq!(GET, 0x801c_581f);
        assert_eq!(SET, 0x401c_5820);
    }

    #[test]
    fn other_filesystems_refuse_each_call() {
        let directory = std::fs::File::open("/proc/self").unwrap();
        assert!(of(&directory).is_err());
        assert!(set(&directory, Project::default()).is_err());
    }
}
