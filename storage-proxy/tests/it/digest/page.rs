//! The digests that docs/tree-digest.md gives of its trees.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, makedev};
use vfolder_images::is_root;

use super::{digest_of, set_mtime, setxattr};
use crate::{
    digest_reference::{self as reference, Inode, Kind},
    everything::{chmod, chown, mknod},
};

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
