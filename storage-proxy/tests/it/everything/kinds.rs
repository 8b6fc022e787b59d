//! Names, and files that are not regular.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
};

use rustix::fs::{FileType, makedev};
use vfolder_images::is_root;

use super::kit::{chown, longest_symlink, mknod};

/// Anything but a slash and a NUL, up to 255 bytes.
pub fn names(at: &Path) {
    for name in [
        &b"\xff\xfe not utf-8"[..],
        b"new\nline",
        b" ",
        b"-rf",
        b"...",
        &[b'n'; 255],
        b"\x01\x7f\\\"'*?",
    ] {
        fs::write(at.join(OsStr::from_bytes(name)), name).unwrap();
        let mut directory = name.to_vec();
        directory.truncate(250);
        directory.extend_from_slice(b".dir");
        fs::create_dir(at.join(OsStr::from_bytes(&directory))).unwrap();
    }
}

/// Symbolic ones, and hard ones: some of their names are in `far`.
pub fn links(at: &Path, far: &Path) {
    symlink("/etc/passwd", at.join("absolute")).unwrap();
    symlink("../../..", at.join("up")).unwrap();
    symlink("nowhere/\u{fffd}", at.join("dangling")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), at.join("bytes")).unwrap();
    symlink(".", at.join("loop")).unwrap();
    longest_symlink(&at.join("long"));
    fs::write(at.join("one"), "linked").unwrap();
    fs::hard_link(at.join("one"), at.join("two")).unwrap();
    fs::create_dir(far.join("away")).unwrap();
    fs::hard_link(at.join("one"), far.join("away/three")).unwrap();
    fs::hard_link(at.join("dangling"), at.join("dangling-too")).unwrap();
}

/// Fifos, sockets and, made by root, device nodes.
pub fn special(at: &Path) {
    mknod(&at.join("fifo"), FileType::Fifo, 0);
    fs::hard_link(at.join("fifo"), at.join("fifo-too")).unwrap();
    chown(&at.join("fifo"), 3, 4);
    mknod(&at.join("socket"), FileType::Socket, 0);
    if is_root() {
        mknod(&at.join("null"), FileType::CharacterDevice, makedev(1, 3));
        mknod(&at.join("loop"), FileType::BlockDevice, makedev(7, 200));
        mknod(
            &at.join("high"),
            FileType::CharacterDevice,
            makedev(300, 70_000),
        );
        mknod(&at.join("whiteout"), FileType::CharacterDevice, 0);
        fs::hard_link(at.join("null"), at.join("null-too")).unwrap();
    }
}
