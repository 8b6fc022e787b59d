//! Owners, modes, extended attributes and ACLs.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::fs::FileType;
use vfolder_images::is_root;

use super::kit::{acl, chmod, chown, mknod, setxattr};

/// Files of others, setuid ones among them.
pub fn owned(at: &Path) {
    for (name, mode) in [
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("both", 0o6711),
        // Only root can read it afterwards.
        ("none", if is_root() { 0 } else { 0o400 }),
        ("sticky", 0o1644),
    ] {
        let path = at.join(name);
        fs::write(&path, name).unwrap();
        chown(&path, 1234, 2345);
        chmod(&path, mode);
    }
    symlink("x", at.join("symlink")).unwrap();
    chown(&at.join("symlink"), 1, 2);
}

/// Directories, each with something in it.
pub fn modes(at: &Path) {
    for (name, mode) in [
        ("setgid", 0o2770),
        ("sticky", 0o1777),
        ("setuid", 0o4755),
        ("read-only", 0o555),
        ("write-only", if is_root() { 0o222 } else { 0o700 }),
        ("none", if is_root() { 0 } else { 0o700 }),
    ] {
        let directory = at.join(name);
        fs::create_dir_all(directory.join("sub")).unwrap();
        for child in ["child", "sub/child"] {
            fs::write(directory.join(child), name).unwrap();
        }
        chown(&directory, 1234, 2345);
        chmod(&directory, mode);
    }
}

/// Attributes of each name space on each kind of file.
pub fn extended(at: &Path) {
    fs::write(at.join("file"), "x").unwrap();
    fs::write(at.join("capable"), "x").unwrap();
    symlink("x", at.join("symlink")).unwrap();
    mknod(&at.join("fifo"), FileType::Fifo, 0);
    setxattr(&at.join("symlink"), "trusted.on-symlink", b"s");
    setxattr(&at.join("fifo"), "trusted.on-fifo", b"f");
    chown(&at.join("capable"), 1234, 2345);
    // CAP_NET_RAW, permitted and effective: struct vfs_cap_data, revision 2 (linux/capability.h). After the owner, whose
    // change takes it away.
    let capability = [0x0200_0001_u32, 1 << 13, 0, 0, 0]
        .map(u32::to_le_bytes)
        .concat();
    setxattr(&at.join("capable"), "security.capability", &capability);
    for path in [at, &at.join("file")] {
        large(path);
    }
    setxattr(&at.join("file"), "system.posix_acl_access", &acl());
}

/// Several, as much as fits into a block.
pub fn large(path: &Path) {
    setxattr(path, "user.plain", b"value");
    setxattr(path, "user.empty", b"");
    setxattr(path, "user.binary", &[0, 255, 10, 0]);
    setxattr(path, "user.large", &[b'x'; 2000]);
    setxattr(path, "trusted.ours", b"t");
}

/// A directory whose new entries get an ACL, and entries that have not got it, or have another.
pub fn inherited(at: &Path) {
    for name in ["before", "not-theirs"] {
        fs::write(at.join(name), "not to get more than it has").unwrap();
    }
    setxattr(at, "system.posix_acl_default", &acl());
    setxattr(at, "system.posix_acl_access", &acl());
    fs::create_dir(at.join("with")).unwrap();
    fs::write(at.join("with/child"), "x").unwrap();
    symlink("child", at.join("with/symlink")).unwrap();
    mknod(&at.join("with/fifo"), FileType::Fifo, 0);
    fs::write(at.join("private"), "x").unwrap();
    chmod(&at.join("private"), 0o600);
}
