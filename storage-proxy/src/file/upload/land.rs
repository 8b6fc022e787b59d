//! The last step of a commit: into the tree.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, RenameFlags, Timespec, Timestamps, fchmod, fchown, fstat, fsync, futimens,
        linkat, renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};
use uuid::Uuid;
use vfolder_common::error::Refusal;

use super::{
    commit::{Commit, Ground},
    live::{Phase, now},
    recover::finish,
    refused::failed,
};
use crate::{
    account::{Amount, Change},
    faults::{at, pass},
    refuse,
    tree::{
        Entry, Fault, FileKind, Meta, RelativePath,
        error::{named, system},
    },
    volume::{Committed, LandedFile, Landing, OpenVolume, UploadFolder, UploadRecord},
};

/// Of directories that are made on the way.
const PARENT_MODE: u32 = 0o755;
/// How often somebody else may come in between two looks at a place.
const ATTEMPTS: usize = 16;

/// What became of an attempt.
#[derive(Debug)]
pub enum Landed {
    /// It is there.
    Done(Entry),
    /// No rename leads there: the tree is a filesystem, or has a quota, of its own. Only a copy does.
    NeedsCopy,
}

/// A place in a tree for a file.
#[derive(Debug)]
pub struct Spot {
    pub parent: OwnedFd,
    pub name: CString,
    /// The directory's attributes.
    pub container: Meta,
    /// Directories that were made on the way.
    pub made: u64,
}

impl Commit {
    /// Renames the file itself into the tree.
    pub fn by_rename(&self, ground: &Ground<'_>) -> Result<Landed, Refusal> {
        let record = self.ending.0.lock().record.clone();
        let (folder, data) = (&self.store.folder, &self.store.data);
        let spot = self.spot(ground, &record)?;
        let meta = Meta::from(fstat(data).map_err(|errno| self.failed("fstat", errno))?);
        // On btrfs each tree has a number of its own.
        if meta.id.dev != spot.container.id.dev {
            return Ok(Landed::NeedsCopy);
        }
        let meta = dress(data, &spot.container, &record).map_err(|fault| self.refused(fault))?;
        fsync(data).map_err(|errno| self.failed("fsync", errno))?;
        self.note_landing(&meta, &spot, false)?;
        self.check_cut()?;
        match rename_in(folder, UploadFolder::data_name(), &spot, record.replace) {
            Ok(replaced) => self.landed(ground, &spot, data, replaced).map(Landed::Done),
            Err(Fault::System(_, Errno::XDEV)) => Ok(Landed::NeedsCopy),
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// Finds the place; makes the directories above it, if that was asked for.
    pub fn spot(&self, ground: &Ground<'_>, record: &UploadRecord) -> Result<Spot, Refusal> {
        let path = self.ending.0.path();
        let refused = |fault| refuse::by_fault(fault, &path.to_string());
        let (above, name) = path.split_last().ok_or_else(|| refused(Fault::Exists))?;
        let in_way = |fault| refuse::by_fault(fault, &above.to_string());
        let mut made = 0;
        if record.parents {
            made = ground.tree.missing(&above).map_err(in_way)?;
            if made > 0 {
                if let Some(reservation) = &mut self.ending.0.lock().reservation {
                    let files = made;
                    reservation.grow(Amount { bytes: 0, files })?;
                }
                self.check_cut()?;
                let done = ground.tree.create_directory(&above, true, PARENT_MODE);
                done.map_err(in_way)?;
            }
        }
        let parent = ground.tree.directory(&above).map_err(in_way)?;
        let container = Meta::from(fstat(&parent).map_err(|errno| self.failed("fstat", errno))?);
        Ok(Spot {
            parent,
            name,
            container,
            made,
        })
    }

    /// Notes, durably, how the file is about to land. One that is passing is asked for by nobody again: there is only
    /// something to note where a name of its own would stay behind.
    pub fn note_landing(&self, meta: &Meta, spot: &Spot, copied: bool) -> Result<(), Refusal> {
        let live = &self.ending.0;
        if live.lock().record.passing && !copied {
            return Ok(());
        }
        let landing = Landing {
            file: LandedFile::from(meta),
            change: (
                i64::try_from(meta.size).unwrap_or(i64::MAX),
                i64::try_from(spot.made + 1).unwrap_or(i64::MAX),
            ),
            copied,
        };
        let noted = live.change_record(&self.store.folder, |record| record.landing = Some(landing));
        noted
            .and_then(|()| at("upload.landing"))
            .map_err(|errno| self.failed("write", errno))
    }

    /// The file is in the tree: makes that durable, accounts for it, and remembers it.
    pub fn landed(
        &self,
        ground: &Ground<'_>,
        spot: &Spot,
        file: &OwnedFd,
        replaced: Option<Meta>,
    ) -> Result<Entry, Refusal> {
        pass("upload.landed");
        let live = &self.ending.0;
        let synced = fsync(&spot.parent).and_then(|()| self.store.folder.sync());
        let meta = Meta::from(fstat(file).map_err(|errno| self.failed("fstat", errno))?);
        let change = change(&meta, spot, replaced);
        let committed = Committed {
            at: now(),
            file: LandedFile::from(&meta),
        };
        let (record, reservation) = {
            let mut state = live.lock();
            state.phase = Phase::Committed(committed.clone());
            state.record.committed = Some(committed.clone());
            (state.record.clone(), state.reservation.take())
        };
        match reservation {
            Some(reservation) => reservation.settle(change),
            None => ground.accounts.changed(live.vfolder, change),
        }
        if record.passing {
            let removed = ground.volume.remove_upload(live.vfolder, live.id);
            if let Err(error) = removed {
                tracing::warn!(upload = %live.id, %error, "can't remove what is left of a written file");
            }
            live.lock().phase = Phase::Gone;
            ground.files.uploads().drop_gone(live);
        } else {
            finish(ground.volume, &self.store.folder, &record);
        }
        pass("upload.remembered");
        synced.map_err(|errno| self.failed("fsync", errno))?;
        Ok(named_entry(&record, committed.file))
    }

    pub fn failed(&self, call: &'static str, errno: Errno) -> Refusal {
        failed(&self.ending.0, call, errno)
    }

    pub fn refused(&self, fault: Fault) -> Refusal {
        refuse::by_fault(fault, &self.ending.0.path().to_string())
    }
}

/// What the tree has gained.
fn change(meta: &Meta, spot: &Spot, replaced: Option<Meta>) -> Change {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // Of a file with other names the bytes stay.
    let gone = replaced
        .filter(|old| old.links <= 1)
        .map_or(0, |old| old.size);
    Change {
        bytes: signed(meta.size).saturating_sub(signed(gone)),
        files: signed(spot.made) + i64::from(replaced.is_none()),
    }
}

/// Gives the file the owner of its directory, its mode and its time.
pub fn dress(file: impl AsFd, container: &Meta, record: &UploadRecord) -> Result<Meta, Fault> {
    let (uid, gid) = container.owner();
    match fchown(&file, Some(uid), Some(gid)) {
        // Not root: then it belongs to us, like all that we make.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(Fault::System("fchown", errno)),
    }
    // After the owner: a change of owner clears setuid and setgid.
    fchmod(&file, Mode::from_bits_truncate(record.mode)).map_err(system("fchmod"))?;
    if let Some((seconds, nanos)) = record.modified {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        futimens(&file, &times).map_err(system("futimens"))?;
    }
    Ok(Meta::from(fstat(&file).map_err(system("fstat"))?))
}

/// Renames `old` of `folder` to its place, and answers what it has replaced: nothing but a regular file, and that only if
/// it may.
pub fn rename_in(
    folder: impl AsFd,
    old: &CStr,
    spot: &Spot,
    replace: bool,
) -> Result<Option<Meta>, Fault> {
    let renamed = |errno| match errno {
        // Told apart from what is in the way to the place.
        Errno::XDEV => Fault::System("renameat2", errno),
        Errno::ISDIR | Errno::NOTEMPTY => Fault::Exists,
        other => named("renameat2")(other),
    };
    for _ in 0..ATTEMPTS {
        let free = renameat_with(
            &folder,
            old,
            &spot.parent,
            &spot.name,
            RenameFlags::NOREPLACE,
        );
        let free = match free {
            // The filesystem can't: a second name does the same.
            Err(Errno::INVAL | Errno::NOSYS) => link_in(&folder, old, spot),
            done => done,
        };
        match free {
            Ok(()) => return Ok(None),
            Err(Errno::EXIST) if replace => {}
            Err(errno) => return Err(renamed(errno)),
        }
        match statat(&spot.parent, &spot.name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) {
            Ok(there) if there.kind == FileKind::Regular => {
                renameat(&folder, old, &spot.parent, &spot.name).map_err(renamed)?;
                return Ok(Some(there));
            }
            Ok(_) => return Err(Fault::Exists),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(Fault::System("fstatat", errno)),
        }
    }
    Err(Fault::Changed)
}

fn link_in(folder: impl AsFd, old: &CStr, spot: &Spot) -> Result<(), Errno> {
    linkat(&folder, old, &spot.parent, &spot.name, AtFlags::empty())?;
    unlinkat(&folder, old, AtFlags::empty())
}

/// The name that a copy has in the tree for a moment, before it replaces another file.
pub fn hidden_name(upload: Uuid) -> CString {
    CString::new(format!(".vfolder-upload-{upload}")).unwrap_or_default()
}

/// Removes what a commit that was broken off may have left in the tree under a name of its own.
pub fn clear_hidden(volume: &OpenVolume, vfolder: Uuid, upload: Uuid, record: &UploadRecord) {
    if !record
        .landing
        .as_ref()
        .is_some_and(|landing| landing.copied)
    {
        return;
    }
    let Ok(Some(tree)) = volume.tree(vfolder) else {
        return;
    };
    let path = RelativePath::parse(&record.path).ok();
    let Some((above, _)) = path.and_then(|path| path.split_last()) else {
        return;
    };
    if let Ok(parent) = tree.directory(&above) {
        let _ = unlinkat(parent, hidden_name(upload), AtFlags::empty());
    }
}

/// A file that has landed, as an entry.
pub fn named_entry(record: &UploadRecord, file: LandedFile) -> Entry {
    let path = RelativePath::parse(&record.path).ok();
    let name = path
        .and_then(|path| path.split_last())
        .map(|(_, name)| name);
    Entry {
        name: name.unwrap_or_default(),
        meta: Meta::from(file),
        target: None,
    }
}
