//! What an earlier life, or an earlier opening of the volume, has left of uploads.

use std::sync::Arc;

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{
    hidden::may_be_left,
    live::{Live, Phase, State},
};
use crate::{
    account::{Accounts, Amount},
    refuse,
    tree::{Meta, RelativePath},
    volume::{Arrivals, LandedFile, OpenVolume, RangeSet, UploadFolder, UploadRecord},
};

/// Reads all uploads of the volume. What nobody can come back for is removed, as far as it lies outside of all trees. What
/// was not synced counts unless the volume is opened `again`: it was not there for a while, with whatever became of its
/// disk.
pub fn all(
    volume: &OpenVolume,
    accounts: &Accounts,
    again: bool,
) -> Result<Vec<Arc<Live>>, Refusal> {
    let by_volume = |error| refuse::by_volume(&error);
    if !volume.is_read_only()
        && let Err(error) = volume.remove_empty_uploads()
    {
        tracing::warn!(%error, "can't remove what is left of vfolders without uploads");
    }
    let mut found = Vec::new();
    for (vfolder, id) in volume.all_uploads().map_err(by_volume)? {
        match one(volume, accounts, (vfolder, id), again) {
            Ok(one) => found.extend(one),
            // It must not keep the others from being found.
            Err(refusal) => {
                tracing::warn!(%vfolder, upload = %id, %refusal, "can't read what is left of an upload");
            }
        }
    }
    Ok(found)
}

fn one(
    volume: &OpenVolume,
    accounts: &Accounts,
    (vfolder, id): (Uuid, Uuid),
    again: bool,
) -> Result<Option<Arc<Live>>, Refusal> {
    let by_volume = |error| refuse::by_volume(&error);
    let Some(folder) = volume.upload(vfolder, id).map_err(by_volume)? else {
        return Ok(None);
    };
    let read = UploadRecord::read(&folder);
    let record = read.map_err(|errno| refuse::by_errno("upload.json", errno))?;
    let Some(record) = record.filter(|record| !record.passing || may_be_left(record)) else {
        if !volume.is_read_only() {
            volume.remove_upload(vfolder, id).map_err(by_volume)?;
        }
        return Ok(None);
    };
    let last_written = record.last_written(&folder);
    let closed = |phase, record| State {
        phase,
        ..State::open(record, RangeSet::default(), last_written)
    };
    let state = if record.passing {
        closed(Phase::Gone, record)
    } else if let Some(committed) = record.committed.clone() {
        closed(Phase::Committed(committed), record)
    } else if let Some(file) = landed(volume, vfolder, &folder, &record)? {
        closed(Phase::Landed(file), record)
    } else {
        if again && !volume.is_read_only() {
            Arrivals::distrust(&folder).map_err(|errno| refuse::by_errno("ranges", errno))?;
        }
        let arrived = match again {
            true => record.durable.clone(),
            false => Arrivals::recall(&folder, &record),
        };
        let mut state = State::open(record, arrived, last_written);
        let bytes = state.reserved;
        let admitted = Amount { bytes, files: 1 };
        state.reservation = Some(accounts.reserve_again(vfolder, admitted));
        state
    };
    let of = (volume.description().name.clone(), volume.opening());
    Ok(Some(Live::new(of, vfolder, id, state)))
}

/// The file, if the upload was put into its tree by a process that died before it could note that. A rename takes the
/// bytes along; where a copy, or another name of the same file, went there, it is known by its inode number and size.
fn landed(
    volume: &OpenVolume,
    vfolder: Uuid,
    folder: &UploadFolder,
    record: &UploadRecord,
) -> Result<Option<LandedFile>, Refusal> {
    let Some(landing) = &record.landing else {
        return Ok(None);
    };
    let there = at_its_place(volume, vfolder, record);
    let there = there.filter(|now| now.ino == landing.file.ino && now.size == landing.file.size);
    match statat(folder, UploadFolder::data_name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(there),
        // Somebody may have moved or removed it since.
        Err(Errno::NOENT) => Ok(Some(there.unwrap_or(landing.file))),
        Err(errno) => Err(refuse::by_errno("data", errno)),
    }
}

fn at_its_place(volume: &OpenVolume, vfolder: Uuid, record: &UploadRecord) -> Option<LandedFile> {
    let tree = volume.tree(vfolder).ok().flatten()?;
    let path = RelativePath::parse(&record.path).ok()?;
    let (above, name) = path.split_last()?;
    let parent = tree.directory(&above).ok()?;
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(LandedFile::from(&Meta::from(found)))
}
