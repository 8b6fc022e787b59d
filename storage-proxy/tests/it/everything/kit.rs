//! What files are made of, by path.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags, chownat, lsetxattr, mknodat},
    io::Errno,
};
use vfolder_images::is_root;

pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Root's privilege; of others the file stays theirs.
pub fn chown(path: &Path, uid: u32, gid: u32) {
    if is_root() {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(CWD, path, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Others than root set `user.*` and ACLs.
pub fn setxattr(path: &Path, name: &str, value: &[u8]) {
    let privileged = ["trusted.", "security."]
        .iter()
        .any(|space| name.starts_with(space));
    if !privileged || is_root() {
        match lsetxattr(path, name, value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => eprintln!("NOT CHECKED: no {name} on this filesystem"),
            done => done.unwrap(),
        }
    }
}

pub fn mknod(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

/// The longest symlink that the filesystem takes: XFS has room for 1,023 bytes, the others for nearly a page.
pub fn longest_symlink(path: &Path) {
    let made = [4000, 1023]
        .into_iter()
        .find(|length| match symlink("l".repeat(*length), path) {
            Err(error) if error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => false,
            done => {
                done.unwrap();
                true
            }
        });
    assert!(made.is_some());
}

/// A POSIX ACL as its attribute has it (linux/posix_acl_xattr.h, version 2): owner rwx, the user 1234 r-x, the group r--,
/// mask r-x, others nothing.
pub fn acl() -> Vec<u8> {
    let entries = [
        (1_u16, 7_u16, u32::MAX),
        (2, 5, 1234),
        (4, 4, u32::MAX),
        (0x10, 5, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    acl
}
