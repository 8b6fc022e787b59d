//! A clone has everything that its source has.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat,
        lsetxattr, makedev, mknodat, utimensat,
    },
    io::Errno,
};
use vfolder_storage_proxy::tree::Control;

use crate::{
    oracle,
    support::{Dice, clone, is_root, remove},
};

pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn chown(path: &Path, uid: u32, gid: u32) {
    if is_root() {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(CWD, path, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// What the filesystem under the test doesn't take is told, and not tested.
fn setxattr(path: &Path, name: &str, value: &[u8]) {
    if name.starts_with("user.") || is_root() {
        match lsetxattr(path, name, value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => eprintln!("no {name} on this filesystem"),
            done => done.unwrap(),
        }
    }
}

pub fn mknod(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

/// Everything that Linux lets one put into a tree, as far as this user may.
pub fn build(root: &Path) {
    fs::create_dir(root).unwrap();
    let sub = |name: &str| {
        let path = root.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let names = sub("names");
    for name in [
        &b"\xff\xfe not utf-8"[..],
        b"new\nline",
        b" ",
        b"-rf",
        b"...",
        &[b'n'; 255],
        b"\x01\x7f\\\"'*?",
    ] {
        fs::write(names.join(OsStr::from_bytes(name)), name).unwrap();
        let mut directory = name.to_vec();
        directory.truncate(250);
        directory.extend_from_slice(b".dir");
        fs::create_dir(names.join(OsStr::from_bytes(&directory))).unwrap();
    }
    let sizes = sub("sizes");
    let mut dice = Dice(7);
    for size in [
        0, 1, 4095, 4096, 4097, 65_537, 262_144, 262_145, 1_048_577, 3_500_000,
    ] {
        let content: Vec<u8> = (0..size)
            .map(|_| u8::try_from(dice.roll(256)).unwrap())
            .collect();
        fs::write(sizes.join(size.to_string()), content).unwrap();
    }
    let holes = sub("holes");
    let sparse = |name: &str, size: u64, at: &[u64]| {
        let file = File::create(holes.join(name)).unwrap();
        file.set_len(size).unwrap();
        for offset in at {
            file.write_all_at(&[b'x'; 4096], *offset).unwrap();
        }
    };
    sparse("all-hole", 5 << 20, &[]);
    sparse("trailing", 5 << 20, &[0]);
    sparse("leading", (4 << 20) + 4096, &[4 << 20]);
    sparse("middle", 8 << 20, &[1 << 20, 3 << 20, 3 << 20 | 4096]);
    sparse("odd-size", (2 << 20) + 123, &[1 << 20]);

    let links = sub("links");
    symlink("/etc/passwd", links.join("absolute")).unwrap();
    symlink("../../..", links.join("up")).unwrap();
    symlink("nowhere/\u{fffd}", links.join("dangling")).unwrap();
    symlink(".", links.join("loop")).unwrap();
    symlink(OsStr::from_bytes(&[b'l'; 4000]), links.join("long")).unwrap();
    fs::write(links.join("one"), "linked").unwrap();
    fs::hard_link(links.join("one"), links.join("two")).unwrap();
    fs::hard_link(links.join("one"), sub("far/away").join("three")).unwrap();
    fs::hard_link(links.join("dangling"), links.join("dangling-too")).unwrap();

    let special = sub("special");
    mknod(&special.join("fifo"), FileType::Fifo, 0);
    fs::hard_link(special.join("fifo"), special.join("fifo-too")).unwrap();
    // Bound by a relative path: sun_path has room for 108 bytes only.
    mknod(&special.join("socket"), FileType::Socket, 0);
    if is_root() {
        mknod(
            &special.join("null"),
            FileType::CharacterDevice,
            makedev(1, 3),
        );
        mknod(
            &special.join("loop"),
            FileType::BlockDevice,
            makedev(7, 200),
        );
        mknod(&special.join("whiteout"), FileType::CharacterDevice, 0);
    }

    let owned = sub("owned");
    for (name, mode) in [
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("both", 0o6711),
        // Only root can read it afterwards.
        ("none", if is_root() { 0 } else { 0o400 }),
        ("sticky", 0o1644),
    ] {
        let path = owned.join(name);
        fs::write(&path, name).unwrap();
        chown(&path, 1234, 2345);
        chmod(&path, mode);
    }
    symlink("x", owned.join("symlink")).unwrap();
    chown(&owned.join("symlink"), 1, 2);
    chown(&special.join("fifo"), 3, 4);

    let attributes = sub("attributes");
    fs::write(attributes.join("file"), "x").unwrap();
    fs::write(attributes.join("capable"), "x").unwrap();
    for path in [attributes.clone(), attributes.join("file"), root.to_owned()] {
        setxattr(&path, "user.plain", b"value");
        setxattr(&path, "user.empty", b"");
        setxattr(&path, "user.binary", &[0, 255, 10, 0]);
        setxattr(&path, "user.large", &[b'x'; 2000]);
        setxattr(&path, "trusted.ours", b"t");
    }
    symlink("x", attributes.join("symlink")).unwrap();
    mknod(&attributes.join("fifo"), FileType::Fifo, 0);
    setxattr(&attributes.join("symlink"), "trusted.on-symlink", b"s");
    setxattr(&attributes.join("fifo"), "trusted.on-fifo", b"f");
    chown(&attributes.join("capable"), 1234, 2345);
    // CAP_NET_RAW, permitted and effective: struct vfs_cap_data, revision 2 (linux/capability.h).
    let capability = [0x0200_0001_u32, 1 << 13, 0, 0, 0]
        .map(u32::to_le_bytes)
        .concat();
    setxattr(
        &attributes.join("capable"),
        "security.capability",
        &capability,
    );
    // Owner rwx, user 1234 r-x, group r--, mask r-x, others nothing (linux/posix_acl_xattr.h, version 2).
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
    setxattr(&attributes.join("file"), "system.posix_acl_access", &acl);
    setxattr(&sub("attributes/inherit"), "system.posix_acl_default", &acl);
    fs::write(
        attributes.join("inherit/child"),
        "not to get more than it has",
    )
    .unwrap();
    chmod(&attributes.join("inherit/child"), 0o600);

    let modes = sub("modes");
    for (name, mode) in [
        ("setgid", 0o2770),
        ("sticky", 0o1777),
        ("setuid", 0o4755),
        ("read-only", 0o555),
    ] {
        fs::create_dir(modes.join(name)).unwrap();
        fs::write(modes.join(name).join("child"), "x").unwrap();
        chown(&modes.join(name), 1234, 2345);
        chmod(&modes.join(name), mode);
    }
    if is_root() {
        fs::create_dir(modes.join("000")).unwrap();
        fs::write(modes.join("000/child"), "x").unwrap();
        chmod(&modes.join("000"), 0);
    }
    sub("empty/directories/in/a/row");
    let wide = sub("wide");
    for number in 0..3000 {
        fs::write(
            wide.join(format!("{number:05}")),
            [u8::try_from(number % 256).unwrap()],
        )
        .unwrap();
        if number % 10 == 0 {
            fs::create_dir(wide.join(format!("{number:05}.d"))).unwrap();
        }
    }
}

/// Different for each path, before and after 1970, with nanoseconds.
pub fn set_times(root: &Path, paths: &[PathBuf]) {
    for (number, path) in (0_i64..).zip(paths) {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: number * 86_400 - 40_000_000,
                tv_nsec: 123_456_789,
            },
            last_modification: Timespec {
                tv_sec: number * 77_777 - 99_999_999,
                tv_nsec: 999_999_999 - number,
            },
        };
        utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

#[test]
fn a_clone_has_everything_that_its_source_has() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    build(&source);
    let wanted = oracle::describe(&source);
    let paths: Vec<PathBuf> = wanted.keys().cloned().collect();
    set_times(&source, &paths);
    let wanted_times = oracle::times(&source, &paths);

    let control = Control::default();
    clone(&source, dir.path(), "copy", &control).unwrap();

    let times = oracle::times(&copy, &paths);
    for path in &paths {
        assert_eq!(
            wanted_times[path],
            times[path],
            "times of {}",
            path.display()
        );
    }
    oracle::assert_same(&wanted, &oracle::describe(&copy));
    assert_eq!(control.progress().entries_done, paths.len() as u64);
    remove(&copy, &Control::default()).unwrap();
    remove(&source, &Control::default()).unwrap();
}

#[test]
fn a_symlink_is_copied_as_a_symlink_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    symlink("../outside", source.join("directory")).unwrap();
    symlink("../outside/secret", source.join("file")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copy = dir.path().join("copy");
    assert_eq!(
        fs::read_link(copy.join("directory")).unwrap(),
        Path::new("../outside")
    );
    assert_eq!(
        fs::read_link(copy.join("file")).unwrap(),
        Path::new("../outside/secret")
    );
}

#[test]
fn thousands_of_links_to_one_inode_stay_one_inode() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("0"), "x").unwrap();
    for number in 1..4096 {
        fs::hard_link(source.join("0"), source.join(number.to_string())).unwrap();
    }
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    let copied = oracle::describe(&dir.path().join("copy"));
    oracle::assert_same(&oracle::describe(&source), &copied);
}

#[test]
fn a_clone_that_is_asked_to_stop_stops() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "x").unwrap();
    let control = Control::default();
    control.stop();
    assert!(
        clone(&source, dir.path(), "copy", &control)
            .unwrap_err()
            .is_cancelled()
    );
}

#[test]
fn a_socket_in_use_is_copied_as_a_socket() {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let source = dir.path().join("s");
    fs::create_dir(&source).unwrap();
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    clone(&source, dir.path(), "copy", &Control::default()).unwrap();
    use std::os::unix::fs::FileTypeExt as _;
    assert!(
        fs::symlink_metadata(dir.path().join("copy/socket"))
            .unwrap()
            .file_type()
            .is_socket()
    );
}
