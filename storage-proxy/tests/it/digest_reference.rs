//! docs/tree-digest.md, followed to the letter and by the shortest way: everything in memory, sorted, one thread.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use blake3::Hasher;
use rustix::fs::{major, minor};

use crate::oracle;

/// An inode with all its names.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Paths from the root; of the root itself the empty one.
    pub paths: Vec<PathBuf>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, i64),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
}

/// The digest's text.
pub fn digest(inodes: &[Inode]) -> String {
    let mut sum = [0u16; 1024];
    for inode in inodes {
        let mut element = Vec::from(body(inode));
        let mut names: Vec<_> = inode.paths.iter().map(|path| name(path)).collect();
        names.sort_unstable();
        element.extend(names.concat());
        let mut output = [0; 2048];
        function("element", &[&element])
            .finalize_xof()
            .fill(&mut output);
        for (lane, number) in sum.iter_mut().zip(output.chunks(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([number[0], number[1]]));
        }
    }
    let sum: Vec<u8> = sum.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    let count = inodes.len() as u64;
    let tree = function("tree", &[&sum, &count.to_le_bytes()]).finalize();
    format!("blake3-tree-v1:{}", tree.to_hex())
}

fn function(purpose: &str, input: &[&[u8]]) -> Hasher {
    let context = format!("vfolder 2026-11-22 tree-digest v1 {purpose}");
    let mut hasher = Hasher::new_derive_key(&context);
    hasher.update(&input.concat());
    hasher
}

fn hash(purpose: &str, input: &[&[u8]]) -> [u8; 32] {
    function(purpose, input).finalize().into()
}

fn name(path: &Path) -> [u8; 32] {
    path.components()
        .fold(hash("name", &[]), |parent, component| {
            hash("name", &[&parent, component.as_os_str().as_bytes()])
        })
}

fn body(inode: &Inode) -> [u8; 32] {
    let mut attributes = Vec::new();
    for (name, value) in &inode.xattrs {
        for part in [name, value] {
            attributes.extend((part.len() as u64).to_le_bytes());
            attributes.extend(part);
        }
    }
    let (kind, content) = match &inode.kind {
        Kind::File(bytes) => (
            b'f',
            [&(bytes.len() as u64).to_le_bytes()[..], &content(bytes)].concat(),
        ),
        Kind::Directory => (b'd', vec![]),
        Kind::Symlink(target) => (b'l', target.clone()),
        Kind::Fifo => (b'p', vec![]),
        Kind::Socket => (b's', vec![]),
        Kind::CharacterDevice(major, minor) => {
            (b'c', [major.to_le_bytes(), minor.to_le_bytes()].concat())
        }
        Kind::BlockDevice(major, minor) => {
            (b'b', [major.to_le_bytes(), minor.to_le_bytes()].concat())
        }
    };
    let mode = if kind == b'l' { 0 } else { inode.mode };
    hash(
        "body",
        &[
            &[kind],
            &mode.to_le_bytes(),
            &inode.uid.to_le_bytes(),
            &inode.gid.to_le_bytes(),
            &inode.mtime.0.to_le_bytes(),
            &inode.mtime.1.to_le_bytes(),
            &hash("attributes", &[&attributes]),
            &content,
        ],
    )
}

fn content(bytes: &[u8]) -> [u8; 32] {
    let mut blocks = Vec::new();
    for (index, block) in bytes.chunks(65536).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            blocks.extend((index as u64).to_le_bytes());
            blocks.extend(hash("block", &[block]));
        }
    }
    hash("content", &[&blocks])
}

/// What is below `root`.
pub fn read(root: &Path) -> Vec<Inode> {
    let mut inodes = BTreeMap::<_, Inode>::new();
    for path in oracle::walk(root) {
        let whole = root.join(&path);
        let meta = fs::symlink_metadata(&whole).unwrap();
        let inode = inodes
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| Inode {
                paths: vec![],
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                mtime: (meta.mtime(), meta.mtime_nsec()),
                xattrs: oracle::xattrs(&whole),
                kind: kind(&whole, &meta),
            });
        inode.paths.push(path);
    }
    inodes.into_values().collect()
}

fn kind(path: &Path, meta: &fs::Metadata) -> Kind {
    let (major, minor) = (major(meta.rdev()), minor(meta.rdev()));
    match meta.file_type() {
        kind if kind.is_file() => Kind::File(fs::read(path).unwrap()),
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => {
            Kind::Symlink(fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec())
        }
        kind if kind.is_fifo() => Kind::Fifo,
        kind if kind.is_socket() => Kind::Socket,
        kind if kind.is_char_device() => Kind::CharacterDevice(major, minor),
        _ => Kind::BlockDevice(major, minor),
    }
}
