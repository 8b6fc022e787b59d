//! A tree's digest: as docs/tree-digest.md says, the same for equal trees and another for any others.

mod changes;
mod copied;
mod page;

use std::{
    fs,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, lsetxattr, utimensat};
use vfolder_storage_proxy::tree::{Control, TreeDigest, Workers, digest};

use self::changes::small;
use crate::{
    digest_reference as reference,
    everything::{HUGE, build, set_times},
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

fn setxattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
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
