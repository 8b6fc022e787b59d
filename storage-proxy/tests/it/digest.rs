//! A tree's digest: as docs/tree-digest.md says, the same for equal trees and another for any others.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        fd::AsFd as _,
        unix::fs::{FileExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, utimensat},
    io::Errno,
};
use vfolder_images::is_root;
use vfolder_storage_proxy::tree::{Control, TreeDigest, Workers, digest};

use crate::{
    digest_reference::{self as reference, Inode, Kind},
    everything::{HUGE, build, chmod, chown, mknod, set_times},
    oracle,
    support::{clone, directory, remove},
};

fn digest_with(root: &Path, threads: usize, control: &Control) -> TreeDigest {
    let workers = Workers::new(threads.try_into().unwrap());
    let root = directory(root);
    digest(root.as_fd(), &|| tempfile::tempfile(), workers, control).unwrap()
}

fn digest_of(root: &Path) -> TreeDigest {
    digest_with(root, 2, &Control::default())
}

fn set_mtime(path: &Path, (tv_sec, tv_nsec): (i64, i64)) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree with everything that there is, with times; but for the file that is too large to be read whole.
fn everything(root: &Path) {
    build(root);
    fs::remove_file(root.join(HUGE)).unwrap();
    set_times(root, &oracle::walk(root));
}

#[test]
fn it_is_what_the_page_says_of_a_tree_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    everything(&root);
    let found = digest_of(&root);
    assert_eq!(
        found.to_string(),
        reference::digest(&reference::read(&root))
    );
    assert_eq!(found.entries, oracle::walk(&root).len() as u64);
    remove(&root, &Control::default()).unwrap();
}

#[test]
fn a_clone_has_the_digest_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    everything(&root);
    let control = Control::default();
    clone(&root, dir.path(), "copy", &control).unwrap();
    let (source, copy) = (digest_of(&root), digest_of(&dir.path().join("copy")));
    assert_eq!(source, copy);
    assert_eq!(source.entries, control.progress().entries_done);
    assert_eq!(source.bytes, control.progress().bytes_done);
    for tree in ["tree", "copy"] {
        remove(&dir.path().join(tree), &Control::default()).unwrap();
    }
}

#[test]
fn neither_threads_nor_the_filesystem_nor_its_order_nor_holes_matter() {
    let here = tempfile::tempdir().unwrap();
    let shm = Path::new("/dev/shm");
    // Elsewhere if there is any: a tmpfs lists the newest first, ext4 by hashes of names, and each has holes of its own.
    let there = tempfile::tempdir_in(if shm.is_dir() { shm } else { here.path() }).unwrap();
    let names: Vec<String> = (0..700).map(|n| format!("{:x}", n * 7919 % 1000)).collect();
    let fill = |root: &Path, names: &mut dyn Iterator<Item = &String>, dense: bool| {
        fs::create_dir(root).unwrap();
        let mut linked = None::<PathBuf>;
        for name in names {
            let sub = root.join(&name[..1]);
            fs::create_dir_all(&sub).unwrap();
            fs::write(sub.join(name), name).unwrap();
            let link = sub.join(format!("{name}.link"));
            match &linked {
                Some(first) => fs::hard_link(first, link).unwrap(),
                None => fs::write(&link, "linked").unwrap(),
            }
            linked = Some(sub.join(format!("{name}.link")));
        }
        let file = fs::File::create(root.join("holes")).unwrap();
        file.set_len(3 << 20 | 77).unwrap();
        file.write_all_at(b"data", 1 << 20).unwrap();
        if dense {
            file.write_all_at(&[0; 300_000], 2 << 20).unwrap();
            file.write_all_at(&[0; 50], 3 << 20 | 3).unwrap();
        }
        for path in oracle::walk(root) {
            set_mtime(&root.join(path), (1_234_567, 89));
        }
    };
    let (one, other) = (here.path().join("t"), there.path().join("t"));
    fill(&one, &mut names.iter(), false);
    fill(&other, &mut names.iter().rev(), true);
    let wanted = digest_with(&one, 1, &Control::default());
    for threads in [1, 2, 3, 8] {
        assert_eq!(digest_with(&one, threads, &Control::default()), wanted);
        assert_eq!(digest_with(&other, threads, &Control::default()), wanted);
    }
    assert_eq!(
        wanted.to_string(),
        reference::digest(&reference::read(&one))
    );
}

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

fn setxattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn small(root: &Path) {
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

#[test]
fn a_digest_that_is_asked_to_stop_stops() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let control = Control::default();
    control.stop();
    let root = directory(dir.path());
    let stopped = digest(
        root.as_fd(),
        &|| tempfile::tempfile(),
        Workers::ONE,
        &control,
    );
    assert!(stopped.unwrap_err().is_cancelled());
}

fn inode(paths: &[&str], kind: Kind) -> Inode {
    Inode {
        paths: paths.iter().map(PathBuf::from).collect(),
        mode: match kind {
            Kind::Directory => 0o755,
            _ => 0o644,
        },
        uid: 1000,
        gid: 100,
        mtime: (1_700_000_000, 123_456_789),
        xattrs: BTreeMap::new(),
        kind,
    }
}

/// The trees of the page.
fn vectors() -> [Vec<Inode>; 3] {
    let root = || inode(&[""], Kind::Directory);
    let hello = || inode(&["hello"], Kind::File(b"hello\n".to_vec()));
    let mut before = root();
    before.mtime = (-1, 999_999_999);
    before.mode = 0o2775;
    let mut holes = vec![0; 200_000];
    holes[131_072] = b'x';
    let mut attributes = inode(&["d/holes"], Kind::File(holes));
    attributes.xattrs = [("user.b", "2"), ("user.a", "1"), ("user.empty", "")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    [
        vec![root()],
        vec![root(), hello()],
        vec![
            before,
            inode(&["d"], Kind::Directory),
            attributes,
            inode(&["d/one", "two"], Kind::File(b"linked".to_vec())),
            inode(&["symlink"], Kind::Symlink(b"d/one".to_vec())),
            inode(&["fifo"], Kind::Fifo),
            inode(&["null"], Kind::CharacterDevice(1, 3)),
            hello(),
        ],
    ]
}

#[test]
fn the_page_has_the_digests_of_its_trees() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tree-digest.md");
    let page = fs::read_to_string(page).unwrap();
    let said: Vec<_> = page
        .split('`')
        .filter(|code| code.starts_with("blake3-tree-v1:") && code.len() == 79)
        .collect();
    let wanted = vectors().map(|tree| reference::digest(&tree));
    assert_eq!(said, wanted);
    if is_root() {
        for (tree, wanted) in vectors().iter().zip(wanted) {
            let dir = tempfile::tempdir().unwrap();
            make(&dir.path().join("t"), tree);
            assert_eq!(digest_of(&dir.path().join("t")).to_string(), wanted);
        }
    }
}

fn make(root: &Path, tree: &[Inode]) {
    for inode in tree {
        let path = root.join(&inode.paths[0]);
        match &inode.kind {
            Kind::File(bytes) => fs::write(&path, bytes).unwrap(),
            Kind::Directory => fs::create_dir(&path).unwrap(),
            Kind::Symlink(_) => symlink("d/one", &path).unwrap(),
            Kind::Fifo => mknod(&path, FileType::Fifo, 0),
            _ => mknod(&path, FileType::CharacterDevice, makedev(1, 3)),
        }
        for other in &inode.paths[1..] {
            fs::hard_link(&path, root.join(other)).unwrap();
        }
        chown(&path, inode.uid, inode.gid);
        if !path.is_symlink() {
            chmod(&path, inode.mode);
        }
        for (name, value) in &inode.xattrs {
            setxattr(&path, std::str::from_utf8(name).unwrap(), value);
        }
    }
    for inode in tree {
        set_mtime(&root.join(&inode.paths[0]), inode.mtime);
    }
    set_mtime(root, tree[0].mtime);
}
