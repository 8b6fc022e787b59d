//! Directory entries as messages.

use prost_types::Timestamp;
use vfolder_proto::v1::{FileEntry, FileType};

use crate::{
    file::etag,
    grpc::path,
    tree::{Entry, FileKind},
};

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

/// What a type is; nothing for what is none.
pub fn file_kind(file_type: i32) -> Option<FileKind> {
    match FileType::try_from(file_type).ok()? {
        FileType::Unspecified => None,
        FileType::Regular => Some(FileKind::Regular),
        FileType::Directory => Some(FileKind::Directory),
        FileType::Symlink => Some(FileKind::Symlink),
        FileType::Fifo => Some(FileKind::Fifo),
        FileType::Socket => Some(FileKind::Socket),
        FileType::CharacterDevice => Some(FileKind::CharacterDevice),
        FileType::BlockDevice => Some(FileKind::BlockDevice),
    }
}
