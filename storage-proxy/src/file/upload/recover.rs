//! What an earlier life, or an earlier opening of the volume, has left of uploads.

use std::{collections::HashMap, sync::Arc};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{
    land::clear_hidden,
    live::{Live, Phase, State, now},
};
use crate::{
    account::{Accounts, Amount},
    refuse,
    tree::{Meta, RelativePath},
    volume::{Arrivals, Committed, LandedFile, OpenVolume, RangeSet, UploadFolder, UploadRecord},
};

/// Reads all uploads of the volume. What nobody can come back for is removed.
pub fn all(volume: &OpenVolume, accounts: &Accounts) -> Result<HashMap<Uuid, Arc<Live>>, Refusal> {
    let by_volume = |error| refuse::by_volume(&error);
    let mut found = HashMap::new();
    for (vfolder, id) in volume.all_uploads().map_err(by_volume)? {
        match one(volume, accounts, vfolder, id) {
            Ok(Some(live)) => {
                found.insert(id, live);
            }
            Ok(None) => {}
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
    vfolder: Uuid,
    id: Uuid,
) -> Result<Option<Arc<Live>>, Refusal> {
    let by_volume = |error| refuse::by_volume(&error);
    let Some(folder) = volume.upload(vfolder, id).map_err(by_volume)? else {
        return Ok(None);
    };
    let read = UploadRecord::read(&folder);
    let record = read.map_err(|errno| refuse::by_errno("upload.json", errno))?;
    let Some(mut record) = record.filter(|record| !record.passing) else {
        if !volume.is_read_only() {
            if let Ok(Some(passing)) = UploadRecord::read(&folder) {
                clear_hidden(volume, vfolder, id, &passing);
            }
            volume.remove_upload(vfolder, id).map_err(by_volume)?;
        }
        return Ok(None);
    };
    if record.committed.is_none()
        && let Some(file) = landed(volume, vfolder, &folder, &record)?
    {
        clear_hidden(volume, vfolder, id, &record);
        record.committed = Some(Committed { at: now(), file });
        finish(volume, &folder, &record);
    }
    let last_written = record.last_written(&folder);
    let state = match record.committed.clone() {
        Some(committed) => State {
            phase: Phase::Committed(committed),
            arrived: RangeSet::default(),
            reservation: None,
            ..open(record, RangeSet::default(), last_written)
        },
        None => {
            let arrived = Arrivals::recall(&folder, &record);
            let mut state = open(record, arrived, last_written);
            let bytes = state.reserved;
            let admitted = Amount { bytes, files: 1 };
            state.reservation = Some(accounts.reserve_again(vfolder, admitted));
            state
        }
    };
    let of = (volume.description().name.clone(), volume.opening());
    Ok(Some(Live::new(of, vfolder, id, state)))
}

fn open(record: UploadRecord, arrived: RangeSet, last_written: u64) -> State {
    State {
        reserved: record.size.unwrap_or_else(|| arrived.end()),
        unsynced: arrived.count(),
        arrived,
        phase: Phase::Open,
        writers: Vec::new(),
        last_written,
        reservation: None,
        held: false,
        record,
    }
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

/// Notes that it is in the tree, and removes what is left of the bytes.
pub fn finish(volume: &OpenVolume, folder: &UploadFolder, record: &UploadRecord) {
    let done = match volume.is_read_only() {
        true => Ok(()),
        false => record.write(folder).and_then(|()| folder.remove_data()),
    };
    if let Err(error) = done {
        // Then it is found out again after a restart.
        tracing::warn!(%error, "can't note that an upload is committed");
    }
}
