//! What the manager asks to be done inside a tree.

use vfolder_common::error::Fields;
use vfolder_proto::storage::{
    ExtractArchive, RemoveTree, StorageArchiveFormat, StorageExistingFiles,
};

use super::task::read_id;
use crate::{
    archive::Format,
    task::{Existing, Extraction, Removal},
    tree::RelativePath,
};

/// Nothing: something is wrong, and `fields` says what.
pub(super) fn extraction(task: &ExtractArchive, fields: &mut Fields) -> Option<Extraction> {
    let vfolder = read_id(fields, "extract_archive.vfolder_id", &task.vfolder_id);
    let archive = fields.check("extract_archive.path", RelativePath::parse(&task.path));
    let destination = fields.check(
        "extract_archive.destination",
        RelativePath::parse(&task.destination),
    );
    let format = match task.format() {
        StorageArchiveFormat::Unspecified => None,
        StorageArchiveFormat::Tar => Some(Format::Tar),
        StorageArchiveFormat::TarGz => Some(Format::TarGz),
        StorageArchiveFormat::TarZst => Some(Format::TarZst),
        StorageArchiveFormat::Zip => Some(Format::Zip),
    };
    let existing = match task.existing() {
        StorageExistingFiles::Unspecified | StorageExistingFiles::Fail => Existing::Fail,
        StorageExistingFiles::Skip => Existing::Skip,
        StorageExistingFiles::Replace => Existing::Replace,
    };
    for (field, most) in [
        ("extract_archive.max_bytes", task.max_bytes),
        ("extract_archive.max_files", task.max_files),
    ] {
        if most == 0 {
            fields.wrong(field, "must be set");
        }
    }
    Some(Extraction {
        vfolder,
        archive: archive?,
        destination: destination?,
        format,
        existing,
        max_bytes: task.max_bytes,
        max_files: task.max_files,
    })
}

/// Nothing: something is wrong, and `fields` says what.
pub(super) fn removal(task: &RemoveTree, fields: &mut Fields) -> Option<Removal> {
    let vfolder = read_id(fields, "remove_tree.vfolder_id", &task.vfolder_id);
    let field = "remove_tree.paths";
    if task.paths.is_empty() {
        fields.wrong(field, "must name something");
    }
    let mut paths = Vec::with_capacity(task.paths.len());
    for path in &task.paths {
        let path = fields.check(field, RelativePath::parse(path))?;
        if path.is_root() {
            fields.wrong(field, "must not be the root");
        }
        paths.push(path);
    }
    Some(Removal {
        vfolder,
        paths,
        missing_ok: task.missing_ok,
    })
}
