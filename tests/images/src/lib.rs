//! Real filesystems in files, for tests and benchmarks: each is made, mounted, and gone again with whoever asked for it.
//!
//! A test is a `fn(Filesystem)` that [`on_each_filesystem!`] runs on ext4 with a journal, on XFS with reflinks, on btrfs and
//! in a plain directory. It asks for a [`Disk`] and works below [`Disk::path`].
//!
//! The images lie in the directory that `VFOLDER_TEST_IMAGES` names, else in /dev/shm, else where temporary files are.
//! Mounting needs root. Where it can't be done the test says `NOT CHECKED` and the plain directory is all that is tried;
//! not so with root when `CI` or `VFOLDER_TEST_IMAGES_REQUIRED` is set, where what can't be mounted fails the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness that can't do its part fails the test"
)]

mod disk;
mod filesystem;
mod keeper;
mod required;

pub use disk::Disk;
pub use filesystem::Filesystem;
pub use required::{is_root, not_checked};
