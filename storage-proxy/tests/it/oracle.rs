//! Compares trees by other means than the engine's: std's walk by path, and everything that stat, readlink, read,
//! `SEEK_DATA` and the xattr calls say.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{SeekFrom, lgetxattr, llistxattr, seek},
    io::Errno,
};

/// Everything about an entry but its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    device: u64,
    /// The first path, in byte order, of the same inode.
    same_as: PathBuf,
    /// Of a symlink its target; of a file its blocks that are not all zeros, each with its place.
    content: Vec<(u64, Vec<u8>)>,
    data: Vec<(u64, u64)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Times of an entry: last read, last change.
pub type Times = ((i64, i64), (i64, i64));

pub fn describe(root: &Path) -> BTreeMap<PathBuf, Description> {
    let mut all = BTreeMap::new();
    let mut first = BTreeMap::new();
    for path in walk(root) {
        let whole = root.join(&path);
        let meta = fs::symlink_metadata(&whole).unwrap();
        let kind = meta.file_type();
        let same_as = first
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| path.clone())
            .clone();
        let data = if kind.is_file() {
            data(&whole)
        } else {
            Vec::new()
        };
        let content = if kind.is_symlink() {
            let target = fs::read_link(&whole).unwrap().into_os_string();
            vec![(0, target.into_encoded_bytes())]
        } else {
            blocks(&whole, &data)
        };
        let is_node = kind.is_char_device() || kind.is_block_device();
        let description = Description {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            // Filesystems count a directory's links differently.
            links: if meta.is_dir() { 0 } else { meta.nlink() },
            device: if is_node { meta.rdev() } else { 0 },
            same_as,
            content,
            data,
            xattrs: xattrs(&whole),
        };
        all.insert(path, description);
    }
    all
}

/// Without reading any directory or file below, which would change what is asked for.
pub fn times(root: &Path, paths: &[PathBuf]) -> BTreeMap<PathBuf, Times> {
    let of = |path: &PathBuf| {
        let meta = fs::symlink_metadata(root.join(path)).unwrap();
        (
            (meta.atime(), meta.atime_nsec()),
            (meta.mtime(), meta.mtime_nsec()),
        )
    };
    paths.iter().map(|path| (path.clone(), of(path))).collect()
}

/// Fails with the first difference only: whole trees are unreadable.
pub fn assert_same(left: &BTreeMap<PathBuf, Description>, right: &BTreeMap<PathBuf, Description>) {
    for (path, description) in left {
        let other = right
            .get(path)
            .unwrap_or_else(|| panic!("{} is missing", path.display()));
        if description.content != other.content {
            panic!("contents of {} differ", path.display());
        }
        assert_eq!(description, other, "{}", path.display());
    }
    for path in right.keys() {
        assert!(left.contains_key(path), "{} is too much", path.display());
    }
}

/// All paths below `root`, itself included, relative to it.
pub fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        if fs::symlink_metadata(root.join(&path)).unwrap().is_dir() {
            let entries = fs::read_dir(root.join(&path)).unwrap();
            found.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        }
    }
    found.sort();
    found
}

fn data(path: &Path) -> Vec<(u64, u64)> {
    let file = fs::File::open(path).unwrap();
    let (mut extents, mut at) = (Vec::new(), 0);
    loop {
        match seek(&file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return extents,
            found => {
                let from = found.unwrap();
                at = seek(&file, SeekFrom::Hole(from)).unwrap();
                extents.push((from, at));
            }
        }
    }
}

/// What is at these places, which begin where blocks do.
fn blocks(path: &Path, data: &[(u64, u64)]) -> Vec<(u64, Vec<u8>)> {
    const BLOCK: usize = 4096;
    let mut found = Vec::new();
    for (from, to) in data {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        let file = fs::File::open(path).unwrap();
        file.read_exact_at(&mut bytes, *from).unwrap();
        let places = (*from..).step_by(BLOCK);
        let blocks = places.zip(bytes.chunks(BLOCK));
        found.extend(
            blocks
                .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
                .map(|(at, block)| (at, block.to_vec())),
        );
    }
    found
}

pub fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = match llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        done => done.unwrap(),
    };
    let names = names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}
