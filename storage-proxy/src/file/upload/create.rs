//! Begins uploads, and tells of them.

use std::{os::fd::AsFd as _, sync::Arc};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};
use uuid::Uuid;
use vfolder_common::{error::Refusal, token::Grant};

use super::{
    NewUpload, UploadState,
    live::{Live, Phase, State, now},
    refused::failed,
};
use crate::{
    account::Amount,
    faults::at,
    file::{Files, Visit, in_scope},
    refuse,
    task::Stay,
    tree::{Fault, FileKind, Meta},
    volume::{OpenVolume, RangeSet, UploadRecord},
};

impl Files {
    /// Begins an upload. Nothing of it is in the tree until it is committed.
    ///
    /// # Errors
    /// What can be known now of what would keep it from being committed: FILE_EXISTS, FILE_NOT_FOUND, SYMLINK_IN_PATH and
    /// the like; QUOTA_EXCEEDED, COUNT_EXCEEDED; GRANT_TOO_SMALL, GRANT_STALE; those of the volume.
    pub async fn create_upload(
        &self,
        grant: &Grant,
        new: NewUpload,
    ) -> Result<UploadState, Refusal> {
        let live = self.begin_upload(grant, new, false, |live| live).await?;
        Ok(self.state_of(&live))
    }

    /// One that `passing` says is of this request alone, which has to end it: `hold` takes it before anything is made, so
    /// that it is ended also if nobody waits for it any more.
    pub(super) async fn begin_upload<T: Send + 'static>(
        &self,
        grant: &Grant,
        new: NewUpload,
        passing: bool,
        hold: impl FnOnce(Arc<Live>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        in_scope(grant, &new.path)?;
        if new.path.is_root() {
            return Err(Refusal::field("path", "must name a file"));
        }
        let (files, vfolder) = (self.clone(), grant.vfolder);
        self.in_tree(grant.clone(), Stay::Writing, Arc::default(), move |visit| {
            check_place(visit, &new)?;
            files.uploads().know(visit.volume, visit.accounts)?;
            let bytes = new.size.unwrap_or(0);
            let reservation = visit
                .accounts
                .reserve(vfolder, Amount { bytes, files: 1 })?;
            let state = State {
                reservation: Some(reservation),
                held: passing,
                ..State::open(record(new, passing), RangeSet::default(), now())
            };
            let volume = visit.volume;
            let of = (volume.description().name.clone(), volume.opening());
            let live = Live::new(of, vfolder, Uuid::now_v7(), state);
            files.uploads().add(volume, visit.accounts, &live)?;
            files.clear_left(visit, vfolder);
            let held = hold(Arc::clone(&live));
            make(visit, &live).inspect_err(|_| {
                live.lock().phase = Phase::Gone;
                files.uploads().drop_gone(&live);
                // Else it is swept as one without a record.
                let _ = volume.remove_upload(vfolder, live.id);
            })?;
            Ok(held)
        })
        .await
    }

    /// How far an upload is. A grant for reading is enough.
    ///
    /// # Errors
    /// UPLOAD_NOT_FOUND, GRANT_TOO_SMALL, GRANT_STALE, those of the volume.
    pub async fn upload(&self, grant: &Grant, id: Uuid) -> Result<UploadState, Refusal> {
        let (files, scope) = (self.clone(), grant.clone());
        self.in_tree(grant.clone(), Stay::Reading, Arc::default(), move |visit| {
            let live = files.find_upload(visit, &scope, id)?;
            Ok(files.state_of(&live))
        })
        .await
    }

    /// Says how large an upload will be that was begun without.
    ///
    /// # Errors
    /// FIELD_INVALID: another size is known, or more has arrived. UPLOAD_COMMITTED, UPLOAD_BUSY, QUOTA_EXCEEDED; as
    /// [`Files::upload`].
    pub async fn set_upload_size(
        &self,
        grant: &Grant,
        id: Uuid,
        size: u64,
    ) -> Result<UploadState, Refusal> {
        let (files, scope) = (self.clone(), grant.clone());
        self.in_tree(grant.clone(), Stay::Writing, Arc::default(), move |visit| {
            let live = files.find_upload(visit, &scope, id)?;
            live.announce(visit.volume, size)?;
            Ok(files.state_of(&live))
        })
        .await
    }

    pub(super) fn state_of(&self, live: &Live) -> UploadState {
        let state = live.lock();
        let expires = state.expires(self.limits().upload_expiry);
        UploadState::of(live.id, live.vfolder, &state, expires)
    }

    pub(super) fn find_upload(
        &self,
        visit: &Visit<'_>,
        grant: &Grant,
        id: Uuid,
    ) -> Result<Arc<Live>, Refusal> {
        let wanted = (grant.vfolder, id);
        let found = self
            .uploads()
            .find(visit.volume, visit.accounts, self.limits(), wanted)?;
        in_scope(grant, &found.path())?;
        Ok(found)
    }
}

impl Live {
    /// Notes the size, on disk and then here.
    fn announce(&self, volume: &OpenVolume, size: u64) -> Result<(), Refusal> {
        let noting = self.noting();
        if !self.lock().announce(self.id, size)? {
            return Ok(());
        }
        let noted = self.store(volume).and_then(|store| {
            let change = |record: &mut UploadRecord| record.size = Some(size);
            at("upload.announce")
                .and_then(|()| self.change_noted(&store.folder, &noting, change))
                .map_err(|errno| failed(self, "write", errno))
        });
        self.lock().announcing = None;
        noted
    }
}

impl State {
    /// Nobody writes beyond it from now on. Answers whether it has to be noted.
    fn announce(&mut self, id: Uuid, size: u64) -> Result<bool, Refusal> {
        self.check_open(id)?;
        match self.record.size {
            Some(known) if known == size => return Ok(false),
            Some(known) => {
                let text = format!("the upload was announced with {known} bytes, which stays");
                return Err(Refusal::field("size", text));
            }
            None => {}
        }
        let arrived = self.arrived.end();
        if arrived > size {
            let text = format!("the upload has bytes up to {arrived} already");
            return Err(Refusal::field("size", text));
        }
        if let Some(reservation) = &mut self.reservation {
            let bytes = size.saturating_sub(self.reserved);
            reservation.grow(Amount { bytes, files: 0 })?;
        }
        self.reserved = self.reserved.max(size);
        self.announcing = Some(size);
        Ok(true)
    }
}

fn record(new: NewUpload, passing: bool) -> UploadRecord {
    UploadRecord {
        completes: new.completes,
        path: new.path.as_bytes().to_vec(),
        replace: new.replace,
        parents: new.parents,
        mode: new.mode,
        modified: new.modified,
        size: new.size,
        passing,
        note: new.note,
        created: now(),
        ..UploadRecord::default()
    }
}

/// What can be known of the place now; it is looked at again at the end.
fn check_place(visit: &Visit<'_>, new: &NewUpload) -> Result<(), Refusal> {
    let refused = |fault| Err(refuse::by_fault(fault, &new.path.to_string()));
    let Some((above, name)) = new.path.split_last() else {
        return refused(Fault::Exists);
    };
    let parent = match visit.tree.directory(&above) {
        Err(Fault::NotFound) if new.parents => return Ok(()),
        Err(fault) => return Err(refuse::by_fault(fault, &above.to_string())),
        Ok(parent) => parent,
    };
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(Meta::from) {
        Ok(there) if !new.replace || there.kind != FileKind::Regular => refused(Fault::Exists),
        Err(Errno::NOENT) | Ok(_) => Ok(()),
        Err(errno) => refused(Fault::System("fstatat", errno)),
    }
}

/// Makes it on disk. One that is passing has no record: nobody could come back for it.
fn make(visit: &Visit<'_>, live: &Arc<Live>) -> Result<(), Refusal> {
    let passing = live.lock().record.passing;
    let made = visit.volume.make_upload(live.vfolder, live.id, !passing);
    let folder = made.map_err(|error| refuse::by_volume(&error))?;
    let record = live.lock().record.clone();
    folder
        .data(true)
        .and_then(|data| {
            let backend = visit.volume.backend();
            if let Err(error) = backend.adopt(visit.tree.as_fd(), data.as_fd()) {
                tracing::debug!(%error, upload = %live.id, "no rename leads from here into the tree");
            }
            at("upload.made")
        })
        .and_then(|()| match passing {
            true => Ok(()),
            false => record.write(&folder),
        })
        .map_err(|errno| failed(live, "write", errno))
}
