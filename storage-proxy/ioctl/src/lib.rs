//! The few Linux ioctls, the one system call and the one call of the C library that the storage-proxy needs and rustix does
//! not wrap.
//!
//! All unsafe code of the project is here: each function is safe to call with any handle (a filesystem that doesn't know
//! the number answers `ENOTTY`), takes borrowed handles and names, and leaves nothing behind in memory. The structures
//! are those of linux/btrfs.h, linux/fs.h, linux/quota.h and xfs/xfs_fs.h; tests compare their sizes and the numbers made of them with what
//! the headers say.

#![allow(unsafe_code, reason = "an ioctl is; see above")]

pub mod arenas;
pub mod btrfs;
pub mod clone_range;
pub mod project;
pub mod qgroup;
pub mod quota;
pub mod xfs;
