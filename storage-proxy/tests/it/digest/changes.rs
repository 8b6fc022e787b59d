//! Whatever changes in a tree, its digest does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt as _, symlink},
    path::Path,
};

use rustix::{
    fs::{FileType, XattrFlags, lsetxattr, makedev},
    io::Errno,
};
use vfolder_images::is_root;

use super::{digest_of, set_mtime, setxattr};
use crate::{
    everything::{chmod, chown, mknod},
    oracle,
};

/// Something that may happen to a tree.
type Change = (&'static str, fn(&Path));

/// Each to the tree of [`small`].
const CHANGES: &[Change] = &[
    ("a file's byte", |t| {
        fs::write(t.join("d/file"), "Content").unwrap()
    }),
    ("a file's size", |t| {
        fs::write(t.join("d/file"), "content.").unwrap()
    }),
    ("a size, of zeros", |t| grow(&t.join("d/file"), 200_000)),
    ("a byte far off", |t| {
        let file = fs::File::options()
            .write(true)
            .open(t.join("large"))
            .unwrap();
        file.write_all_at(b"!", 150_000).unwrap();
    }),
    ("a file's name", |t| {
        fs::rename(t.join("d/file"), t.join("d/File")).unwrap()
    }),
    ("a file's directory", |t| {
        fs::rename(t.join("d/file"), t.join("file")).unwrap()
    }),
    ("a directory's name", |t| {
        fs::rename(t.join("d"), t.join("e")).unwrap()
    }),
    ("a file more", |t| fs::write(t.join("more"), "").unwrap()),
    ("a directory more", |t| {
        fs::create_dir(t.join("more")).unwrap()
    }),
    ("a file less", |t| {
        fs::remove_file(t.join("d/file")).unwrap()
    }),
    ("two names swapped", |t| {
        fs::rename(t.join("d/file"), t.join("swap")).unwrap();
        fs::rename(t.join("one"), t.join("d/file")).unwrap();
        fs::rename(t.join("swap"), t.join("one")).unwrap();
    }),
    ("a mode", |t| chmod(&t.join("d/file"), 0o640)),
    ("setuid", |t| chmod(&t.join("d/file"), 0o4644)),
    ("a directory's mode", |t| chmod(&t.join("d"), 0o1755)),
    ("the root's mode", |t| chmod(t, 0o750)),
    ("a time", |t| set_mtime(&t.join("d/file"), (1_000_001, 5))),
    ("a nanosecond", |t| {
        set_mtime(&t.join("d/file"), (1_000_000, 6))
    }),
    ("a directory's time", |t| set_mtime(&t.join("d"), (-1, 5))),
    ("a symlink's time", |t| {
        set_mtime(&t.join("symlink"), (-1, 5))
    }),
    ("the root's time", |t| set_mtime(t, (-1, 5))),
    ("a symlink's target", |t| {
        fs::remove_file(t.join("symlink")).unwrap();
        symlink("elsewhere", t.join("symlink")).unwrap();
    }),
    ("a kind", |t| {
        fs::remove_file(t.join("empty")).unwrap();
        mknod(&t.join("empty"), FileType::Fifo, 0);
        chmod(&t.join("empty"), 0o644);
    }),
    ("another kind", |t| {
        fs::remove_file(t.join("empty")).unwrap();
        mknod(&t.join("empty"), FileType::Socket, 0);
        chmod(&t.join("empty"), 0o644);
    }),
    ("a link more", |t| {
        fs::hard_link(t.join("one"), t.join("three")).unwrap()
    }),
    ("a link less", |t| fs::remove_file(t.join("two")).unwrap()),
    ("a link that is a copy", |t| {
        fs::remove_file(t.join("two")).unwrap();
        fs::write(t.join("two"), "linked").unwrap();
        set_mtime(&t.join("two"), (1_000_000, 5));
    }),
    ("a copy that is a link", |t| {
        fs::remove_file(t.join("equal")).unwrap();
        fs::hard_link(t.join("d/file"), t.join("equal")).unwrap();
    }),
    ("which two are linked", |t| {
        fs::rename(t.join("two"), t.join("swap")).unwrap();
        fs::rename(t.join("other-two"), t.join("two")).unwrap();
        fs::rename(t.join("swap"), t.join("other-two")).unwrap();
    }),
    ("an attribute more", |t| {
        setxattr(&t.join("d/file"), "user.more", b"")
    }),
    ("an attribute's value", |t| {
        setxattr(&t.join("one"), "user.name", b"Value")
    }),
    ("an attribute's name", |t| {
        rustix::fs::lremovexattr(t.join("one"), "user.name").unwrap();
        setxattr(&t.join("one"), "user.nam", b"evalue");
    }),
    ("a directory's attribute", |t| {
        setxattr(&t.join("d"), "user.more", b"")
    }),
];

/// Only root can make these.
const CHANGES_BY_ROOT: &[Change] = &[
    ("an owner", |t| chown(&t.join("d/file"), 5, 0)),
    ("a group", |t| chown(&t.join("d/file"), 0, 5)),
    ("a symlink's owner", |t| chown(&t.join("symlink"), 5, 5)),
    ("the root's owner", |t| chown(t, 5, 5)),
    ("a symlink's attribute", |t| {
        setxattr(&t.join("symlink"), "trusted.x", b"")
    }),
    ("a device", |t| {
        remake(&t.join("device"), FileType::CharacterDevice, makedev(1, 5))
    }),
    ("a device's other number", |t| {
        remake(&t.join("device"), FileType::CharacterDevice, makedev(2, 3))
    }),
    ("a device's kind", |t| {
        remake(&t.join("device"), FileType::BlockDevice, makedev(1, 3))
    }),
];

fn grow(path: &Path, size: u64) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(size)
        .unwrap();
}

fn remake(path: &Path, kind: FileType, device: u64) {
    fs::remove_file(path).unwrap();
    mknod(path, kind, device);
    chmod(path, 0o644);
}

pub(super) fn small(root: &Path) {
    fs::create_dir_all(root.join("d")).unwrap();
    fs::write(root.join("d/file"), "content").unwrap();
    fs::write(root.join("equal"), "content").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("large"), vec![7; 200_000]).unwrap();
    symlink("nowhere", root.join("symlink")).unwrap();
    for (one, two) in [("one", "two"), ("other-one", "other-two")] {
        fs::write(root.join(one), "linked").unwrap();
        fs::hard_link(root.join(one), root.join(two)).unwrap();
    }
    setxattr(&root.join("one"), "user.name", b"value");
    if is_root() {
        mknod(
            &root.join("device"),
            FileType::CharacterDevice,
            makedev(1, 3),
        );
    }
    for path in oracle::walk(root) {
        if path.extension().is_none()
            && !root.join(&path).is_symlink()
            && !root.join(&path).is_dir()
        {
            chmod(&root.join(&path), 0o644);
        }
        set_mtime(&root.join(path), (1_000_000, 5));
    }
}

#[test]
fn whatever_changes_in_a_tree_is_another_digest() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<_> = match is_root() {
        true => CHANGES.iter().chain(CHANGES_BY_ROOT).collect(),
        false => CHANGES.iter().collect(),
    };
    let mut seen = BTreeMap::new();
    let plain = dir.path().join("plain");
    small(&plain);
    let paths = oracle::walk(&plain);
    seen.insert(digest_of(&plain).to_string(), "nothing");
    for (number, (what, change)) in all.iter().enumerate() {
        let tree = dir.path().join(number.to_string());
        small(&tree);
        assert_eq!(digest_of(&tree).to_string(), digest_of(&plain).to_string());
        change(&tree);
        // What changes besides, directories' times above all, would be noticed on its own.
        if !what.contains("time") && !what.contains("nanosecond") {
            for path in oracle::walk(&tree) {
                set_mtime(&tree.join(path), (1_000_000, 5));
            }
        }
        let found = digest_of(&tree).to_string();
        if let Some(before) = seen.insert(found, what) {
            panic!("{what} and {before} have the same digest");
        }
    }
    assert_eq!(paths, oracle::walk(&plain));
    assert_eq!(seen.len(), all.len() + 1);
}

#[test]
fn labels_that_the_machine_puts_on_files_and_the_time_of_reading_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("t");
    small(&tree);
    let before = digest_of(&tree);
    let labelled = lsetxattr(
        tree.join("one"),
        "security.label-of-ours",
        b"x",
        XattrFlags::empty(),
    );
    if !matches!(labelled, Err(Errno::PERM | Errno::OPNOTSUPP)) {
        labelled.unwrap();
    }
    fs::read(tree.join("d/file")).unwrap();
    chmod(&tree.join("one"), 0o600);
    chmod(&tree.join("one"), 0o644); // another ctime
    assert_eq!(digest_of(&tree), before);
}
