//! Our words in those of the storage-proxies.

use vfolder_common::token::{Limits, Quota};
use vfolder_proto::storage::{
    CloneTree, CreateTree, ExtractArchive, PurgeTree, RecountTree, RemoveTree,
    StorageArchiveFormat, StorageExistingFiles, TreeLimits, TreeQuota, VerifyTree,
    run_task_request::Task,
};

use crate::{
    model::{ArchiveFormat, Existing, Kind, TreeWork},
    store::{Operation, Progress},
};

/// What an operation is to its volume's storage-proxy.
pub fn task(operation: &Operation) -> Task {
    let vfolder_id = operation.vfolder_id.to_string();
    match operation.kind {
        Kind::Create => Task::CreateTree(CreateTree { vfolder_id }),
        Kind::Clone => Task::CloneTree(CloneTree {
            source_id: operation
                .source_id
                .map(|s| s.to_string())
                .unwrap_or_default(),
            vfolder_id,
            source_epoch: operation.source_epoch,
            receipt: operation.receipt,
        }),
        Kind::Purge => Task::PurgeTree(PurgeTree { vfolder_id }),
        Kind::Verify => Task::VerifyTree(VerifyTree { vfolder_id }),
        Kind::Extract | Kind::Remove => inside(operation, vfolder_id),
        Kind::Recount => Task::RecountTree(RecountTree { vfolder_id }),
    }
}

/// Work inside a tree, by the operation's arguments. (What can't be read of them, the storage-proxy refuses: it names no
/// path.)
fn inside(operation: &Operation, vfolder_id: String) -> Task {
    match TreeWork::from_text(&operation.arguments) {
        Some(TreeWork::Extract(work)) => Task::ExtractArchive(ExtractArchive {
            vfolder_id,
            path: work.archive.as_bytes().to_vec(),
            destination: work.destination.as_bytes().to_vec(),
            format: match work.format {
                None => StorageArchiveFormat::Unspecified,
                Some(ArchiveFormat::Tar) => StorageArchiveFormat::Tar,
                Some(ArchiveFormat::TarGz) => StorageArchiveFormat::TarGz,
                Some(ArchiveFormat::TarZst) => StorageArchiveFormat::TarZst,
                Some(ArchiveFormat::Zip) => StorageArchiveFormat::Zip,
            }
            .into(),
            existing: match work.existing {
                Existing::Fail => StorageExistingFiles::Fail,
                Existing::Skip => StorageExistingFiles::Skip,
                Existing::Replace => StorageExistingFiles::Replace,
            }
            .into(),
            max_bytes: work.max_bytes,
            max_files: work.max_files,
        }),
        Some(TreeWork::Remove(work)) => Task::RemoveTree(RemoveTree {
            vfolder_id,
            paths: work
                .paths
                .iter()
                .map(|path| path.as_bytes().to_vec())
                .collect(),
            missing_ok: work.missing_ok,
        }),
        None => Task::RemoveTree(RemoveTree::default()),
    }
}

pub fn quota_to_wire(quota: &Quota) -> TreeQuota {
    let limits = |Limits { bytes, files }| Some(TreeLimits { bytes, files });
    TreeQuota {
        owner: quota.owner.clone(),
        revision: quota.revision,
        vfolder: limits(quota.vfolder),
        mounted: quota.mounted,
        owner_revision: quota.owner_revision,
        all: limits(quota.all),
    }
}

pub fn progress(p: &vfolder_proto::storage::TaskProgress) -> Progress {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Progress {
        files_done: signed(p.entries_done),
        files_total: signed(p.entries_total),
        bytes_done: signed(p.bytes_done),
        bytes_total: signed(p.bytes_total),
        ..Progress::default()
    }
}
