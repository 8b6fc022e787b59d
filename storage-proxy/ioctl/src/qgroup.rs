//! Limits of subvolumes of btrfs: linux/btrfs.h, linux/btrfs_tree.h, and btrfs-quota(8) for what they are. They exist only
//! where somebody has enabled quotas on the filesystem.

use std::os::fd::AsFd;

use rustix::{
    io::{Errno, Result},
    ioctl::{Opcode, Setter, Updater, ioctl, opcode},
};

/// linux/btrfs.h: `BTRFS_IOCTL_MAGIC`.
const MAGIC: u8 = 0x94;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const MAX_REFERENCED: u64 = 1 << 0;
/// `BTRFS_FIRST_FREE_OBJECTID`.
const ROOT_INODE: u64 = 256;
/// `BTRFS_QUOTA_TREE_OBJECTID`.
const QUOTA_TREE: u64 = 8;
/// `BTRFS_QGROUP_INFO_KEY`.
const INFO_KEY: u32 = 242;
/// `BTRFS_SEARCH_ARGS_BUFSIZE`.
const BUFFER: usize = 4096 - 104;
/// Of `struct btrfs_ioctl_search_header`.
const HEADER: usize = 32;

/// `struct btrfs_ioctl_qgroup_limit_args`, with `struct btrfs_qgroup_limit` in it.
#[repr(C)]
#[derive(Clone, Copy)]
struct LimitArgs {
    qgroup: u64,
    flags: u64,
    max_referenced: u64,
    max_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct LookupArgs {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_search_args`.
#[repr(C)]
struct SearchArgs {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_type: u32,
    max_type: u32,
    items: u32,
    unused: u32,
    unused_too: [u64; 4],
    buffer: [u8; BUFFER],
}

const INO_LOOKUP: Opcode = opcode::read_write::<LookupArgs>(MAGIC, 18);
const TREE_SEARCH: Opcode = opcode::read_write::<SearchArgs>(MAGIC, 17);
const QGROUP_LIMIT: Opcode = opcode::read::<LimitArgs>(MAGIC, 43);

/// Limits the bytes that the subvolume of `directory` refers to, shared ones included, or ends its limit.
///
/// # Errors
/// `ENOTCONN` where quotas are not enabled, `EPERM` without `CAP_SYS_ADMIN`, `ENOTTY` where it is no btrfs.
pub fn limit(directory: impl AsFd, bytes: Option<u64>) -> Result<()> {
    let args = LimitArgs {
        // That of the subvolume itself.
        qgroup: 0,
        flags: MAX_REFERENCED,
        // btrfs_limit_qgroup, fs/btrfs/qgroup.c: the largest number clears a limit.
        max_referenced: bytes.unwrap_or(u64::MAX),
        max_exclusive: 0,
        reserved_referenced: 0,
        reserved_exclusive: 0,
    };
    // SAFETY: the kernel reads one `struct btrfs_ioctl_qgroup_limit_args` for this number and writes nothing, whatever
    // the direction that the number names.
    let setter = unsafe { Setter::<QGROUP_LIMIT, LimitArgs>::new(args) };
    // SAFETY: it is plain numbers.
    unsafe { ioctl(directory, setter) }
}

/// The bytes that the subvolume of `directory` refers to, shared ones included, as of the last commit.
///
/// # Errors
/// `ENOENT` where quotas are not enabled, `EPERM` without `CAP_SYS_ADMIN`, `ENOTTY` where it is no btrfs.
pub fn referenced(directory: impl AsFd) -> Result<u64> {
    let directory = directory.as_fd();
    let mut lookup = LookupArgs {
        tree: 0,
        object: ROOT_INODE,
        name: [0; 4080],
    };
    // SAFETY: the kernel reads and writes one `struct btrfs_ioctl_ino_lookup_args` for this number.
    let updater = unsafe { Updater::<INO_LOOKUP, LookupArgs>::new(&mut lookup) };
    // SAFETY: it is plain numbers, any of which is valid.
    unsafe { ioctl(directory, updater) }?;
    let mut search = SearchArgs {
        tree: QUOTA_TREE,
        min_object: 0,
        max_object: 0,
        min_offset: lookup.tree,
        max_offset: lookup.tree,
        min_transaction: 0,
        max_transaction: u64::MAX,
        min_type: INFO_KEY,
        max_type: INFO_KEY,
        items: 1,
        unused: 0,
        unused_too: [0; 4],
        buffer: [0; BUFFER],
    };
    // SAFETY: the kernel reads and writes one `struct btrfs_ioctl_search_args` for this number.
    let updater = unsafe { Updater::<TREE_SEARCH, SearchArgs>::new(&mut search) };
    // SAFETY: as above.
    unsafe { ioctl(directory, updater) }?;
    if search.items == 0 {
        return Err(Errno::NOENT);
    }
    // `struct btrfs_qgroup_info_item`: the generation, then the bytes referred to, both little-endian.
    let item = &search.buffer[HEADER..];
    let bytes = item[8..16].try_into().map_err(|_| Errno::IO)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_structures_are_those_of_the_header() {
        assert_eq!(size_of::<LimitArgs>(), 48);
        assert_eq!(size_of::<LookupArgs>(), 4096);
        assert_eq!(size_of::<SearchArgs>(), 4096);
        assert_eq!(std::mem::offset_of!(SearchArgs, buffer), 104);
        assert_eq!(QGROUP_LIMIT, 0x8030_942b);
        assert_eq!(INO_LOOKUP, 0xd000_9412);
        assert_eq!(TREE_SEARCH, 0xd000_9411);
    }

    #[test]
    fn other_filesystems_refuse_each_call() {
        let directory = std::fs::File::open("/proc/self").unwrap();
        assert!(limit(&directory, Some(1)).is_err());
        assert!(referenced(&directory).is_err());
    }
}
