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
    process::{getegid, geteuid},
};
use vfolder_common::error::Refusal;

use super::{
    commit::{Commit, Ground},
    live::Phase,
    refused::failed,
    settle::remember,
};
use crate::{
    account::{Amount, Change},
    faults::{at, pass},
    refuse,
    tree::{
        Control, Entry, Fault, FileKind, Meta, RelativePath,
        error::{named, system},
    },
    volume::{LandedFile, Landing, UploadFolder, UploadRecord},
};

/// Of directories that are made on the way.
const PARENT_MODE: u32 = 0o755;
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
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
        self.ending.0.sync_attributes(&self.store)?;
        self.note_landing(&meta, false)?;
        self.check_cut()?;
        let renamed = {
            let _alone = ground.tree.name_lock().alone();
            rename_in(folder, UploadFolder::data_name(), &spot, record.replace)
        };
        match renamed {
            Ok(replaced) => {
                let landed = self.landed(ground, &spot, (data, meta), replaced);
                landed.map(Landed::Done)
            }
            Err(Fault::System(_, Errno::XDEV)) => Ok(Landed::NeedsCopy),
            Err(fault) => Err(self.refused(fault)),
        }
    }

    /// Finds the place; makes the directories above it, if that was asked for. They stay whatever becomes of the file.
    pub fn spot(&self, ground: &Ground<'_>, record: &UploadRecord) -> Result<Spot, Refusal> {
        let path = self.ending.0.path();
        let refused = |fault| refuse::by_fault(fault, &path.to_string());
        let (above, name) = path.split_last().ok_or_else(|| refused(Fault::Exists))?;
        let in_way = |fault| refuse::by_fault(fault, &above.to_string());
        if record.parents {
            self.make_above(ground, &above)?;
        }
        let parent = ground.tree.directory(&above).map_err(in_way)?;
        let container = Meta::from(fstat(&parent).map_err(|errno| self.failed("fstat", errno))?);
        Ok(Spot {
            parent,
            name,
            container,
        })
    }

    /// Makes the directories, and accounts for those that it has made, also if it fails.
    fn make_above(&self, ground: &Ground<'_>, above: &RelativePath) -> Result<(), Refusal> {
        let in_way = |fault| refuse::by_fault(fault, &above.to_string());
        let files = ground.tree.missing(above).map_err(in_way)?;
        if files == 0 {
            return Ok(());
        }
        let vfolder = self.ending.0.vfolder;
        let amount = Amount { bytes: 0, files };
        let reserved = ground.accounts.reserve(vfolder, amount)?;
        self.check_cut()?;
        let control = Control::default();
        let made = ground
            .tree
            .create_directory_with(above, true, PARENT_MODE, &control);
        let files = i64::try_from(control.progress().entries_done).unwrap_or(i64::MAX);
        reserved.settle(Change { bytes: 0, files });
        made.map(drop).map_err(in_way)
    }

    /// Notes, durably, how the file is about to land. One that is passing is asked for by nobody again: there is only
    /// something to note where a name of its own would stay behind.
    pub fn note_landing(&self, meta: &Meta, copied: bool) -> Result<(), Refusal> {
        let live = &self.ending.0;
        if live.lock().record.passing && !copied {
            return Ok(());
        }
        let landing = Landing {
            file: LandedFile::from(meta),
            copied,
            digests: self.digests.get().copied().unwrap_or_default(),
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
        (file, dressed): (&OwnedFd, Meta),
        replaced: Option<Meta>,
    ) -> Result<Entry, Refusal> {
        let live = &self.ending.0;
        let meta = fstat(file).map_or(dressed, Meta::from);
        let found = change(&meta, replaced);
        let (record, reservation) = {
            let mut state = live.lock();
            (state.record.clone(), state.reservation.take())
        };
        match reservation {
            Some(reservation) => reservation.settle(found),
            None => ground.accounts.changed(live.vfolder, found),
        }
        let landed = LandedFile::from(&meta);
        live.lock().phase = Phase::Landed(landed);
        let synced = at("upload.landed")
            .and_then(|()| fsync(&spot.parent))
            .and_then(|()| self.store.folder.sync());
        if record.passing {
            let removed = ground.volume.remove_upload(live.vfolder, live.id);
            if let Err(error) = removed {
                tracing::warn!(upload = %live.id, %error, "can't remove what is left of a written file");
            }
            live.lock().phase = Phase::Gone;
            ground.files.uploads().drop_gone(live);
            pass("upload.remembered");
        }
        synced.map_err(|errno| self.failed("fsync", errno))?;
        if !record.passing {
            remember(live, &self.store.folder, landed);
        }
        Ok(named_entry(&record, landed))
    }

    pub fn failed(&self, call: &'static str, errno: Errno) -> Refusal {
        failed(&self.ending.0, call, errno)
    }

    pub fn refused(&self, fault: Fault) -> Refusal {
        refuse::by_fault(fault, &self.ending.0.path().to_string())
    }
}

/// What the tree has gained.
fn change(meta: &Meta, replaced: Option<Meta>) -> Change {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // Of a file with other names the bytes stay.
    let gone = replaced
        .filter(|old| old.links <= 1)
        .map_or(0, |old| old.size);
    Change {
        bytes: signed(meta.size).saturating_sub(signed(gone)),
        files: i64::from(replaced.is_none()),
    }
}

/// Gives the file the owner of its directory, its mode and its time. Setuid and setgid only where whoever runs it becomes
/// neither root nor us by it: who writes to a tree must not get further than its owner.
pub fn dress(file: impl AsFd, container: &Meta, record: &UploadRecord) -> Result<Meta, Fault> {
    let (uid, gid) = container.owner();
    match fchown(&file, Some(uid), Some(gid)) {
        // Not root: then it belongs to us, like all that we make.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(Fault::System("fchown", errno)),
    }
    let owned = Meta::from(fstat(&file).map_err(system("fstat"))?);
    // After the owner: a change of owner clears setuid and setgid.
    let mode = Mode::from_bits_truncate(harmless(record.mode, &owned));
    fchmod(&file, mode).map_err(system("fchmod"))?;
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

/// `mode`, without what would make a file of this owner run as root or as us.
fn harmless(mode: u32, owned: &Meta) -> u32 {
    let group = owned.gid == 0 || owned.gid == getegid().as_raw();
    if owned.uid == 0 || owned.uid == geteuid().as_raw() {
        mode & !(SETUID | SETGID)
    } else if group {
        mode & !SETGID
    } else {
        mode
    }
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
