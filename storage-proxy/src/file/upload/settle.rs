//! An upload whose file is in the tree, where nobody knows whether it would be after a power cut: the directory's sync has
//! failed, or the process died before it. Its commit has not succeeded until that is made sure of.

use rustix::fs::{AtFlags, fsync, statat, syncfs};
use vfolder_common::error::Refusal;

use super::{
    hidden::{clear_hidden, may_be_left},
    land::named_entry,
    live::{Live, Phase, now},
    refused::failed,
};
use crate::{
    faults::{at, pass},
    file::Visit,
    refuse,
    tree::{Entry, Meta, RelativePath, TreeRoot},
    volume::{Committed, LandedFile, UploadFolder},
};

/// Makes the file's place in the tree durable, and notes that the upload is committed.
///
/// # Errors
/// IO_ERROR and the like: it is as before.
pub fn settle(visit: &Visit<'_>, live: &Live, file: LandedFile) -> Result<Entry, Refusal> {
    let record = live.lock().record.clone();
    let folder = visit.volume.upload(live.vfolder, live.id);
    let folder = folder.map_err(|error| refuse::by_volume(&error))?;
    let folder = folder.ok_or_else(|| super::refused::not_found(live.id))?;
    let synced = at("upload.landed")
        .and_then(|()| sync_place(visit.tree, &live.path(), file))
        .and_then(|()| folder.sync());
    synced.map_err(|errno| failed(live, "fsync", errno))?;
    if may_be_left(&record) {
        clear_hidden(visit.tree, visit.accounts, live, &record);
    }
    remember(live, &folder, file);
    Ok(named_entry(&record, file))
}

/// The directory, if the file still is where it was put; else all of the filesystem.
fn sync_place(
    tree: &TreeRoot,
    path: &RelativePath,
    file: LandedFile,
) -> Result<(), rustix::io::Errno> {
    let place = path.split_last().and_then(|(above, name)| {
        let parent = tree.directory(&above).ok()?;
        let there = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (Meta::from(there).id.ino == file.ino).then_some(parent)
    });
    match place {
        Some(parent) => fsync(parent),
        None => syncfs(tree),
    }
}

/// It is in the tree, durably: remembers that, and removes what is left of the bytes.
pub fn remember(live: &Live, folder: &UploadFolder, file: LandedFile) {
    let committed = Committed { at: now(), file };
    {
        let mut state = live.lock();
        state.phase = Phase::Committed(committed.clone());
        state.place = None;
    }
    let noted = live
        .change_record(folder, |record| record.committed = Some(committed))
        .and_then(|()| folder.remove_data());
    if let Err(error) = noted {
        // Then it is found out again after a restart.
        tracing::warn!(upload = %live.id, %error, "can't note that an upload is committed");
    }
    pass("upload.remembered");
}
