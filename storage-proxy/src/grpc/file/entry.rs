//! Directory entries as messages.

use std::os::fd::AsFd as _;

use prost_types::Timestamp;
use rustix::fs::fstat;
use vfolder_common::error::Refusal;
use vfolder_proto::v1::{FileEntry, FileType};

use crate::{
    file::etag,
    grpc::path,
    refuse,
    tree::{Entry, Fault, FileKind, Meta, RelativePath, TreeRoot},
};

/// The tree's root.
pub fn root_entry(tree: &TreeRoot, path: &RelativePath) -> Result<FileEntry, Refusal> {
    let stat = fstat(tree.as_fd())
        .map_err(|errno| refuse::by_fault(Fault::System("fstat", errno), &path.to_string()))?;
    Ok(entry(Entry {
        name: c"".to_owned(),
        meta: Meta::from(stat),
        target: None,
    }))
}

/// The entry at `at`, a path from the vfolder's root.
pub fn entry_at(at: &[u8], entry: Entry) -> FileEntry {
    let (path, path_bytes) = path::write(at);
    FileEntry {
        path,
        path_bytes,
        ..self::entry(entry)
    }
}

/// An entry, without its path.
pub fn entry(entry: Entry) -> FileEntry {
    let (name, name_bytes) = path::write(entry.name.to_bytes());
    let (symlink_target, symlink_target_bytes) =
        path::write(entry.target.as_deref().unwrap_or_default().to_bytes());
    let (seconds, nanos) = entry.meta.modified;
    FileEntry {
        name,
        name_bytes,
        r#type: file_type(entry.meta.kind).into(),
        size: i64::try_from(entry.meta.size).unwrap_or(i64::MAX),
        mode: entry.meta.mode,
        uid: entry.meta.uid,
        gid: entry.meta.gid,
        modify_time: Some(Timestamp {
            seconds,
            nanos: i32::try_from(nanos).unwrap_or(0),
        }),
        symlink_target,
        symlink_target_bytes,
        link_count: i64::try_from(entry.meta.links).unwrap_or(i64::MAX),
        etag: match entry.meta.kind {
            FileKind::Regular => etag(&entry.meta),
            _ => String::new(),
        },
        ..FileEntry::default()
    }
}

/// What an entry is.
pub fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::Regular,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::Fifo,
        FileKind::Socket => FileType::Socket,
        FileKind::CharacterDevice => FileType::CharacterDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Unknown => FileType::Unspecified,
    }
}
