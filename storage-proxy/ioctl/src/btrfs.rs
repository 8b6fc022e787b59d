//! Subvolumes of btrfs: linux/btrfs.h, and btrfs-subvolume(8) for what they are.

use std::{
    ffi::CStr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use rustix::{
    fs::fstat,
    io::{Errno, Result},
    ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode},
};

/// linux/btrfs.h: `BTRFS_IOCTL_MAGIC`.
const MAGIC: u8 = 0x94;
/// linux/btrfs_tree.h: `BTRFS_FIRST_FREE_OBJECTID`, the inode number of every subvolume's root directory.
const ROOT_INODE: u64 = 256;
/// linux/magic.h: `BTRFS_SUPER_MAGIC`.
pub const SUPER_MAGIC: u64 = 0x9123_683e;
/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_SUBVOL_NAME_MAX`, and the NUL.
const NAME: usize = 4040;
/// `BTRFS_MAX_ROOTREF_BUFFER_NUM`.
const ROOT_REFS: usize = 255;

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; NAME],
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
struct RootRefArgs {
    min_treeid: u64,
    root_refs: [RootRef; ROOT_REFS],
    num_items: u8,
    align: [u8; 7],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RootRef {
    tree_id: u64,
    directory_id: u64,
}

/// `struct btrfs_ioctl_fs_info_args`, of which only the id is read.
#[repr(C)]
struct FsInfoArgs {
    devices: [u64; 2],
    fsid: [u8; 16],
    rest: [u64; 124],
}

const SNAP_CREATE_V2: Opcode = opcode::write::<VolArgsV2>(MAGIC, 23);
const SUBVOL_CREATE_V2: Opcode = opcode::write::<VolArgsV2>(MAGIC, 24);
const SUBVOL_GETFLAGS: Opcode = opcode::read::<u64>(MAGIC, 25);
const SUBVOL_SETFLAGS: Opcode = opcode::write::<u64>(MAGIC, 26);
const FS_INFO: Opcode = opcode::read::<FsInfoArgs>(MAGIC, 31);
const GET_SUBVOL_ROOTREF: Opcode = opcode::read_write::<RootRefArgs>(MAGIC, 61);
const SNAP_DESTROY_V2: Opcode = opcode::write::<VolArgsV2>(MAGIC, 63);

impl VolArgsV2 {
    fn of(name: &CStr) -> Result<Self> {
        let bytes = name.to_bytes();
        let mut args = Self {
            fd: 0,
            transid: 0,
            flags: 0,
            unused: [0; 4],
            name: [0; NAME],
        };
        // One byte stays the NUL.
        args.name[..NAME - 1]
            .get_mut(..bytes.len())
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(bytes);
        Ok(args)
    }
}

/// Whether a directory of a btrfs is the root of a subvolume.
///
/// # Errors
/// Those of fstat(2).
pub fn is_subvolume(directory: impl AsFd) -> Result<bool> {
    fstat(directory).map(|stat| stat.st_ino == ROOT_INODE)
}

/// The id of the btrfs that `file` is on, the same for all subvolumes of it: device numbers differ between those.
///
/// # Errors
/// `ENOTTY` where it is no btrfs.
pub fn filesystem_id(file: impl AsFd) -> Result<[u8; 16]> {
    // SAFETY: the kernel fills one `struct btrfs_ioctl_fs_info_args` for this number, of which any bytes are valid.
    let getter = unsafe { Getter::<FS_INFO, FsInfoArgs>::new() };
    // SAFETY: as above.
    unsafe { ioctl(file, getter) }.map(|info| info.fsid)
}

/// Makes an empty subvolume `name` in `parent`, of mode 0755 less the umask, as mkdir(2) does. Durable after fsync(2) of
/// `parent`, which then commits a whole transaction.
///
/// # Errors
/// Those of mkdir(2), and `ENOTTY` where it is no btrfs.
pub fn create_subvolume(parent: impl AsFd, name: &CStr) -> Result<()> {
    let args = VolArgsV2::of(name)?;
    // SAFETY: the kernel reads one `struct btrfs_ioctl_vol_args_v2` for this number; its name ends with a NUL.
    let setter = unsafe { Setter::<SUBVOL_CREATE_V2, VolArgsV2>::new(args) };
    // SAFETY: with its flags 0 it holds no handle and no pointer.
    unsafe { ioctl(parent, setter) }
}

/// Makes a writable snapshot `name` in `parent` of the subvolume whose root directory is `source`, with all that was
/// written to it before. Subvolumes within it become empty directories. Durable when it returns: the call ends with the
/// commit of the transaction.
///
/// # Errors
/// `EINVAL` if `source` is not the root of a subvolume, `EXDEV` if it is on another filesystem, `EPERM` if it is neither
/// ours nor are we root, `ETXTBSY` if a file in it is used for swapping, `ENOTTY` where it is no btrfs; and those of
/// mkdir(2).
pub fn snapshot(source: BorrowedFd<'_>, parent: impl AsFd, name: &CStr) -> Result<()> {
    if !is_subvolume(source)? {
        return Err(Errno::INVAL);
    }
    let mut args = VolArgsV2::of(name)?;
    args.fd = source.as_raw_fd().into();
    // SAFETY: as for `create_subvolume`.
    let setter = unsafe { Setter::<SNAP_CREATE_V2, VolArgsV2>::new(args) };
    // SAFETY: `source` is borrowed for as long as the call lasts; with its flags 0 it holds no pointer.
    unsafe { ioctl(parent, setter) }
}

/// Removes the subvolume `name` of `parent` from sight with all that is in it. The filesystem gives its space back later,
/// by itself. Not durable: after a crash it may be there again.
///
/// # Errors
/// `ENOTEMPTY` if there are subvolumes within it, `EINVAL` if it is none, `EPERM` if the caller may not (it takes
/// `CAP_SYS_ADMIN`, or the mount option `user_subvol_rm_allowed`), `ENOTTY` before Linux 5.7 and where it is no btrfs.
pub fn destroy_subvolume(parent: impl AsFd, name: &CStr) -> Result<()> {
    let args = VolArgsV2::of(name)?;
    // SAFETY: as for `create_subvolume`.
    let setter = unsafe { Setter::<SNAP_DESTROY_V2, VolArgsV2>::new(args) };
    // SAFETY: as for `create_subvolume`.
    unsafe { ioctl(parent, setter) }
}

/// Whether there are subvolumes in the one that `directory` is in, at any depth outside further subvolumes.
///
/// # Errors
/// `ENOTTY` before Linux 4.18 and where it is no btrfs.
pub fn has_nested_subvolumes(directory: impl AsFd) -> Result<bool> {
    let mut args = RootRefArgs {
        min_treeid: 0,
        root_refs: [RootRef {
            tree_id: 0,
            directory_id: 0,
        }; ROOT_REFS],
        num_items: 0,
        align: [0; 7],
    };
    // SAFETY: the kernel reads and writes one `struct btrfs_ioctl_get_subvol_rootref_args` for this number.
    let updater = unsafe { Updater::<GET_SUBVOL_ROOTREF, RootRefArgs>::new(&mut args) };
    // SAFETY: it is plain numbers, any of which is valid.
    match unsafe { ioctl(directory, updater) } {
        // More than fit.
        Err(Errno::OVERFLOW) => Ok(true),
        done => done.map(|()| args.num_items > 0),
    }
}

/// Makes a subvolume writable again whose owner has made it read-only. Answers whether it was read-only.
///
/// # Errors
/// `EINVAL` if `root` is not the root of a subvolume, `EPERM` if it is neither ours nor are we root, `ENOTTY` where it
/// is no btrfs.
pub fn make_writable(root: impl AsFd) -> Result<bool> {
    let root = root.as_fd();
    // SAFETY: the kernel writes one `__u64` for this number.
    let getter = unsafe { Getter::<SUBVOL_GETFLAGS, u64>::new() };
    // SAFETY: any number is valid.
    let flags = unsafe { ioctl(root, getter) }?;
    if flags & READ_ONLY == 0 {
        return Ok(false);
    }
    // SAFETY: the kernel reads one `__u64` for this number, and writes nothing.
    let setter = unsafe { Setter::<SUBVOL_SETFLAGS, u64>::new(flags & !READ_ONLY) };
    // SAFETY: it is a plain number.
    unsafe { ioctl(root, setter) }.map(|()| true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_structures_are_those_of_the_header() {
        assert_eq!(size_of::<VolArgsV2>(), 4096);
        assert_eq!(size_of::<RootRefArgs>(), 4096);
        assert_eq!(size_of::<FsInfoArgs>(), 1024);
        assert_eq!(std::mem::offset_of!(VolArgsV2, name), 56);
        assert_eq!(std::mem::offset_of!(RootRefArgs, num_items), 4088);
        assert_eq!(SNAP_CREATE_V2, 0x5000_9417);
        assert_eq!(SUBVOL_CREATE_V2, 0x5000_9418);
        assert_eq!(SUBVOL_GETFLAGS, 0x8008_9419);
        assert_eq!(SUBVOL_SETFLAGS, 0x4008_941a);
        assert_eq!(FS_INFO, 0x8400_941f);
        assert_eq!(GET_SUBVOL_ROOTREF, 0xd000_943d);
        assert_eq!(SNAP_DESTROY_V2, 0x5000_943f);
    }

    #[test]
    fn a_name_too_long_for_the_structure_is_refused() {
        let name = std::ffi::CString::new(vec![b'x'; NAME]).unwrap();
        assert_eq!(VolArgsV2::of(&name).err(), Some(Errno::NAMETOOLONG));
    }

    #[test]
    fn other_filesystems_refuse_each_call() {
        let directory = std::fs::File::open("/proc/self").unwrap();
        assert_eq!(is_subvolume(&directory), Ok(false));
        assert!(create_subvolume(&directory, c"x").is_err());
        assert_eq!(
            snapshot(directory.as_fd(), &directory, c"x"),
            Err(Errno::INVAL)
        );
        assert!(destroy_subvolume(&directory, c"x").is_err());
        assert!(has_nested_subvolumes(&directory).is_err());
        assert!(make_writable(&directory).is_err());
        assert!(filesystem_id(&directory).is_err());
    }
}
